//! Parameters of what becomes of rankings: fused, or put in order once more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::embedder::EmbedderRef;

/// What a place in each ranking counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// In that by words.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0))]
    pub bm25: f64,
    /// In that by vectors.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0))]
    pub dense: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self { bm25: one(), dense: one() }
    }
}

impl Weights {
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

fn one() -> f64 {
    1.0
}

/// What puts passages in order once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rerank {
    /// A cross-encoder with one score, such as `hf:cross-encoder/ms-marco-MiniLM-L6-v2`: a Hugging Face directory
    /// relative to the file that names it, or `hf:org/name@revision`. Its content is part of the key, its place is not.
    #[schemars(extend("x-operational" = true))]
    pub model: EmbedderRef,
    /// Passages of the first ranking that it reads, for each row.
    #[serde(default = "rerank_depth")]
    #[schemars(range(min = 1))]
    pub depth: usize,
}

fn rerank_depth() -> usize {
    50
}
