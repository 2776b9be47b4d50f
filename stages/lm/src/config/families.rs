//! From the raw keys to a checked [`DecoderConfig`], family by family.

use serde::de::DeserializeOwned;

use super::{
    Activation, ConfigProblem, DecoderConfig, Family, Layer, NormKind, Position,
    raw::{Head, Ids, LlamaLike, Mpt},
    rope::Rope,
};

/// Defaults of left-out keys, from the configuration classes of `transformers` 5.
struct Defaults {
    max_positions: usize,
    theta: f64,
    tied: bool,
    head_dim: Option<usize>,
    kv_heads: Option<usize>,
    sliding_window: Option<usize>,
    bos: Option<u32>,
    eos: Option<u32>,
}

fn defaults(family: Family) -> Defaults {
    let plain = Defaults {
        max_positions: 32768,
        theta: 10_000.0,
        tied: false,
        head_dim: None,
        kv_heads: None,
        sliding_window: None,
        bos: None,
        eos: None,
    };
    match family {
        Family::Llama => Defaults { max_positions: 2048, bos: Some(1), eos: Some(2), ..plain },
        Family::Mistral => {
            let ids = Defaults { bos: Some(1), eos: Some(2), ..plain };
            Defaults { max_positions: 131_072, sliding_window: Some(4096), kv_heads: Some(8), ..ids }
        }
        Family::Qwen2 => Defaults { sliding_window: Some(4096), kv_heads: Some(32), ..plain },
        Family::Qwen3 => Defaults { sliding_window: Some(4096), kv_heads: Some(32), head_dim: Some(128), ..plain },
        Family::SmolLm3 => Defaults { theta: 2_000_000.0, tied: true, kv_heads: Some(4), ..plain },
        Family::Mpt => Defaults { max_positions: 2048, tied: true, ..plain },
    }
}

pub(super) fn parse(text: &str) -> Result<DecoderConfig, ConfigProblem> {
    let head: Head = json(text)?;
    let family = family(&head)?;
    if let Some(quantisation) = head.quantization_config.filter(|q| !q.is_null()) {
        let method = quantisation.get("quant_method").and_then(|m| m.as_str()).unwrap_or("an unnamed method");
        return Err(ConfigProblem::Quantised { method: method.to_owned() });
    }
    let config = match family {
        Family::Mpt => mpt(json(text)?)?,
        _ => llama_like(family, &json(text)?)?,
    };
    check(&config)?;
    Ok(config)
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, ConfigProblem> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(ConfigProblem::Json)
}

/// The architecture decides; `model_type` alone is enough where a file has no `architectures`.
fn family(head: &Head) -> Result<Family, ConfigProblem> {
    const ALL: [Family; 6] =
        [Family::Llama, Family::Mistral, Family::Qwen2, Family::Qwen3, Family::SmolLm3, Family::Mpt];
    if let Some(name) = head.architectures.as_ref().and_then(|names| names.first()) {
        // Published MPT checkpoints carry the class name of their own remote code.
        let known = if name == "MPTForCausalLM" { "MptForCausalLM" } else { name };
        return ALL
            .into_iter()
            .find(|f| f.architecture() == known)
            .ok_or_else(|| ConfigProblem::Architecture { name: name.clone() });
    }
    match &head.model_type {
        Some(name) => ALL
            .into_iter()
            .find(|f| f.model_type() == name)
            .ok_or_else(|| ConfigProblem::Architecture { name: name.clone() }),
        None => Err(ConfigProblem::Missing("architectures")),
    }
}

fn llama_like(family: Family, raw: &LlamaLike) -> Result<DecoderConfig, ConfigProblem> {
    let default = defaults(family);
    let hidden_size = need("hidden_size", raw.hidden_size)?;
    let num_layers = need("num_hidden_layers", raw.num_hidden_layers)?;
    let heads = need("num_attention_heads", raw.num_attention_heads)?;
    let head_dim = match raw.head_dim.or(default.head_dim) {
        Some(dim) => dim,
        None if hidden_size % heads == 0 => hidden_size / heads,
        None => {
            return Err(value("hidden_size", hidden_size, format!("not a multiple of the {heads} attention heads")));
        }
    };
    if !head_dim.is_multiple_of(2) {
        return Err(value("head_dim", head_dim, "rotary embeddings need an even width".into()));
    }
    let max_positions = raw.max_position_embeddings.unwrap_or(default.max_positions);
    let rope = Rope::from_raw(raw, default.theta, max_positions)?;
    let all_biases = raw.attention_bias.unwrap_or(false);
    let (qkv_bias, o_bias) = match family {
        Family::Qwen2 => (true, false),
        Family::Mistral => (false, false),
        _ => (all_biases, all_biases),
    };
    let has_mlp_bias = matches!(family, Family::Llama | Family::SmolLm3);
    Ok(DecoderConfig {
        family,
        vocab_size: need("vocab_size", raw.vocab_size)?,
        hidden_size,
        intermediate_size: need("intermediate_size", raw.intermediate_size)?,
        num_attention_heads: heads,
        num_key_value_heads: or_default(raw.num_key_value_heads.as_ref(), default.kv_heads).unwrap_or(heads),
        head_dim,
        layers: layers(family, raw, num_layers, default.sliding_window)?,
        norm: NormKind::Rms,
        norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
        position: Position::Rope(rope),
        qkv_bias,
        o_bias,
        mlp_bias: has_mlp_bias && raw.mlp_bias.unwrap_or(false),
        qk_norm: family == Family::Qwen3,
        clip_qkv: None,
        softmax_scale: 1.0 / (head_dim as f64).sqrt(),
        activation: activation(raw.hidden_act.as_deref())?,
        gated_mlp: true,
        tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(default.tied),
        max_position_embeddings: max_positions,
        bos_token_id: or_default(raw.bos_token_id.as_ref(), default.bos),
        eos_token_ids: or_default(raw.eos_token_id.as_ref(), default.eos.map(Ids::One))
            .map(Ids::into_vec)
            .unwrap_or_default(),
        // Some files say -1 for "none".
        pad_token_id: raw.pad_token_id.and_then(|id| u32::try_from(id).ok()),
    })
}

fn layers(
    family: Family,
    raw: &LlamaLike,
    num_layers: usize,
    default_window: Option<usize>,
) -> Result<Vec<Layer>, ConfigProblem> {
    let window = or_default(raw.sliding_window.as_ref(), default_window);
    if window == Some(0) {
        return Err(value("sliding_window", 0, "it must be positive".into()));
    }
    let windows: Vec<Option<usize>> = match family {
        Family::Llama | Family::Mpt => vec![None; num_layers],
        Family::Mistral => vec![window; num_layers],
        Family::Qwen2 | Family::Qwen3 | Family::SmolLm3 => {
            let window = window.filter(|_| raw.use_sliding_window.unwrap_or(false));
            match &raw.layer_types {
                Some(types) => layer_types(types, num_layers, window)?,
                None if family == Family::SmolLm3 => {
                    (0..num_layers).map(|i| window.filter(|_| !smollm3_rope(raw, i))).collect()
                }
                None => {
                    let first = raw.max_window_layers.unwrap_or(28);
                    (0..num_layers).map(|i| window.filter(|_| i >= first)).collect()
                }
            }
        }
    };
    if raw.no_rope_layers.as_ref().is_some_and(|l| l.len() < num_layers) {
        return Err(value("no_rope_layers", "too short", format!("it needs an entry for each of {num_layers} layers")));
    }
    if raw.no_rope_layer_interval == Some(0) {
        return Err(value("no_rope_layer_interval", 0, "it must be positive".into()));
    }
    let rope = |i| family != Family::SmolLm3 || smollm3_rope(raw, i);
    Ok(windows.into_iter().enumerate().map(|(i, sliding_window)| Layer { rope: rope(i), sliding_window }).collect())
}

/// `no_rope_layers` holds a 1 where the rotary embedding is *used*; left out, every fourth layer goes without.
fn smollm3_rope(raw: &LlamaLike, layer: usize) -> bool {
    match &raw.no_rope_layers {
        Some(flags) => flags.get(layer).is_none_or(|f| *f != 0),
        None => !(layer + 1).is_multiple_of(raw.no_rope_layer_interval.unwrap_or(4).max(1)),
    }
}

fn layer_types(
    types: &[String],
    num_layers: usize,
    window: Option<usize>,
) -> Result<Vec<Option<usize>>, ConfigProblem> {
    if types.len() != num_layers {
        let reason = format!("{num_layers} layers need {num_layers} entries");
        return Err(value("layer_types", format!("a list of {}", types.len()), reason));
    }
    types
        .iter()
        .map(|t| match t.as_str() {
            "full_attention" => Ok(None),
            "sliding_attention" => Ok(window),
            other => Err(value("layer_types", other, "supported: full_attention, sliding_attention".into())),
        })
        .collect()
}

fn mpt(raw: Mpt) -> Result<DecoderConfig, ConfigProblem> {
    let default = defaults(Family::Mpt);
    let attention = raw.attn_config;
    let unsupported = |key, written: Option<bool>, value_of: bool, reason: &str| {
        if written == Some(value_of) { Err(value(key, value_of, reason.into())) } else { Ok(()) }
    };
    unsupported("attn_config.alibi", attention.alibi, false, "MPT without ALiBi is not supported")?;
    unsupported("attn_config.qk_ln", attention.qk_ln, true, "norms on q and k are not supported for MPT")?;
    unsupported("attn_config.prefix_lm", attention.prefix_lm, true, "prefix language models are not supported")?;
    unsupported("no_bias", raw.no_bias, false, "MPT with biases is not supported")?;
    if let Some(scale) = raw.logit_scale.filter(|v| !v.is_null()) {
        return Err(value("logit_scale", scale, "scaled logits are not supported".into()));
    }
    if let Some(kind) = attention.attn_type.filter(|k| k != "multihead_attention") {
        return Err(value("attn_config.attn_type", kind, "only multihead_attention is supported".into()));
    }
    if let Some(kind) = raw.norm_type.filter(|k| !k.ends_with("layernorm")) {
        return Err(value("norm_type", kind, "only layernorm and low_precision_layernorm are supported".into()));
    }
    let hidden_size = need("d_model", raw.d_model)?;
    let heads = need("n_heads", raw.n_heads)?;
    if hidden_size % heads != 0 {
        return Err(value("d_model", hidden_size, format!("not a multiple of the {heads} attention heads")));
    }
    let head_dim = hidden_size / heads;
    Ok(DecoderConfig {
        family: Family::Mpt,
        vocab_size: need("vocab_size", raw.vocab_size)?,
        hidden_size,
        intermediate_size: hidden_size * raw.expansion_ratio.unwrap_or(4),
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        layers: vec![Layer { rope: false, sliding_window: None }; need("n_layers", raw.n_layers)?],
        norm: NormKind::Layer,
        norm_eps: raw.layer_norm_epsilon.unwrap_or(1e-5),
        position: Position::Alibi { bias_max: attention.alibi_bias_max.unwrap_or(8.0) },
        qkv_bias: false,
        o_bias: false,
        mlp_bias: false,
        qk_norm: false,
        clip_qkv: attention.clip_qkv.filter(|c| *c != 0.0),
        softmax_scale: attention.softmax_scale.unwrap_or_else(|| 1.0 / (head_dim as f64).sqrt()),
        activation: Activation::Gelu,
        gated_mlp: false,
        tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(default.tied),
        max_position_embeddings: raw.max_seq_len.unwrap_or(default.max_positions),
        bos_token_id: raw.bos_token_id,
        eos_token_ids: raw.eos_token_id.map(Ids::into_vec).unwrap_or_default(),
        pad_token_id: raw.pad_token_id,
    })
}

fn check(config: &DecoderConfig) -> Result<(), ConfigProblem> {
    let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
    for (key, size) in [
        ("num_key_value_heads", kv_heads),
        ("head_dim", config.head_dim),
        ("intermediate_size", config.intermediate_size),
        ("max_position_embeddings", config.max_position_embeddings),
    ] {
        need(key, Some(size))?;
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

fn activation(name: Option<&str>) -> Result<Activation, ConfigProblem> {
    match name.unwrap_or("silu") {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(value("hidden_act", other, "supported: silu, gelu, gelu_new, gelu_pytorch_tanh, relu".into())),
    }
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
