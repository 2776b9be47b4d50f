//! Names for people: which key a stage of a variant stands at, and links to the current objects.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{ArtifactRef, Digest, Store, StoreError};

/// `refs/<pipeline>/<variant>/<stage>` -> key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEntry {
    /// The variant's name.
    pub variant: String,
    /// The stage's name.
    pub stage: String,
    /// The key that it stands at.
    pub key: Digest,
}

/// A link to be made for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultLink {
    /// Where: a path below the results folder, with its extension.
    pub path: PathBuf,
    /// To what.
    pub artifact: ArtifactRef,
}

impl Store {
    /// Points references of a pipeline at keys, leaving its others as they are. Costs nearly nothing where nothing changes.
    pub fn set_refs(&self, _pipeline: &str, _entries: &[RefEntry]) -> Result<(), StoreError> {
        unimplemented!("lands next")
    }

    /// The references of a pipeline: variant -> stage -> key.
    pub fn refs(&self, _pipeline: &str) -> Result<BTreeMap<String, BTreeMap<String, Digest>>, StoreError> {
        unimplemented!("lands next")
    }

    /// The pipelines that have references, sorted.
    pub fn pipelines(&self) -> Result<Vec<String>, StoreError> {
        unimplemented!("lands next")
    }

    /// Makes links below `results` to current objects: relative symbolic links, or copies where links are not possible.
    /// Links that are right already cost a `readlink` each. Returns how many were made.
    pub fn link_results(&self, _results: &std::path::Path, _links: &[ResultLink]) -> Result<usize, StoreError> {
        unimplemented!("lands next")
    }
}
