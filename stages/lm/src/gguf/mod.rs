//! GGUF files (llama.cpp's format): reading for inference, writing for export.
//!
//! Reading covers the architectures `llama` (with Mistral and SmolLM 1 and 2, which are stored as such), `qwen2` and
//! `qwen3`, with tensors of every type that candle expands (F32, F16, BF16, Q4_0 to Q8_0, the K-quants). Weights stay
//! in their file's encoding and are expanded while in use.

mod adapter;
mod config;
mod file;
mod layout;
mod meta;
mod metadata;
mod names;
mod refold;
mod tensors;
mod tokenizer_read;
mod tokenizer_write;
mod write;

use std::path::{Path, PathBuf};

pub use adapter::export_gguf_adapter;
pub use file::{Expanded, GgufModel, Rounding};
pub use refold::export_gguf_again;
pub use write::{GgufType, export_gguf};

/// Why a GGUF file could not be used or written.
#[derive(Debug, thiserror::Error)]
pub enum GgufError {
    /// The file could not be opened, read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The header cannot be parsed.
    #[error("read {} as GGUF", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What candle said.
        source: candle_core::Error,
    },
    /// The file ends before its tensors do.
    #[error("read {}: the file is truncated, {found} of {expected} bytes are there; download it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The size that its header announces.
        expected: u64,
    },
    /// The metadata are incomplete, or ask for what is not supported.
    #[error("use {}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The tokenizer inside cannot be built.
    #[error(transparent)]
    Tokenizer(#[from] crate::tokenizer::TokenizerError),
    /// The model cannot be written as GGUF.
    #[error("write a GGUF file of this model: {0}")]
    Unsupported(String),
    /// A tensor could not be read, computed or quantised.
    #[error(transparent)]
    Weights(#[from] crate::weights::WeightsError),
}

impl GgufError {
    fn invalid(path: &Path, problem: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_owned(), problem: problem.into() }
    }
}
