//! What a checkpoint's `config.json` says, as one [`DecoderConfig`] for every family.
//!
//! The families differ in a handful of switches (biases, QK norm, windows, where positions enter), so one structure
//! describes them all and one decoder runs them all. Defaults of left-out keys are those of `transformers` 5 for the
//! same `model_type`.

pub(crate) mod families;
mod generation;
mod linear;
mod raw;
mod rope;

use std::path::{Path, PathBuf};

pub use families::{Family, FamilySpec, Names};
pub use generation::GenerationDefaults;
pub use linear::Linear;
pub use rope::{Rope, RopeScaling};

use crate::folder::Folder;

/// Which normalisation a block uses. Neither has a bias in the supported families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + eps) * w`
    Rms,
    /// `(x - mean(x)) / sqrt(var(x) + eps) * w`
    Layer,
}

/// The nonlinearity of the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`
    Silu,
    /// The exact GELU, with the error function.
    Gelu,
    /// GELU's tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `max(x, 0)`
    Relu,
}

/// How a model knows the order of its tokens.
#[derive(Debug, Clone, PartialEq)]
pub enum Position {
    /// Rotary embedding of q and k, in the layers whose [`Layer::rope`] is set. Halves are rotated (`x[i]` with `x[i +
    /// d/2]`).
    Rope(Rope),
    /// Linear biases on the attention scores (Press et al. 2022); `bias_max` is the exponent's range, 8 in all
    /// published models.
    Alibi {
        /// The slopes run from `2^(-bias_max/heads)` to `2^(-bias_max)`.
        bias_max: f64,
    },
}

/// What differs from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Whether the rotary embedding applies here.
    pub rope: bool,
    /// A query at position `i` sees the keys `i - window + 1 ..= i`; `None`: all of `0 ..= i`.
    pub sliding_window: Option<usize>,
}

/// Everything that the decoder must know of a checkpoint besides its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    /// Names of weights and defaults.
    pub family: Family,
    /// Rows of the embedding table; at least the tokenizer's size.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the MLP.
    pub intermediate_size: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Width of a head; not always `hidden_size / num_attention_heads`.
    pub head_dim: usize,
    /// One entry per decoder layer.
    pub layers: Vec<Layer>,
    /// Kind of all norms.
    pub norm: NormKind,
    /// Added to the variance in every norm (QK norms included).
    pub norm_eps: f64,
    /// Rotary embedding or ALiBi.
    pub position: Position,
    /// Biases on the projections to q, k and v.
    pub qkv_bias: bool,
    /// Bias on the attention's output projection.
    pub o_bias: bool,
    /// Biases on all projections of the MLP.
    pub mlp_bias: bool,
    /// RMS norm over each head of q and k, before the rotary embedding (Qwen3).
    pub qk_norm: bool,
    /// q, k and v are clamped to `±clip_qkv` (MPT).
    pub clip_qkv: Option<f64>,
    /// Factor on the attention scores; `1/sqrt(head_dim)` unless the configuration says otherwise (MPT).
    pub softmax_scale: f64,
    /// Nonlinearity of the MLP.
    pub activation: Activation,
    /// `down(act(gate(x)) * up(x))` where true, `down(act(up(x)))` where false (MPT).
    pub gated_mlp: bool,
    /// The output projection is the embedding table.
    pub tie_word_embeddings: bool,
    /// Longest sequence the model was made for, in tokens.
    pub max_position_embeddings: usize,
    /// Token that begins a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; may be several, may be none.
    pub eos_token_ids: Vec<u32>,
    /// Token used to fill up.
    pub pad_token_id: Option<u32>,
}

impl DecoderConfig {
    /// Reads `config.json` of a checkpoint directory.
    ///
    /// # Errors The file is missing or is not JSON, a key has the wrong type or an impossible value, or the
    /// architecture, rope type or quantisation is not supported: the message names file, key and value.
    pub fn from_dir<'a>(dir: impl Into<Folder<'a>>) -> Result<Self, ConfigError> {
        const NAME: &str = "config.json";
        let dir = dir.into();
        let path = dir.place(NAME);
        let text = dir.text(NAME).map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        Self::from_json(&text, &path)
    }

    /// Reads the text of a `config.json`; `path` appears in messages only.
    ///
    /// # Errors
    /// As [`DecoderConfig::from_dir`].
    pub fn from_json(text: &str, path: &Path) -> Result<Self, ConfigError> {
        families::parse(text).map_err(|problem| ConfigError::Invalid { path: path.to_owned(), problem })
    }

    /// The number of decoder layers.
    pub fn num_layers(&self) -> usize {
        self.layers.len()
    }
}

/// Why a configuration could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read but cannot be used.
    #[error("use {}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: ConfigProblem,
    },
}

/// What is wrong inside a configuration file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// Not JSON, or a key of the wrong type.
    #[error("{0}")]
    Json(serde_path_to_error::Error<serde_json::Error>),
    /// A key without which no model can be built.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A value that no model can have.
    #[error("`{key}` is {value}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// Why it is impossible, or what is accepted.
        reason: String,
    },
    /// An architecture that the decoder does not cover.
    #[error("the architecture `{name}` is not supported (supported: {})", FamilySpec::architectures())]
    Architecture {
        /// What the file says.
        name: String,
    },
    /// A way of scaling rotary embeddings that is not covered.
    #[error("the rope type `{name}` is not supported (supported: {})", rope::TYPES.join(", "))]
    RopeType {
        /// What the file says.
        name: String,
    },
    /// The weights are stored in a quantised form.
    #[error(
        "the weights are quantised by `{method}`, which is not supported; use the unquantised checkpoint or a GGUF file"
    )]
    Quantised {
        /// `quantization_config.quant_method`.
        method: String,
    },
}
