//! Why weights could not be used.

use std::path::PathBuf;

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A directory without weights.
    #[error(
        "find weights in {}: there is neither model.safetensors nor model.safetensors.index.json{}",
        dir.display(),
        if *pickle { "; pytorch_model.bin is not read because it can run code: convert it to safetensors" } else { "" }
    )]
    NoWeights {
        /// The directory.
        dir: PathBuf,
        /// Whether there are weights in PyTorch's pickle format.
        pickle: bool,
    },
    /// A shard that the index names does not exist.
    #[error("open {}: the shard is listed in {} but is not there; download it again", path.display(), index.display())]
    MissingShard {
        /// The shard.
        path: PathBuf,
        /// The file that lists it.
        index: PathBuf,
    },
    /// A file could not be opened, mapped or written.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is shorter than its header says: an interrupted download or copy.
    #[error("read {}: the file is truncated, {found} of {expected} bytes are there; download it again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The size that its header announces.
        expected: u64,
    },
    /// A file that is not safetensors.
    #[error("read {} as safetensors", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: safetensors::SafeTensorError,
    },
    /// An index that is not what an index should be.
    #[error("read {}: {reason}", path.display())]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The index promises a tensor that its shard does not hold.
    #[error("find `{name}` in {}, where {} says it is", path.display(), index.display())]
    NotInShard {
        /// The tensor.
        name: String,
        /// The shard.
        path: PathBuf,
        /// The index.
        index: PathBuf,
    },
    /// Two shards hold the same tensor.
    #[error("read `{name}`: it is both in {} and in {}", first.display(), second.display())]
    Twice {
        /// The tensor.
        name: String,
        /// One shard.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A tensor of integers, or of a float type that no supported model uses.
    #[error("read `{name}` in {}: its type {dtype} is not supported (supported: F32, F16, BF16)", path.display())]
    Type {
        /// The tensor.
        name: String,
        /// The file.
        path: PathBuf,
        /// Its type.
        dtype: String,
    },
    /// A tensor whose shape contradicts the configuration.
    #[error("use `{name}` in {file}: its shape is {found:?}, but {described_in} asks for {expected:?}")]
    Shape {
        /// The file.
        file: String,
        /// `config.json`, or what else describes the model.
        described_in: &'static str,
        /// The tensor.
        name: String,
        /// What is there.
        found: Box<[usize]>,
        /// What the configuration asks for.
        expected: Box<[usize]>,
    },
    /// Tensors that the configuration asks for are not there.
    #[error("find {}{} in {place}", quoted(names), and_more(*more, ""))]
    Missing {
        /// Where they should be.
        place: String,
        /// The first few of them.
        names: Vec<String>,
        /// How many besides.
        more: usize,
    },
    /// A tensor that the configuration does not know.
    #[error("use {file}: {described_in} describes a model without `{name}`{}", and_more(*more, " tensors"))]
    Unexpected {
        /// The file.
        file: String,
        /// `config.json`, or what else describes the model.
        described_in: &'static str,
        /// The first such tensor by name.
        name: String,
        /// How many besides.
        more: usize,
    },
    /// A tensor could not be converted, moved or computed.
    #[error("convert `{name}`")]
    Tensor {
        /// The tensor.
        name: String,
        /// What candle said.
        source: candle_core::Error,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

fn and_more(more: usize, what: &str) -> String {
    if more == 0 { String::new() } else { format!(" (and {more} more{what})") }
}
