//! Writing a model, with or without an adapter folded in, for other programs.

use std::path::{Path, PathBuf};

use candle_core::DType;
use serde_json::{Value, json};

use crate::{
    adapter::Merged,
    folder::Folder,
    generate::Ends,
    weights::{TensorSet, WeightsError, write_sharded},
};

/// What is copied beside the weights, where the source has it.
const COMPANIONS: &[&str] = &[
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "LICENSE",
];

/// Largest shard of an export, as in `transformers`: 5 GB.
pub const MAX_SHARD_BYTES: u64 = 5_000_000_000;

/// Writes a Hugging Face directory: weights in shards of at most `max_shard_bytes`, configuration and tokenizer of the
/// `source` directory. Where the source's files disagree about what ends a text, those written name all of its `ends`.
/// Returns the weight files.
///
/// # Errors
/// A file cannot be read or written, or a tensor cannot be computed.
pub fn export_hf<'a>(
    out: &Path,
    source: impl Into<Folder<'a>>,
    model: &Merged<'_>,
    ends: &Ends,
    max_shard_bytes: u64,
) -> Result<Vec<PathBuf>, ExportError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Io { action, path, source }
    };
    let source = source.into();
    std::fs::create_dir_all(out).map_err(io("create", out))?;
    let files = write_sharded(out, model, max_shard_bytes)?;
    for name in COMPANIONS {
        let from = source.place(name);
        let copied = match source {
            Folder::Disk(_) => std::fs::copy(&from, out.join(name)).map(drop),
            Folder::Carried(_) => source.bytes(name).and_then(|bytes| std::fs::write(out.join(name), bytes)),
        };
        match copied {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io("copy", &from)(e)),
            // Copied, or not there.
            _ => {}
        }
    }
    let from = source.place("config.json");
    let text = source.text("config.json").map_err(io("read", &from))?;
    let mut config: Value = serde_json::from_str(&crate::json::plain(&text))
        .map_err(|source| ExportError::Config { path: from, source })?;
    if let Some(name) = common_dtype(model) {
        // `torch_dtype` until transformers 4, `dtype` since 5; both read the older one.
        let key = if config.get("dtype").is_some() { "dtype" } else { "torch_dtype" };
        config[key] = json!(name);
    }
    let to = out.join("config.json");
    if ends.disagreement.is_some() {
        config["eos_token_id"] = json!(ends.ids);
        let generation = out.join("generation_config.json");
        if generation.exists() {
            let text = std::fs::read_to_string(&generation).map_err(io("read", &generation))?;
            let parsed = serde_json::from_str(&crate::json::plain(&text));
            let mut written: Value =
                parsed.map_err(|source| ExportError::Config { path: generation.clone(), source })?;
            written["eos_token_id"] = json!(ends.ids);
            write_json(&generation, &written).map_err(io("write", &generation))?;
        }
    }
    write_json(&to, &config).map_err(io("write", &to))?;
    Ok(files)
}

fn write_json(path: &Path, value: &Value) -> std::io::Result<()> {
    // A copy of a read-only file is read-only.
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    std::fs::write(path, serde_json::to_string_pretty(value)?)
}

/// The type of all tensors, if they have one in common.
fn common_dtype(model: &Merged<'_>) -> Option<&'static str> {
    let specs = model.specs();
    let first = specs.first()?.1;
    let name = match first {
        DType::F32 => "float32",
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        _ => return None,
    };
    specs.iter().all(|(_, dtype, _)| *dtype == first).then_some(name)
}

/// Why a model could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file could not be read or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The source's configuration is not JSON.
    #[error("read {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A tensor could not be computed or written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}
