//! What keys are made of, readable, and what else of a result the engine keeps in its manifest.

use std::{collections::BTreeMap, path::PathBuf};

use pipe_cache::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{context::InputRecord, pipeline::Label};

/// Version of the key's encoding; part of the domain that is hashed first.
pub const FORMAT: u32 = 1;

/// Every component of a key, readable. Kept in the manifest, so that `why` can compare.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// The kind's name.
    pub kind: String,
    /// The kind's version.
    pub version: u32,
    /// Semantic parameters, defaults filled in.
    pub params: Value,
    /// Connected inputs, sorted by port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputRecord>,
    /// Content outside the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceRecord>,
}

/// Something outside the store that the result depends on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// The name that the kind gave it.
    pub label: String,
    /// What it is.
    #[serde(flatten)]
    pub content: SourceContent,
}

/// The content of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceContent {
    /// Digest of a file or directory.
    Content(Digest),
    /// The files that a pattern matched, in the order of their names.
    Files(Vec<FileSource>),
    /// A value that stands for itself.
    Value(Value),
    /// An environment variable, `None` when it is not set.
    Env(Option<String>),
}

/// One of the files that a pattern matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileSource {
    /// Its content.
    pub digest: Digest,
    /// Its name, where the kind says that the name matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What the engine keeps in a manifest: [`Provenance::record`](pipe_cache::Provenance::record).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// All components of the key.
    pub key: KeyRecord,
    /// The pipeline that computed it first.
    pub pipeline: String,
    /// The variant that it was computed for first, as its results are kept; empty in results of earlier versions.
    #[serde(default)]
    pub variant: String,
    /// The stage of that variant; empty in results of earlier versions.
    #[serde(default)]
    pub stage: String,
    /// The stage, as people know it: `stage` or `stage@variant`.
    pub label: Label,
    /// The stage's log file, when it wrote one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// The texts of sources that are kept, so that what changed in them can be told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<String, String>,
}
