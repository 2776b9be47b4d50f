//! What is noted here of a remote's memos: how many segments of a recipe have been seen, and which shards are in them.
//! Only a saving of requests: without the notes, everything is asked again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::segment;
use crate::{
    disk::{Layout, paths, put_file},
    hash::Digest,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The newest format of segments that could be read: what could not be is asked for again by who can.
    #[serde(default)]
    format: u32,
    /// The number of the first segment that has not been seen.
    pub(super) next: u64,
    /// The size of the one before it, if it is known: by that it is known again after a collection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<u64>,
    /// Names of shards that are in segments, or whose rows are.
    pub(super) shards: BTreeSet<String>,
    /// Segments that arrived damaged, with the digest of what arrived. They are fetched once more by each run: the
    /// damage may have come on the way. What arrives damaged in the same way lies there so, and is passed over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) damaged: BTreeMap<u64, Digest>,
}

impl Default for Notes {
    fn default() -> Self {
        Self { format: segment::FORMAT, next: 0, last: None, shards: BTreeSet::new(), damaged: BTreeMap::new() }
    }
}

impl Notes {
    pub(super) fn load(path: &Path) -> Self {
        let notes = fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        notes.filter(|notes| notes.format >= segment::FORMAT).unwrap_or_default()
    }

    pub(super) fn save(&self, path: &Path) {
        let bytes = serde_json::to_vec(self).expect("plain data serialises to JSON");
        if let Err(error) = put_file(path, &bytes) {
            tracing::debug!(%error, "notes of a remote were not written");
        }
    }
}

/// Shards of a memo were written anew as others: those are on every remote that had all of the old ones.
pub(crate) fn merged(layout: &Layout, recipe: &Digest, old: &[PathBuf], new: &[PathBuf]) {
    for remote in paths::list(&layout.remote_notes(None)).unwrap_or_default() {
        let Some(id) = remote.file_name().and_then(|name| name.to_str()) else { continue };
        let path = layout.remote_notes(Some((id, recipe)));
        let mut notes = Notes::load(&path);
        if !old.is_empty() && old.iter().all(|path| notes.shards.contains(&name(path))) {
            notes.shards.extend(new.iter().map(|path| name(path)));
            notes.save(&path);
        }
    }
}

pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_newer_segments_looks_at_those_again_that_others_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes");
        let notes = Notes { next: 7, ..Notes::default() };
        notes.save(&path);
        assert_eq!(Notes::load(&path), notes);
        Notes { format: segment::FORMAT - 1, ..notes.clone() }.save(&path);
        assert_eq!(Notes::load(&path), Notes::default());
        Notes { format: segment::FORMAT + 1, ..notes }.save(&path);
        assert_eq!(Notes::load(&path).next, 7);
    }
}
