//! ModernBERT (Warner et al. 2024, arXiv:2412.13663): rotary positions, norms in front, gated feed-forward, and layers
//! that see their surroundings alone between those that see the whole text.

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{
        super::read,
        Config, Embeddings, Encoder,
        attention::{Attention, Distance},
        config::{Activation, Rotary},
        layer::{Layer, Order},
        parts::{Linear, Norm, Table},
    },
    Family,
    named::headless,
};
use crate::ops::Rope;

pub(super) const FAMILY: Family =
    Family { names: &["modernbert"], read: |place| Ok(read::<Raw>(place)?.config()), load };

/// Defaults are those of transformers' `ModernBertConfig`.
#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    #[serde(default)]
    hidden_activation: Activation,
    max_position_embeddings: usize,
    #[serde(default = "eps")]
    norm_eps: f64,
    #[serde(default = "window")]
    local_attention: usize,
    #[serde(default = "every")]
    global_attn_every_n_layers: usize,
    global_rope_theta: Option<f64>,
    local_rope_theta: Option<f64>,
    /// The form of transformers 5, by type of layer.
    #[serde(default)]
    rope_parameters: Value,
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    #[expect(dead_code, reason = "reading them refuses what is not computed")]
    attention_bias: No,
    #[serde(default)]
    #[expect(dead_code, reason = "reading them refuses what is not computed")]
    mlp_bias: No,
    #[serde(default)]
    #[expect(dead_code, reason = "reading them refuses what is not computed")]
    norm_bias: No,
}

/// A value that must be false.
#[derive(Default)]
struct No;

impl<'de> Deserialize<'de> for No {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            return Err(serde::de::Error::custom("biases are not supported in this family"));
        }
        Ok(Self)
    }
}

fn eps() -> f64 {
    1e-5
}

fn window() -> usize {
    128
}

fn every() -> usize {
    3
}

impl Raw {
    fn config(self) -> Config {
        let theta = |kind: &str, old: Option<f64>, default: f64| {
            self.rope_parameters[kind]["rope_theta"].as_f64().or(old).unwrap_or(default)
        };
        let whole = |layer: usize| match &self.layer_types {
            Some(types) => types.get(layer).is_none_or(|kind| kind == "full_attention"),
            None => layer.is_multiple_of(self.global_attn_every_n_layers.max(1)),
        };
        let rotary = Rotary {
            theta: [
                theta("full_attention", self.global_rope_theta, 160_000.0),
                theta("sliding_attention", self.local_rope_theta, 10_000.0),
            ],
            window: self.local_attention / 2,
            global: (0..self.num_hidden_layers).map(whole).collect(),
        };
        Config {
            vocabulary: self.vocab_size,
            dim: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            inner: self.intermediate_size,
            activation: self.hidden_activation,
            eps: self.norm_eps,
            positions: self.max_position_embeddings,
            segments: 0,
            pad: 0,
            longest: self.max_position_embeddings,
            rotary: Some(rotary),
        }
    }
}

fn load(weights: VarBuilder, config: &Config) -> Result<Encoder> {
    let (dim, eps, inner) = (config.dim, config.eps, config.inner);
    let weights = headless(weights, "model", "embeddings.tok_embeddings.weight");
    let head_dim = dim / config.heads;
    let Some(rotary) = &config.rotary else { candle_core::bail!("a model of this family has rotary positions") };
    if !head_dim.is_multiple_of(2) {
        candle_core::bail!("heads of {head_dim} dimensions cannot be turned in pairs");
    }
    let tables = rotary.theta.map(|theta| {
        let frequencies: Vec<f32> =
            (0..head_dim / 2).map(|i| (1.0 / theta.powf(2.0 * i as f64 / head_dim as f64)) as f32).collect();
        Rope::new(&frequencies, config.positions, 1.0)
    });
    let layer = |layer: usize| {
        let part = weights.pp(format!("layers.{layer}"));
        let global = rotary.global[layer];
        let table = tables[usize::from(!global)].clone();
        Ok(Layer {
            attention: Attention {
                heads: config.heads,
                head_dim,
                distance: Distance::Rotary { table, window: (!global).then_some(rotary.window) },
            },
            qkv: Linear::load(&part, (dim, 3 * dim), "attn.Wqkv", false)?,
            attended: Linear::load(&part, (dim, dim), "attn.Wo", false)?,
            up: Linear::load(&part, (dim, 2 * inner), "mlp.Wi", false)?,
            gated: true,
            activation: config.activation,
            down: Linear::load(&part, (inner, dim), "mlp.Wo", false)?,
            inner,
            order: Order::InFront {
                // The first layer is given what the norm of the embeddings leaves.
                attended: (layer > 0).then(|| Norm::load(&part, dim, "attn_norm", eps, false)).transpose()?,
                fed: Norm::load(&part, dim, "mlp_norm", eps, false)?,
            },
        })
    };
    Ok(Encoder {
        dim,
        embeddings: Embeddings {
            words: Table::load(&weights, (config.vocabulary, dim), "embeddings.tok_embeddings")?,
            positions: None,
            segments: None,
            norm: Norm::load(&weights, dim, "embeddings.norm", eps, false)?,
        },
        layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
        last: Some(Norm::load(&weights, dim, "final_norm", eps, false)?),
    })
}
