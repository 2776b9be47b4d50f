//! What `stat` says of a file, and from when on that can be trusted to tell of every change.
//!
//! As in git, a file that was changed just now is not trusted: it might be changed once more within the same tick of
//! the file system's clock, which `stat` would not show.

use std::{
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// A tick of fine clocks is at most 10 ms.
pub(crate) const FINE_TICK_NS: i128 = 40_000_000;
/// The coarsest file systems count in two seconds.
const COARSE_TICK_NS: i128 = 2_000_000_000;

/// What `stat` says; equal as long as the file was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) inode: u64,
    pub(crate) bytes: u64,
    pub(crate) modified_ns: i128,
    pub(crate) changed_ns: i128,
}

impl Stat {
    pub(crate) const ENCODED: usize = 48;

    pub(crate) fn of(meta: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            inode: meta.ino(),
            bytes: meta.len(),
            modified_ns: ns(meta.mtime(), meta.mtime_nsec()),
            changed_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// The same of what the system call gives.
    pub(crate) fn of_raw(stat: &rustix::fs::Stat) -> Self {
        // The types of the fields differ by platform.
        let ns = |seconds: i128, ns: i128| seconds * 1_000_000_000 + ns;
        let count = |n: i128| u64::try_from(n).unwrap_or(0);
        Self {
            inode: count(stat.st_ino.into()),
            bytes: count(stat.st_size.into()),
            modified_ns: ns(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
            changed_ns: ns(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        }
    }

    /// Of a file, or of what a link leads to; `None` where there is none.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(meta) => Ok(Some(Self::of(&meta))),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Whether another change, from now on, would show.
    pub(crate) fn is_settled(&self) -> bool {
        now_ns() >= self.settled_ns()
    }

    /// From when on another change would show.
    pub(crate) fn settled_ns(&self) -> i128 {
        let newest = self.modified_ns.max(self.changed_ns);
        newest + if newest % 1_000_000_000 == 0 { COARSE_TICK_NS } else { FINE_TICK_NS }
    }

    pub(crate) fn encode(&self) -> [u8; Self::ENCODED] {
        let mut out = [0; Self::ENCODED];
        out[..8].copy_from_slice(&self.inode.to_le_bytes());
        out[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        out[16..32].copy_from_slice(&self.modified_ns.to_le_bytes());
        out[32..].copy_from_slice(&self.changed_ns.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8; Self::ENCODED]) -> Self {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let wide = |at: usize| i128::from_le_bytes(bytes[at..at + 16].try_into().expect("16 bytes"));
        Self { inode: word(0), bytes: word(8), modified_ns: wide(16), changed_ns: wide(32) }
    }
}

pub(crate) fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128)
}
