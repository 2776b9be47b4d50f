//! Whether the files of a model can be what is asked of them, found in milliseconds and without reading a weight: for
//! plans, which tell what would fail hours later.

use std::path::Path;

use super::LocalModel;
use crate::{
    Error,
    config::DecoderConfig,
    embed::{Embedder, Ranker},
    gguf::GgufModel,
    tokenizer::{TokenizerConfig, TokenizerError},
    weights::Weights,
};

/// Checks the files of a model that generates or is trained: a configuration of a supported architecture, a tokenizer,
/// and every tensor with the right shape in files that are as long as they should be.
///
/// # Errors
/// What is missing, damaged or not supported, as opening the model would say it.
#[expect(clippy::result_large_err, reason = "once per model")]
pub fn check_decoder(model: &LocalModel) -> Result<(), Error> {
    match model {
        LocalModel::Directory { path, .. } => {
            let config = DecoderConfig::from_dir(path)?;
            there(&path.join("tokenizer.json"))?;
            TokenizerConfig::from_dir(path)?;
            Weights::from_dir(path, &config)?;
        }
        // The program's tests have checked it.
        LocalModel::Carried(_) => {}
        LocalModel::Gguf(path) => {
            GgufModel::open(path)?;
        }
    }
    Ok(())
}

/// Checks the directory of an embedding model: its configuration, its modules, and that tokenizer and weights are
/// there.
///
/// # Errors
/// As [`check_decoder`].
#[expect(clippy::result_large_err, reason = "once per model")]
pub fn check_embedder(dir: &Path) -> Result<(), Error> {
    Embedder::check(dir)?;
    tokenizer(dir)
}

/// Checks the directory of a cross-encoder likewise, and that it gives one score.
///
/// # Errors
/// As [`check_embedder`].
#[expect(clippy::result_large_err, reason = "once per model")]
pub fn check_ranker(dir: &Path) -> Result<(), Error> {
    Ranker::check(dir)?;
    tokenizer(dir)
}

#[expect(clippy::result_large_err, reason = "once per model")]
fn tokenizer(dir: &Path) -> Result<(), Error> {
    there(&dir.join("tokenizer.json"))?;
    TokenizerConfig::from_dir(dir)?;
    Ok(())
}

fn there(path: &Path) -> Result<(), TokenizerError> {
    let read = |source| TokenizerError::Read { path: path.to_owned(), source };
    std::fs::File::open(path).map(drop).map_err(read)
}
