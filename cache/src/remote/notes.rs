//! What is noted here of a remote's memos: how many segments of a recipe have been seen, and which shards are in them.
//! Only a saving of requests: without the notes, everything is asked again.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    disk::{Layout, paths, put_file},
    hash::Digest,
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Notes {
    /// The number of the first segment that has not been seen.
    pub(super) next: u64,
    /// Names of shards that are in segments, or whose rows are.
    pub(super) shards: BTreeSet<String>,
}

impl Notes {
    pub(super) fn load(path: &Path) -> Self {
        fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
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
