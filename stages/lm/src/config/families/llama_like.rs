//! What the Llama-like families share: the keys of `config.json`, their checks, and the names of the tensors.

use super::{Family, Names, json, layer_count, need, or_default, value};
use crate::config::{
    Activation, ConfigProblem, DecoderConfig, Layer, Linear, NormKind, Position,
    raw::{Ids, LlamaLike},
    rope::Rope,
};

/// The names that all of them use.
pub(super) const NAMES: Names = Names {
    embedding: "model.embed_tokens",
    final_norm: "model.norm",
    layers: "model.layers",
    attention_norm: "input_layernorm",
    mlp_norm: "post_attention_layernorm",
    linears: &[
        (Linear::Q, "self_attn.q_proj"),
        (Linear::K, "self_attn.k_proj"),
        (Linear::V, "self_attn.v_proj"),
        (Linear::O, "self_attn.o_proj"),
        (Linear::Gate, "mlp.gate_proj"),
        (Linear::Up, "mlp.up_proj"),
        (Linear::Down, "mlp.down_proj"),
    ],
};

/// What a family takes where `config.json` says nothing (from the configuration classes of `transformers` 5), and what
/// it has whatever that says.
pub(super) struct Defaults {
    pub max_positions: usize,
    pub theta: f64,
    pub tied: bool,
    pub head_dim: Option<usize>,
    pub kv_heads: Option<usize>,
    pub sliding_window: Option<usize>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub biases: Biases,
    /// Whether `mlp_bias` has a meaning.
    pub mlp_bias: bool,
    pub windows: Windows,
    /// Every so many layers, one has no rotary embedding.
    pub rope_interval: Option<usize>,
}

/// Which projections of attention have a bias.
pub(super) enum Biases {
    /// All of them if `attention_bias` says so.
    AsConfigured,
    None,
    Qkv,
}

/// Which layers have a sliding window.
pub(super) enum Windows {
    None,
    /// All, if `sliding_window` is set.
    Every,
    /// With `use_sliding_window`: those that `layer_types` names, or else those from `max_window_layers` on, or from
    /// this one.
    FromLayer(usize),
    /// With `use_sliding_window`: those that `layer_types` names, or else those without a rotary embedding.
    WhereNoRope,
}

impl Defaults {
    /// What most families take.
    pub(crate) const PLAIN: Self = Self {
        max_positions: 32768,
        theta: 10_000.0,
        tied: false,
        head_dim: None,
        kv_heads: None,
        sliding_window: None,
        bos: None,
        eos: None,
        biases: Biases::AsConfigured,
        mlp_bias: false,
        windows: Windows::None,
        rope_interval: None,
    };
}

/// Reads the text of a `config.json` of `family`.
pub(super) fn read(text: &str, family: Family, default: &Defaults) -> Result<DecoderConfig, ConfigProblem> {
    let raw = &json::<LlamaLike>(text)?;
    let hidden_size = need("hidden_size", raw.hidden_size)?;
    let num_layers = layer_count("num_hidden_layers", raw.num_hidden_layers)?;
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
    let (qkv_bias, o_bias) = match default.biases {
        Biases::Qkv => (true, false),
        Biases::None => (false, false),
        Biases::AsConfigured => (all_biases, all_biases),
    };
    Ok(DecoderConfig {
        family,
        vocab_size: need("vocab_size", raw.vocab_size)?,
        hidden_size,
        intermediate_size: need("intermediate_size", raw.intermediate_size)?,
        num_attention_heads: heads,
        num_key_value_heads: or_default(raw.num_key_value_heads.as_ref(), default.kv_heads).unwrap_or(heads),
        head_dim,
        layers: layers(raw, num_layers, default)?,
        norm: NormKind::Rms,
        norm_eps: raw.rms_norm_eps.unwrap_or(1e-6),
        position: Position::Rope(rope),
        qkv_bias,
        o_bias,
        mlp_bias: default.mlp_bias && raw.mlp_bias.unwrap_or(false),
        qk_norm: family.qk_norm,
        clip_qkv: None,
        softmax_scale: 1.0 / (head_dim as f64).sqrt(),
        activation: activation(raw.hidden_act.as_deref())?,
        gated_mlp: true,
        tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(default.tied),
        max_position_embeddings: max_positions,
        bos_token_id: raw.bos_token_id.map_or(default.bos, |written| written.and_then(|id| id.0)),
        eos_token_ids: match &raw.eos_token_id {
            Some(written) => written.clone().map(Ids::into_vec).unwrap_or_default(),
            None => default.eos.into_iter().collect(),
        },
        pad_token_id: raw.pad_token_id.and_then(|id| id.0),
    })
}

fn layers(raw: &LlamaLike, num_layers: usize, default: &Defaults) -> Result<Vec<Layer>, ConfigProblem> {
    let window = or_default(raw.sliding_window.as_ref(), default.sliding_window);
    if window == Some(0) {
        return Err(value("sliding_window", 0, "it must be positive".into()));
    }
    if raw.no_rope_layers.as_ref().is_some_and(|l| l.len() < num_layers) {
        return Err(value("no_rope_layers", "too short", format!("it needs an entry for each of {num_layers} layers")));
    }
    if raw.no_rope_layer_interval == Some(0) {
        return Err(value("no_rope_layer_interval", 0, "it must be positive".into()));
    }
    let rope = |layer| default.rope_interval.is_none_or(|interval| has_rope(raw, layer, interval));
    let asked_for = window.filter(|_| raw.use_sliding_window.unwrap_or(false));
    let windows: Vec<Option<usize>> = match (&default.windows, &raw.layer_types) {
        (Windows::None, _) => vec![None; num_layers],
        (Windows::Every, _) => vec![window; num_layers],
        (_, Some(types)) => layer_types(types, num_layers, asked_for)?,
        (Windows::WhereNoRope, None) => (0..num_layers).map(|i| asked_for.filter(|_| !rope(i))).collect(),
        (Windows::FromLayer(first), None) => {
            let first = raw.max_window_layers.unwrap_or(*first);
            (0..num_layers).map(|i| asked_for.filter(|_| i >= first)).collect()
        }
    };
    Ok(windows.into_iter().enumerate().map(|(i, sliding_window)| Layer { rope: rope(i), sliding_window }).collect())
}

/// `no_rope_layers` holds a 1 where the rotary embedding is *used*; left out, every `interval`th layer goes without.
fn has_rope(raw: &LlamaLike, layer: usize, interval: usize) -> bool {
    match &raw.no_rope_layers {
        Some(flags) => flags.get(layer).is_none_or(|f| *f != 0),
        None => !(layer + 1).is_multiple_of(raw.no_rope_layer_interval.unwrap_or(interval).max(1)),
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

fn activation(name: Option<&str>) -> Result<Activation, ConfigProblem> {
    match name.unwrap_or("silu") {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => Err(value("hidden_act", other, "supported: silu, gelu, gelu_new, gelu_pytorch_tanh, relu".into())),
    }
}
