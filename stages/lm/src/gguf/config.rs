//! A [`DecoderConfig`] from GGUF metadata.

use super::{GgufError, metadata::Metadata, names};
use crate::{
    config::{Activation, DecoderConfig, Family, Layer, NormKind, Position, Rope, RopeScaling},
    weights::{LayerParam, Linear, Param},
};

/// What the tensors tell that the metadata do not.
pub(super) struct Tensors<'a> {
    pub has: &'a dyn Fn(&str) -> bool,
    /// Divisors of the rotary frequencies, from `rope_freqs.weight`.
    pub rope_factors: Option<Vec<f32>>,
    /// Rows of the embedding table.
    pub vocab_size: usize,
}

pub(super) fn read(metadata: &Metadata<'_>, tensors: Tensors<'_>) -> Result<DecoderConfig, GgufError> {
    let invalid = |problem: String| GgufError::invalid(metadata.path, problem);
    let architecture = metadata.required("general.architecture", metadata.text("general.architecture")?)?;
    let family = match architecture {
        "llama" => Family::Llama,
        "qwen2" => Family::Qwen2,
        "qwen3" => Family::Qwen3,
        other => {
            return Err(invalid(format!(
                "the architecture `{other}` is not supported (supported: llama, qwen2, qwen3)"
            )));
        }
    };
    let key = |tail: &str| format!("{architecture}.{tail}");
    let count = |tail: &str| metadata.required(&key(tail), metadata.count(&key(tail))?.filter(|n| *n > 0));
    if metadata.count(&key("expert_count"))?.unwrap_or(0) > 0 {
        return Err(invalid("mixtures of experts are not supported".into()));
    }
    let hidden_size = count("embedding_length")?;
    let heads = count("attention.head_count")?;
    let kv_heads = metadata.count(&key("attention.head_count_kv"))?.unwrap_or(heads);
    let head_dim = metadata.count(&key("attention.key_length"))?.unwrap_or(hidden_size / heads);
    if kv_heads == 0 || heads % kv_heads != 0 || !head_dim.is_multiple_of(2) {
        return Err(invalid(format!("{heads} heads of {head_dim} over {kv_heads} key and value heads are impossible")));
    }
    for (tail, expected) in [("attention.value_length", head_dim), ("rope.dimension_count", head_dim)] {
        if let Some(found) = metadata.count(&key(tail))?.filter(|n| *n != expected) {
            return Err(invalid(format!(
                "`{}` is {found}; only the width of a head ({expected}) is supported",
                key(tail)
            )));
        }
    }
    let max_positions = count("context_length")?;
    let bias = |linear| (tensors.has)(&names::name(Param::Layer(0, LayerParam::Bias(linear))));
    let id = |tail: &str| -> Result<Option<u32>, GgufError> {
        Ok(metadata.count(&format!("tokenizer.ggml.{tail}_token_id"))?.map(|n| n as u32))
    };
    let mut eos_token_ids: Vec<u32> = id("eos")?.into_iter().collect();
    // Chat models end a turn with another token than a document.
    eos_token_ids.extend(id("eot")?.filter(|eot| Some(*eot) != eos_token_ids.first().copied()));
    Ok(DecoderConfig {
        family,
        vocab_size: tensors.vocab_size,
        hidden_size,
        intermediate_size: count("feed_forward_length")?,
        num_attention_heads: heads,
        num_key_value_heads: kv_heads,
        head_dim,
        layers: vec![Layer { rope: true, sliding_window: None }; count("block_count")?],
        norm: NormKind::Rms,
        norm_eps: metadata.number(&key("attention.layer_norm_rms_epsilon"))?.unwrap_or(1e-5),
        position: Position::Rope(Rope {
            theta: metadata.number(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            scaling: scaling(metadata, &key, max_positions, tensors.rope_factors.clone())?,
        }),
        qkv_bias: bias(Linear::Q),
        o_bias: bias(Linear::O),
        mlp_bias: bias(Linear::Up),
        qk_norm: family == Family::Qwen3,
        clip_qkv: None,
        softmax_scale: 1.0 / (head_dim as f64).sqrt(),
        activation: Activation::Silu,
        gated_mlp: true,
        tie_word_embeddings: !(tensors.has)(&names::name(Param::LmHead)),
        max_position_embeddings: max_positions,
        bos_token_id: id("bos")?,
        eos_token_ids,
        pad_token_id: id("padding")?,
    })
}

fn scaling(
    metadata: &Metadata<'_>,
    key: &dyn Fn(&str) -> String,
    max_positions: usize,
    factors: Option<Vec<f32>>,
) -> Result<RopeScaling, GgufError> {
    if let Some(factors) = factors {
        return Ok(RopeScaling::Factors { factors });
    }
    let factor = metadata.number(&key("rope.scaling.factor"))?;
    let kind = metadata.text(&key("rope.scaling.type"))?.unwrap_or("none");
    match (kind, factor) {
        ("none", _) => Ok(RopeScaling::Default),
        ("linear", Some(factor)) => Ok(RopeScaling::Linear { factor }),
        ("yarn", Some(factor)) => Ok(RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: metadata
                .count(&key("rope.scaling.original_context_length"))?
                .unwrap_or(max_positions),
            attention_factor: 0.1 * factor.ln() + 1.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            truncate: true,
        }),
        _ => Err(GgufError::invalid(metadata.path, format!("the rope scaling `{kind}` is not supported"))),
    }
}
