//! Checks everything in the store against its digests.

use std::path::PathBuf;

use crate::{Store, StoreError};

/// How to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Quarantine what is damaged, and rebuild the index.
    pub repair: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Damaged: never served, computed again when needed.
    Damaged {
        /// Which file or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A manifest of a newer version.
    Future {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// An object that no manifest names: harmless, `gc` removes it.
    Orphan {
        /// The object.
        path: PathBuf,
    },
    /// Left in `tmp/` by a process that died: harmless, `gc` removes it.
    Leftover {
        /// The entry.
        path: PathBuf,
    },
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Manifests read.
    pub manifests: usize,
    /// Objects hashed.
    pub objects: usize,
    /// Memo shards hashed.
    pub shards: usize,
    /// Bytes hashed.
    pub bytes: u64,
    /// Everything that is not as it should be, sorted by path.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing is damaged (orphans and leftovers are not damage).
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|f| matches!(f, Finding::Damaged { .. }))
    }
}

impl Store {
    /// Reads and checks everything.
    pub fn verify(&self, _options: &VerifyOptions) -> Result<VerifyReport, StoreError> {
        unimplemented!("lands next")
    }
}
