//! Folders that are held open while a store is: the way to them is walked once, not for each of many thousand looks.
//!
//! What is not found here may have been moved: the caller then looks by the whole path, and has its errors from there.

use std::{ffi::CStr, fs::File, path::Path};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, open, statat};

use super::{
    manifest::{ArtifactKind, ArtifactRef},
    stat::Stat,
};
use crate::hash::Digest;

/// `ab/<64 digits>`, the longest ending, and a zero.
const LONGEST: usize = 3 + 64 + ".parquet".len() + 1;

/// A folder of files that are named by digests, fanned out into folders by their first two digits.
pub(crate) struct Near {
    /// `None` where it could not be opened.
    folder: Option<File>,
}

impl Near {
    /// Of the folder at that path; where it cannot be opened, nothing is ever found.
    pub(crate) fn open(path: &Path) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self { folder: open(path, flags, Mode::empty()).ok().map(File::from) }
    }

    fn stat(&self, id: &Digest, ending: &str) -> Option<rustix::fs::Stat> {
        let hex = blake3::Hash::from_bytes(*id.as_bytes()).to_hex();
        let mut name = [0; LONGEST];
        let mut end = 0;
        for part in [&hex[..2], "/", &hex, ending] {
            name[end..end + part.len()].copy_from_slice(part.as_bytes());
            end += part.len();
        }
        let name = CStr::from_bytes_until_nul(&name).ok()?;
        statat(self.folder.as_ref()?, name, AtFlags::empty()).ok()
    }

    /// What `stat` says of a manifest, if it is there.
    pub(crate) fn manifest(&self, key: &Digest) -> Option<Stat> {
        self.stat(key, ".json").map(|stat| Stat::of_raw(&stat))
    }

    /// Whether an object is there and of the right size, as in `object::stat_object`.
    pub(crate) fn has(&self, artifact: &ArtifactRef) -> bool {
        let Some(stat) = self.stat(&artifact.object, artifact.kind.ending()) else { return false };
        match (artifact.kind, FileType::from_raw_mode(stat.st_mode)) {
            (ArtifactKind::Table, FileType::RegularFile) => Stat::of_raw(&stat).bytes == artifact.bytes,
            (ArtifactKind::Files, FileType::Directory) => true,
            _ => false,
        }
    }
}
