"""A folder mounted once more, as a machine sees it that has it over a network: `loop.py FOLDER MOUNT`.

Locks end at the mount, times of files are whole seconds. Wants libfuse and mfusepy (3.1).
"""

import errno
import os
import sys

import mfusepy


class Loop(mfusepy.Operations):
    use_ns = True

    def __init__(self, folder):
        self.folder = os.path.realpath(folder)

    def at(self, path):
        return self.folder + path

    def getattr(self, path, fh=None):
        stat = os.lstat(self.at(path))
        found = {name: getattr(stat, name) for name in ("st_gid", "st_ino", "st_mode", "st_nlink", "st_size", "st_uid")}
        times = {name: getattr(stat, f"{name}_ns") // 10**9 * 10**9 for name in ("st_atime", "st_ctime", "st_mtime")}
        return found | times

    def readdir(self, path, fh):
        for entry in os.scandir(self.at(path)):
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield entry.name, {"st_mode": stat.st_mode, "st_ino": stat.st_ino}, 0

    def access(self, path, mode):
        if not os.access(self.at(path), mode):
            raise mfusepy.FuseOSError(errno.EACCES)
        return 0

    def create(self, path, mode, fi=None):
        return os.open(self.at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path, flags):
        return os.open(self.at(path), flags & ~(os.O_APPEND | os.O_CREAT | os.O_EXCL))

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        os.truncate(self.at(path), length)
        return 0

    def flush(self, path, fh):
        return 0

    def fsync(self, path, datasync, fh):
        return 0

    def release(self, path, fh):
        os.close(fh)
        return 0

    def mkdir(self, path, mode):
        os.mkdir(self.at(path), mode)
        return 0

    def rmdir(self, path):
        os.rmdir(self.at(path))
        return 0

    def unlink(self, path):
        os.unlink(self.at(path))
        return 0

    def symlink(self, target, source):
        os.symlink(source, self.at(target))
        return 0

    def readlink(self, path):
        return os.readlink(self.at(path))

    def rename(self, old, new, *flags):
        os.rename(self.at(old), self.at(new))
        return 0

    def link(self, target, source):
        os.link(self.at(source), self.at(target))
        return 0

    def chmod(self, path, mode):
        os.chmod(self.at(path), mode)
        return 0

    def chown(self, path, uid, gid):
        return 0

    def utimens(self, path, times=None):
        os.utime(self.at(path), ns=tuple(map(int, times)) if times else None)
        return 0

    def statfs(self, path):
        stat = os.statvfs(self.at(path))
        return {name: getattr(stat, name) for name in dir(stat) if name.startswith("f_") and name != "f_fsid"}


mfusepy.FUSE(
    Loop(sys.argv[1]),
    sys.argv[2],
    foreground=True,
    subtype="loop",
    use_ino=True,
    attr_timeout=0,
    entry_timeout=0,
    negative_timeout=0,
)
