"""A folder mounted once more, as a machine sees it that has it over a network: `loop.py FOLDER MOUNT [SECONDS]`.

Locks end at the mount, times of files are whole seconds. What the machine is told of a folder (what is in it, and what
is not, and what `stat` says of it) it remembers for so many seconds, as NFS does, unless it changes something there
itself; a file that is opened is asked for anew. Wants libfuse and mfusepy (3.1).
"""

import errno
import os
import sys
import time

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
        found = []
        for entry in os.scandir(self.at(path)):
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            found.append((entry.name, {"st_mode": stat.st_mode, "st_ino": stat.st_ino}, 0))
        return found

    def access(self, path, mode):
        if not os.access(self.at(path), mode):
            raise mfusepy.FuseOSError(errno.EACCES)
        return 0

    def create(self, path, mode, flags):
        return os.open(self.at(path), os.O_RDWR | os.O_CREAT | flags & (os.O_EXCL | os.O_TRUNC), mode)

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


class Memory(Loop):
    """A machine that remembers."""

    # What changes the folders that the paths among its arguments lie in, or the files there.
    CHANGES = ("create", "mkdir", "rmdir", "unlink", "symlink", "rename", "link", "chmod", "utimens", "truncate")

    def __init__(self, folder, seconds):
        super().__init__(folder)
        self.seconds = seconds
        self.folders = {}

    def known(self, path):
        """What is known of a folder: until when, what is in it, and `stat` by name, None of what is missing."""
        known = self.folders.get(path)
        if known is None or known["until"] < time.monotonic():
            known = self.folders[path] = {"until": time.monotonic() + self.seconds, "stats": {}}
        return known

    def getattr(self, path, fh=None):
        folder, name = os.path.split(path)
        stats = self.known(folder)["stats"]
        if name not in stats:
            try:
                stats[name] = super().getattr(path)
            except FileNotFoundError:
                stats[name] = None
        if stats[name] is None:
            raise mfusepy.FuseOSError(errno.ENOENT)
        return stats[name]

    def readdir(self, path, fh):
        known = self.known(path)
        if "list" not in known:
            known["list"] = super().readdir(path, fh)
        return known["list"]

    def open(self, path, flags):
        self.forget(path)
        return super().open(path, flags)

    def write(self, path, data, offset, fh):
        written = super().write(path, data, offset, fh)
        self.forget(path)
        return written

    def forget(self, path):
        folder, name = os.path.split(path)
        self.known(folder)["stats"].pop(name, None)

    def changed(self, path):
        self.folders.pop(os.path.dirname(path), None)
        self.folders.pop(path, None)


def changing(name):
    def change(self, *arguments):
        try:
            return getattr(Loop, name)(self, *arguments)
        finally:
            # What a link says may be anything.
            for path in arguments[:1] if name == "symlink" else arguments[:2]:
                if isinstance(path, str):
                    self.changed(path)

    return change


for name in Memory.CHANGES:
    setattr(Memory, name, changing(name))

mfusepy.FUSE(
    Memory(sys.argv[1], float(sys.argv[3])) if len(sys.argv) > 3 else Loop(sys.argv[1]),
    sys.argv[2],
    foreground=True,
    subtype="loop",
    use_ino=True,
    attr_timeout=0,
    entry_timeout=0,
    negative_timeout=0,
)
