//! A model as a GGUF file.

use std::path::Path;

use candle_core::{
    Tensor,
    quantized::{GgmlDType, QTensor},
};

use super::{
    GgufError,
    config::yarn_attention,
    layout::{Planned, write_file},
    meta::Meta,
    names, tokenizer_write,
};
use crate::{
    adapter::Merged,
    config::{Activation, DecoderConfig, Position, RopeScaling},
    tokenizer::Tokenizer,
    weights::{Param, WeightsError},
};

/// How the matrices of an export are stored. Norms and biases are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GgufType {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// 8-bit integers in blocks of 32 with an f16 scale; matrices whose rows are not a multiple of 32 are stored as
    /// f16.
    Q8_0,
}

/// llama.cpp's number of a type of files: all f32, mostly f16, mostly Q8_0.
pub(super) fn file_type(stored: GgufType) -> u32 {
    match stored {
        GgufType::F32 => 0,
        GgufType::F16 => 1,
        GgufType::Q8_0 => 7,
    }
}

/// The type of a tensor of this shape.
pub(super) fn matrix_type(stored: GgufType, shape: &[usize]) -> GgmlDType {
    match (stored, shape) {
        (GgufType::F32, _) | (_, [_]) => GgmlDType::F32,
        (GgufType::Q8_0, [_, columns]) if columns % 32 == 0 => GgmlDType::Q8_0,
        _ => GgmlDType::F16,
    }
}

/// Writes a model, with its adapter folded in, and its tokenizer as one GGUF file that llama.cpp runs. `ends` are all
/// tokens that end a text. The file appears under its name only when it is complete.
///
/// # Errors The architecture, its rope scaling or the tokenizer has no counterpart in llama.cpp, a tensor cannot be
/// computed, or the file cannot be written.
pub fn export_gguf(
    path: &Path,
    model: &Merged<'_>,
    tokenizer: &Tokenizer,
    chat_template: Option<&str>,
    ends: &[u32],
    stored: GgufType,
) -> Result<(), GgufError> {
    let config = model.config();
    let mut entries = describe(config, stored)?;
    entries.extend(tokenizer_write::entries(tokenizer, config.vocab_size, ends)?);
    entries.extend(chat_template.map(|t| ("tokenizer.chat_template".to_owned(), Meta::Text(t.to_owned()))));
    let factors = rope_factors(config);
    let mut tensors: Vec<Planned<Option<Param>>> = Param::all(config)
        .into_iter()
        .map(|param| {
            let shape = param.shape(config);
            let dtype = matrix_type(stored, &shape);
            Planned { name: names::name(param), shape, dtype, from: Some(param) }
        })
        .collect();
    let dtype = GgmlDType::F32;
    let of_factors =
        |f: &Vec<f32>| Planned { name: "rope_freqs.weight".into(), shape: vec![f.len()], dtype, from: None };
    tensors.extend(factors.as_ref().map(of_factors));
    write_file(path, &entries, &tensors, |tensor| match tensor.from {
        Some(param) => encode(model, param, tensor.dtype),
        None => Ok(factors.iter().flatten().flat_map(|f| f.to_le_bytes()).collect()),
    })
}

fn encode(model: &Merged<'_>, param: Param, dtype: GgmlDType) -> Result<Vec<u8>, GgufError> {
    let bytes = encoded(&model.load_f32(param)?, model.config(), param, dtype);
    bytes.map_err(|source| WeightsError::Tensor { name: names::name(param), source }.into())
}

/// A parameter in the order of Hugging Face as the file holds it.
pub(super) fn encoded(
    tensor: &Tensor,
    config: &DecoderConfig,
    param: Param,
    dtype: GgmlDType,
) -> candle_core::Result<Vec<u8>> {
    let ordered;
    let tensor = if names::is_interleaved(config.family, param) {
        let order = names::stored_order(tensor.dims()[0], config.head_dim);
        ordered = tensor.index_select(&Tensor::new(order, tensor.device())?, 0)?;
        &ordered
    } else {
        tensor
    };
    Ok(QTensor::quantize(tensor, dtype)?.data()?.into_owned())
}

/// `general.*` and the architecture's own keys.
fn describe(config: &DecoderConfig, stored: GgufType) -> Result<Vec<(String, Meta)>, GgufError> {
    let unsupported = |what: String| GgufError::Unsupported(what);
    let architecture = config
        .family
        .gguf
        .ok_or_else(|| unsupported(format!("the architecture {} is not supported", config.family.architecture)))?;
    let Position::Rope(rope) = &config.position else { return Err(unsupported("it has no rotary embedding".into())) };
    if config.layers.iter().any(|l| l.sliding_window.is_some_and(|w| w < config.max_position_embeddings)) {
        return Err(unsupported("llama.cpp would ignore its sliding window".into()));
    }
    if config.mlp_bias || config.o_bias {
        return Err(unsupported("biases on the MLP or the attention output are not supported".into()));
    }
    if config.activation != Activation::Silu || !config.gated_mlp {
        return Err(unsupported(format!("llama.cpp would compute SiLU in place of its {:?}", config.activation)));
    }
    let usual_scale = 1.0 / (config.head_dim as f64).sqrt();
    if (config.softmax_scale - usual_scale).abs() > 1e-9 || config.clip_qkv.is_some() {
        return Err(unsupported("its attention is scaled or clipped".into()));
    }
    let count = |n: usize| Meta::Count(n as u32);
    let mut entries = vec![
        ("general.architecture".to_owned(), Meta::Text(architecture.into())),
        ("general.file_type".to_owned(), Meta::Count(file_type(stored))),
        ("general.quantization_version".to_owned(), Meta::Count(2)),
    ];
    let mut add = |tail: &str, entry| entries.push((format!("{architecture}.{tail}"), entry));
    add("block_count", count(config.num_layers()));
    add("context_length", count(config.max_position_embeddings));
    add("embedding_length", count(config.hidden_size));
    add("feed_forward_length", count(config.intermediate_size));
    add("attention.head_count", count(config.num_attention_heads));
    add("attention.head_count_kv", count(config.num_key_value_heads));
    add("attention.key_length", count(config.head_dim));
    add("attention.value_length", count(config.head_dim));
    add("attention.layer_norm_rms_epsilon", Meta::Number(config.norm_eps as f32));
    add("rope.dimension_count", count(config.head_dim));
    add("rope.freq_base", Meta::Number(rope.theta as f32));
    add("vocab_size", count(config.vocab_size));
    match &rope.scaling {
        RopeScaling::Default | RopeScaling::Llama3 { .. } | RopeScaling::Factors { .. } => {}
        RopeScaling::Linear { factor } => {
            add("rope.scaling.type", Meta::Text("linear".into()));
            add("rope.scaling.factor", Meta::Number(*factor as f32));
        }
        RopeScaling::Yarn {
            factor,
            original_max_position_embeddings,
            attention_factor,
            beta_fast,
            beta_slow,
            truncate,
        } => {
            if !truncate {
                return Err(unsupported("YaRN with `truncate: false` has no counterpart".into()));
            }
            add("rope.scaling.type", Meta::Text("yarn".into()));
            add("rope.scaling.factor", Meta::Number(*factor as f32));
            add("rope.scaling.original_context_length", count(*original_max_position_embeddings));
            // llama.cpp has the usual values by itself.
            let attention = attention_factor / yarn_attention(*factor);
            for (tail, found, usual) in [
                ("rope.scaling.attn_factor", attention, 1.0),
                ("rope.scaling.yarn_beta_fast", *beta_fast, 32.0),
                ("rope.scaling.yarn_beta_slow", *beta_slow, 1.0),
            ] {
                if (found - usual).abs() > 1e-9 {
                    add(tail, Meta::Number(found as f32));
                }
            }
        }
        RopeScaling::Dynamic { .. } => return Err(unsupported("dynamic rope scaling has no counterpart".into())),
    }
    Ok(entries)
}

/// Llama 3's scaling as divisors of the plain frequencies.
fn rope_factors(config: &DecoderConfig) -> Option<Vec<f32>> {
    let Position::Rope(rope) = &config.position else { return None };
    if !matches!(rope.scaling, RopeScaling::Llama3 { .. } | RopeScaling::Factors { .. }) {
        return None;
    }
    let plain = crate::config::Rope { theta: rope.theta, scaling: RopeScaling::Default };
    let (plain, _) = plain.inverse_frequencies(config.head_dim, 1);
    let (scaled, _) = rope.inverse_frequencies(config.head_dim, 1);
    Some(plain.into_iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect())
}
