//! What is connected to a stage's inputs.

use std::collections::BTreeMap;

use pipe_cache::ArtifactRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One connected input port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The port.
    pub port: String,
    /// One artifact; for a gathered input one per variant, in the order of the variants.
    pub artifacts: Vec<InputArtifact>,
    /// For a gathered input of a kind that does with less: variants whose stage failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingFrom>,
}

/// One artifact of an input. Only `artifact.digest` and `gathered` are part of the key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputArtifact {
    /// The artifact. Its object is kept so that the rows of two runs can be compared.
    #[serde(flatten)]
    pub artifact: ArtifactRef,
    /// Which variant it came from, for a gathered input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gathered: Option<GatheredFrom>,
}

/// A variant that gives nothing to a gathered input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MissingFrom {
    /// How many variants stand before it.
    pub place: usize,
    /// The variant.
    #[serde(flatten)]
    pub variant: GatheredFrom,
}

/// The variant that a gathered artifact came from; becomes columns of the gathered table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatheredFrom {
    /// The variant's name.
    pub variant: String,
    /// Its arm: the name without replicate factors.
    pub arm: String,
    /// All its factors, by name.
    pub factors: BTreeMap<String, Value>,
}
