//! The model families. One file per family, with one [`FamilySpec`]: its names, and how its `config.json` is read.
//!
//! A new family that one decoder can run is a file here and a line in [`ALL`].

mod llama;
mod llama_like;
mod mistral;
mod mpt;
mod qwen2;
mod qwen3;
mod smollm3;

use std::fmt;

use serde::de::DeserializeOwned;

use super::{ConfigProblem, DecoderConfig, Linear, raw::Head};

/// All families, in the order in which messages list them.
static ALL: &[&FamilySpec] =
    &[&llama::LLAMA, &mistral::MISTRAL, &qwen2::QWEN2, &qwen3::QWEN3, &smollm3::SMOLLM3, &mpt::MPT];

/// A family that is known at compile time; every [`DecoderConfig`] is of one.
pub type Family = &'static FamilySpec;

/// What is particular to a model family: how its files name things, and how its configuration is read.
pub struct FamilySpec {
    /// The `model_type` of `config.json`.
    pub model_type: &'static str,
    /// The `architectures` entry of `config.json`.
    pub architecture: &'static str,
    /// Other spellings of it that published checkpoints carry.
    also_called: &'static [&'static str],
    /// `general.architecture` of its GGUF files, where llama.cpp has it as this decoder does.
    pub gguf: Option<&'static str>,
    /// Whether q and k have a norm of their own.
    pub qk_norm: bool,
    /// What its checkpoints call the tensors.
    pub names: Names,
    /// Reads the text of a `config.json`; sizes are checked afterwards, for all families alike.
    read: fn(&str) -> Result<DecoderConfig, ConfigProblem>,
}

/// What the checkpoints of a family call their tensors.
pub struct Names {
    /// The embedding table, without `.weight`.
    pub embedding: &'static str,
    /// The norm behind the last layer.
    pub final_norm: &'static str,
    /// The list of layers; `.0` is its first.
    pub layers: &'static str,
    /// Within a layer, the norm before attention.
    pub attention_norm: &'static str,
    /// Within a layer, the norm before the MLP.
    pub mlp_norm: &'static str,
    /// The projections of a layer, in the order in which they are applied, with their names within it.
    pub linears: &'static [(Linear, &'static str)],
}

impl PartialEq for FamilySpec {
    fn eq(&self, other: &Self) -> bool {
        self.model_type == other.model_type
    }
}

impl fmt::Debug for FamilySpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model_type)
    }
}

impl FamilySpec {
    /// The family of a GGUF file's `general.architecture`.
    pub fn of_gguf(architecture: &str) -> Option<Family> {
        ALL.iter().copied().find(|family| family.gguf == Some(architecture))
    }

    /// The names that [`FamilySpec::of_gguf`] knows, for messages.
    pub fn gguf_names() -> String {
        let mut names: Vec<&str> = ALL.iter().filter_map(|family| family.gguf).collect();
        names.dedup();
        names.join(", ")
    }

    /// The names of the supported architectures, for messages.
    pub(super) fn architectures() -> String {
        ALL.iter().map(|family| family.architecture).collect::<Vec<_>>().join(", ")
    }
}

/// Reads and checks a `config.json`.
pub(super) fn parse(text: &str) -> Result<DecoderConfig, ConfigProblem> {
    let head: Head = json(text)?;
    let family = family(&head)?;
    if let Some(quantisation) = head.quantization_config.filter(|q| !q.is_null()) {
        let method = quantisation.get("quant_method").and_then(|m| m.as_str()).unwrap_or("an unnamed method");
        return Err(ConfigProblem::Quantised { method: method.to_owned() });
    }
    let config = (family.read)(text)?;
    check(&config)?;
    Ok(config)
}

/// The architecture decides; `model_type` alone is enough where a file has no `architectures`.
fn family(head: &Head) -> Result<Family, ConfigProblem> {
    let architecture = head.architectures.as_ref().and_then(|names| names.first());
    let known = |name: &String| {
        let name = name.as_str();
        ALL.iter().copied().find(|family| match architecture {
            Some(_) => family.architecture == name || family.also_called.contains(&name),
            None => family.model_type == name,
        })
    };
    let name = architecture.or(head.model_type.as_ref()).ok_or(ConfigProblem::Missing("architectures"))?;
    known(name).ok_or_else(|| ConfigProblem::Architecture { name: name.clone() })
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, ConfigProblem> {
    crate::json::parse(text).map_err(ConfigProblem::Json)
}

/// Most layers. Something is made for each of them before any tensor is looked for, and published models have some
/// hundred.
pub(crate) const MAX_LAYERS: usize = 4096;
/// Largest size of anything: products of two of them are whole numbers still.
pub(crate) const MAX_SIZE: usize = 1 << 28;

fn layer_count(key: &'static str, written: Option<usize>) -> Result<usize, ConfigProblem> {
    match need(key, written)? {
        count if count <= MAX_LAYERS => Ok(count),
        count => Err(value(key, count, format!("at most {MAX_LAYERS} layers are supported"))),
    }
}

fn check(config: &DecoderConfig) -> Result<(), ConfigProblem> {
    let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
    for (key, size) in [
        ("vocab_size", config.vocab_size),
        ("hidden_size", config.hidden_size),
        ("num_attention_heads", heads),
        ("num_key_value_heads", kv_heads),
        ("head_dim", config.head_dim),
        ("intermediate_size", config.intermediate_size),
        ("max_position_embeddings", config.max_position_embeddings),
    ] {
        need(key, Some(size))?;
        if size > MAX_SIZE && key != "max_position_embeddings" {
            return Err(value(key, size, format!("at most {MAX_SIZE} is supported")));
        }
    }
    if heads % kv_heads != 0 {
        return Err(value("num_key_value_heads", kv_heads, format!("{heads} attention heads cannot be shared evenly")));
    }
    let ids = config.bos_token_id.iter().chain(&config.pad_token_id).map(|id| ("bos_token_id or pad_token_id", id));
    for (key, id) in ids.chain(config.eos_token_ids.iter().map(|id| ("eos_token_id", id))) {
        if *id as usize >= config.vocab_size {
            return Err(value(key, id, format!("the vocabulary has {} entries", config.vocab_size)));
        }
    }
    if !(config.norm_eps.is_finite() && config.norm_eps >= 0.0) {
        return Err(value("rms_norm_eps", config.norm_eps, "it must be finite and not negative".into()));
    }
    Ok(())
}

fn or_default<T: Clone>(written: Option<&Option<T>>, default: Option<T>) -> Option<T> {
    match written {
        Some(value) => value.clone(),
        None => default,
    }
}

fn need(key: &'static str, size: Option<usize>) -> Result<usize, ConfigProblem> {
    match size {
        Some(0) => Err(value(key, 0, "it must be positive".into())),
        Some(size) => Ok(size),
        None => Err(ConfigProblem::Missing(key)),
    }
}

fn value(key: &'static str, value: impl ToString, reason: String) -> ConfigProblem {
    ConfigProblem::Value { key, value: value.to_string(), reason }
}
