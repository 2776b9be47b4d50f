//! What file system a store lies on: whether its locks are of use to several machines, and whether they see at once
//! what others do.

use std::{fs, path::Path};

/// A mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where.
    pub(crate) point: String,
    /// What: `ext4`, `nfs4`.
    pub(crate) kind: String,
    /// How, as the kernel and the file system say it.
    options: Vec<String>,
}

/// File systems on which everybody who can see the files sees at once what anybody does, locks included: one machine
/// has them, or its machines tell each other.
const COHERENT: [&str; 18] = [
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "zfs",
    "f2fs",
    "bcachefs",
    "tmpfs",
    "ramfs",
    "overlay",
    "rootfs",
    "fuse.fuse-overlayfs",
    "apfs",
    "ceph",
    "gpfs",
    "ocfs2",
    "gfs2",
];

impl Mount {
    /// The one that a path lies on; `None` where that cannot be known.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        Self::among(&fs::read_to_string("/proc/self/mountinfo").ok()?, &fs::canonicalize(path).ok()?)
    }

    fn among(mounts: &str, path: &Path) -> Option<Self> {
        let mut found: Option<Self> = None;
        for mount in mounts.lines().filter_map(Self::parse).filter(|mount| path.starts_with(&mount.point)) {
            // Of several at one place, the last one is on top.
            if found.as_ref().is_none_or(|found| found.point.len() <= mount.point.len()) {
                found = Some(mount);
            }
        }
        found
    }

    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(4);
        // Blanks in names are written in octal.
        let point = before.next()?.replace("\\040", " ");
        let here = before.next()?;
        let mut after = after.split(' ');
        let kind = after.next()?.to_owned();
        let whole = after.nth(1).unwrap_or_default();
        let options = here.split(',').chain(whole.split(',')).map(str::to_owned).collect();
        Some(Self { point, kind, options })
    }

    /// Whether what one machine locks is locked for the others. What is not known to be so is taken not to be.
    pub(crate) fn locks_reach_others(&self) -> bool {
        let has = |option: &str| self.options.iter().any(|found| found == option);
        match &*self.kind {
            "nfs" | "nfs4" => !has("nolock") && !has("local_lock=all") && !has("local_lock=flock"),
            "lustre" => has("flock"),
            "cifs" | "smb3" => !has("nobrl") && !has("nolock"),
            kind => COHERENT.contains(&kind),
        }
    }

    /// Whether a machine may go on for a while with what it was told of a folder, or of a file's attributes, although
    /// another has changed it. NFS does so for a minute, as it is usually mounted.
    pub(crate) fn remembers(&self) -> bool {
        self.kind != "lustre" && !COHERENT.contains(&&*self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "6 27 0:1 / / rw,relatime - ext4 /dev/vda rw,discard
7 6 0:2 / /home rw - nfs4 server:/home rw,vers=4.2,local_lock=none
8 6 0:3 / /old rw - nfs server:/old rw,vers=3,nolock,local_lock=all
9 6 0:4 / /scratch rw,flock - lustre mgs:/scratch rw,flock
10 6 0:5 / /fast rw - lustre mgs:/fast rw,localflock
11 6 0:6 / /my\\040data rw - fuse.sshfs me@there: rw
12 6 0:7 / /home/me rw - tmpfs tmpfs rw";

    #[test]
    fn locks_and_folders_are_believed_in_where_all_machines_see_them() {
        let at = |path: &str| Mount::among(MOUNTS, Path::new(path)).unwrap();
        let check = |path: &str, kind: &str, locks: bool, remembers: bool| {
            let found = at(path);
            assert_eq!(
                (&*found.kind, found.locks_reach_others(), found.remembers()),
                (kind, locks, remembers),
                "{path}"
            );
        };
        check("/var/x", "ext4", true, false);
        check("/homes", "ext4", true, false);
        check("/home/you/.pipe", "nfs4", true, true);
        check("/home/me/.pipe", "tmpfs", true, false);
        check("/old/x", "nfs", false, true);
        check("/scratch/x", "lustre", true, false);
        check("/fast/x", "lustre", false, false);
        check("/my data/x", "fuse.sshfs", false, true);
    }

    #[test]
    fn the_file_system_of_a_folder_is_known() {
        assert!(Mount::of(tempfile::tempdir().unwrap().path()).is_some_and(|mount| !mount.kind.is_empty()));
    }
}
