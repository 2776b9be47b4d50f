//! What the store knows of a key: outputs, provenance, and the small part of it that planning needs.

use std::{collections::BTreeMap, io, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    checked_json::{self, Broken},
    paths,
};
use crate::{
    error::{Damage, StoreError, damage},
    hash::Digest,
};

/// Written into every manifest. A manifest with a higher number is reported and never overwritten in place.
pub(crate) const MANIFEST_FORMAT: u32 = 1;

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// Rows in a Parquet file.
    Table,
    /// A directory of files.
    Files,
}

impl ArtifactKind {
    /// What the name of an object of this kind ends in.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Table => ".parquet",
            Self::Files => "",
        }
    }
}

/// All that is needed to use an artifact as an input: its logical digest for keys, its object for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// Table or files.
    pub kind: ArtifactKind,
    /// The logical digest (I6): what keys of later stages are made of.
    pub digest: Digest,
    /// The name of the object that holds it: for a table the digest of its bytes, for files that of the listing.
    pub object: Digest,
    /// Size on disk, in bytes.
    pub bytes: u64,
    /// Rows of a table, or number of files.
    pub rows: u64,
}

/// A column of a table, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The Arrow type, for example `Utf8` or `List(Int32)`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether it may hold nulls.
    pub nullable: bool,
}

/// One file of a files artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path inside the artifact, with `/` between components.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Digest of the bytes.
    pub digest: Digest,
    /// Whether the owner may execute it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
    /// Of a symbolic link: the path that it says, relative to its own directory. Its digest is that of this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// One output of a computation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The port's name.
    pub port: String,
    /// The artifact.
    #[serde(flatten)]
    pub artifact: ArtifactRef,
    /// The columns of a table; empty for files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Column>,
    /// The files, sorted by path; empty for a table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileEntry>,
}

/// Where a result comes from. All of it is for people and for estimates; none of it is part of the key.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The caller's key record: every component of the key, so that two keys can be compared. Opaque here.
    pub record: Value,
    /// The memo that the rows came through, so that gc keeps it as long as the manifest is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<Digest>,
    /// The run that computed it.
    pub run_id: String,
    /// Milliseconds since 1970 when the computation began.
    pub started_ms: u64,
    /// Seconds that the computation took.
    pub seconds: f64,
    /// Seconds by phase.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub timings: BTreeMap<String, f64>,
    /// Counts: rows computed, rows from the memo, tokens.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
    /// Name and version of the software.
    pub software: String,
    /// The machine, in words or fields.
    #[serde(default)]
    pub machine: Value,
}

/// Everything known of a key, as stored in `manifests/`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`] of the writer.
    pub format: u32,
    /// The key.
    pub key: Digest,
    /// Outputs in declared order.
    pub outputs: Vec<Output>,
    /// Where they come from.
    #[serde(flatten)]
    pub provenance: Provenance,
}

impl Manifest {
    /// The part that lookups return.
    pub fn entry(&self) -> Entry {
        Entry {
            key: self.key,
            outputs: self.outputs.iter().map(|o| (o.port.clone(), o.artifact)).collect(),
            seconds: self.provenance.seconds,
        }
    }
}

/// The part of a manifest that planning and reading need; the rest is behind [`crate::Store::manifest`].
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Digest,
    /// Port names and artifacts, in declared order.
    pub outputs: Vec<(String, ArtifactRef)>,
    /// Seconds that the computation took.
    pub seconds: f64,
}

impl Entry {
    /// The artifact of a port.
    pub fn output(&self, port: &str) -> Option<&ArtifactRef> {
        self.outputs.iter().find(|(name, _)| name == port).map(|(_, artifact)| artifact)
    }
}

/// Why a manifest could not be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// There is none.
    Missing,
    /// It is damaged.
    Damaged(Damage),
    /// A newer version wrote it.
    Future(u32),
    /// The operating system refused.
    Store(StoreError),
}

/// Reads a manifest, and checks that it is whole and of the key that its name says.
pub(crate) fn read(path: &Path) -> Result<Manifest, Unreadable> {
    let key = paths::digest_name(path).ok_or_else(|| Unreadable::Damaged(damage(path, "it is not named by a key")))?;
    read_as(path, &key)
}

/// Reads the manifest of a key, wherever it lies.
pub(crate) fn read_as(path: &Path, key: &Digest) -> Result<Manifest, Unreadable> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Unreadable::Missing),
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => {
            return Err(Unreadable::Damaged(damage(path, "it is a directory")));
        }
        Err(e) => return Err(Unreadable::Store(StoreError::io("read", path, e))),
    };
    let manifest: Manifest = checked_json::decode(&bytes, MANIFEST_FORMAT).map_err(|broken| match broken {
        Broken::Damaged(reason) => Unreadable::Damaged(damage(path, reason)),
        Broken::Future(format) => Unreadable::Future(format),
    })?;
    if manifest.key != *key {
        return Err(Unreadable::Damaged(damage(path, format!("it is the manifest of key {:?}", manifest.key))));
    }
    Ok(manifest)
}
