//! A [`DecoderConfig`] from GGUF metadata.

use super::{GgufError, metadata::Metadata, names};
use crate::{
    config::families::{MAX_LAYERS, MAX_SIZE},
    config::{Activation, DecoderConfig, FamilySpec, Layer, NormKind, Position, Rope, RopeScaling},
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
    let family = FamilySpec::of_gguf(architecture).ok_or_else(|| {
        let supported = FamilySpec::gguf_names();
        invalid(format!("the architecture `{architecture}` is not supported (supported: {supported})"))
    })?;
    let key = |tail: &str| format!("{architecture}.{tail}");
    let count = |tail: &str| {
        let size = metadata.required(&key(tail), metadata.count(&key(tail))?.filter(|n| *n > 0))?;
        let most = if tail == "block_count" { MAX_LAYERS } else { MAX_SIZE };
        if size > most {
            Err(invalid(format!("`{}` is {size}, at most {most} is supported", key(tail))))
        } else {
            Ok(size)
        }
    };
    for (tail, neutral) in [
        ("attention.clamp_kqv", 0.0),
        ("attention.max_alibi_bias", 0.0),
        ("attention.scale", 0.0),
        ("attn_logit_softcapping", 0.0),
        ("final_logit_softcapping", 0.0),
        ("embedding_scale", 0.0),
        ("residual_scale", 0.0),
        ("logit_scale", 0.0),
        ("rope.scaling.yarn_log_multiplier", 0.0),
    ] {
        if let Some(found) = metadata.number(&key(tail))?.filter(|found| *found != neutral) {
            return Err(invalid(format!("`{}` is {found}, which is not supported", key(tail))));
        }
    }
    if metadata.flag(&key("attention.causal"))? == Some(false) {
        return Err(invalid("it attends to what follows (`attention.causal` is false), which is not supported".into()));
    }
    if metadata.count(&key("expert_count"))?.unwrap_or(0) > 0 {
        return Err(invalid("mixtures of experts are not supported".into()));
    }
    let hidden_size = count("embedding_length")?;
    let heads = count("attention.head_count")?;
    let kv_heads = metadata.count(&key("attention.head_count_kv"))?.unwrap_or(heads);
    let head_dim = metadata.count(&key("attention.key_length"))?.unwrap_or(hidden_size / heads);
    if kv_heads == 0 || head_dim == 0 || head_dim > MAX_SIZE || heads % kv_heads != 0 || !head_dim.is_multiple_of(2) {
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
        // -1 and the like are "none".
        Ok(metadata.count_or_none(&format!("tokenizer.ggml.{tail}_token_id"))?.and_then(|n| u32::try_from(n).ok()))
    };
    let mut eos_token_ids: Vec<u32> = id("eos")?.into_iter().collect();
    // Chat models end a turn (and a message) with another token than a document.
    for end in [id("eot")?, id("eom")?].into_iter().flatten() {
        if !eos_token_ids.contains(&end) {
            eos_token_ids.push(end);
        }
    }
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
        norm_eps: metadata.positive(&key("attention.layer_norm_rms_epsilon"))?.unwrap_or(1e-5),
        position: Position::Rope(Rope {
            theta: metadata.positive(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            scaling: scaling(metadata, &key, max_positions, tensors.rope_factors.clone())?,
        }),
        qkv_bias: bias(Linear::Q),
        o_bias: bias(Linear::O),
        mlp_bias: bias(Linear::Up),
        qk_norm: family.qk_norm,
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
    let positive = |tail: &str| metadata.positive(&key(tail));
    let mut factor = positive("rope.scaling.factor")?;
    let mut kind = metadata.text(&key("rope.scaling.type"))?.unwrap_or("none");
    // The key of older files.
    if kind == "none"
        && let Some(linear) = positive("rope.scale_linear")?.filter(|linear| *linear != 1.0)
    {
        (kind, factor) = ("linear", Some(linear));
    }
    match (kind, factor) {
        ("none", _) => Ok(RopeScaling::Default),
        ("linear", Some(factor)) => Ok(RopeScaling::Linear { factor }),
        ("yarn", Some(factor)) => Ok(RopeScaling::Yarn {
            factor,
            original_max_position_embeddings: metadata
                .count(&key("rope.scaling.original_context_length"))?
                .unwrap_or(max_positions),
            attention_factor: yarn_attention(factor) * positive("rope.scaling.attn_factor")?.unwrap_or(1.0),
            beta_fast: positive("rope.scaling.yarn_beta_fast")?.unwrap_or(32.0),
            beta_slow: positive("rope.scaling.yarn_beta_slow")?.unwrap_or(1.0),
            truncate: true,
        }),
        _ => Err(GgufError::invalid(metadata.path, format!("the rope scaling `{kind}` is not supported"))),
    }
}

/// What llama.cpp multiplies cos and sin with for YaRN of this factor, before the factor of `rope.scaling.attn_factor`.
pub(super) fn yarn_attention(factor: f64) -> f64 {
    if factor > 1.0 { 0.1 * factor.ln() + 1.0 } else { 1.0 }
}
