//! MPNet (Song et al. 2020, arXiv:2004.09297): BERT with weights for the distances between tokens, which all layers
//! share.

use std::sync::Arc;

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::Deserialize;

use super::{
    super::{super::read, Config, Counting, attention::Distance, config::Activation, parts::floats},
    Family,
    named::{Names, load},
};

const NAMES: Names = Names {
    prefix: "mpnet",
    layers: "encoder.layer",
    qkv: ["attention.attn.q", "attention.attn.k", "attention.attn.v"],
    attended: "attention.attn.o",
    attended_norm: "attention.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    down_norm: "output.LayerNorm",
};

/// Rows of the table of distances, which transformers fixes whatever the configuration says of them.
const BUCKETS: usize = 32;
/// From here on all distances are one.
const FURTHEST: f32 = 128.0;
/// The token that fills up has this id in every MPNet.
const PAD: u32 = 1;

pub(super) const FAMILY: Family = Family {
    names: &["mpnet"],
    read: |place| {
        let raw: Raw = read(place)?;
        Ok(Config {
            vocabulary: raw.vocab_size,
            dim: raw.hidden_size,
            layers: raw.num_hidden_layers,
            heads: raw.num_attention_heads,
            inner: raw.intermediate_size,
            activation: raw.hidden_act,
            eps: raw.layer_norm_eps,
            positions: raw.max_position_embeddings,
            segments: 0,
            pad: PAD,
            longest: raw.max_position_embeddings.saturating_sub(PAD as usize + 1),
            rotary: None,
        })
    },
    load: |weights, config| {
        let shared = std::cell::OnceCell::new();
        load(weights, config, &NAMES, Counting::Behind(config.pad), |weights| {
            if shared.get().is_none() {
                let _ = shared.set(Arc::new(biases(weights, config)?));
            }
            Ok(shared.get().map_or(Distance::Nothing, |biases| Distance::Bias(Arc::clone(biases))))
        })
    },
};

#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: Activation,
    max_position_embeddings: usize,
    layer_norm_eps: f64,
}

/// The weight of each head for each distance, from the furthest before to the furthest behind.
fn biases(weights: &VarBuilder, config: &Config) -> Result<Vec<f32>> {
    let table = floats(&weights.pp("encoder"), &[BUCKETS, config.heads], "relative_attention_bias.weight")?;
    let furthest = config.longest.max(1) as i64 - 1;
    let of = |head: usize| (-furthest..=furthest).map(move |distance| (head, distance));
    let all = (0..config.heads).flat_map(of);
    Ok(all.map(|(head, distance)| table[bucket(distance) * config.heads + head]).collect())
}

/// The row of a distance: half of them for either side, of these again half for small distances one by one, the rest
/// for logarithmic ranges.
fn bucket(distance: i64) -> usize {
    let half = BUCKETS / 2;
    let near = half / 2;
    let (side, far) = (if distance > 0 { half } else { 0 }, distance.unsigned_abs() as usize);
    if far < near {
        return side + far;
    }
    let share = (far as f32 / near as f32).ln() / (FURTHEST / near as f32).ln();
    side + (near + (share * (half - near) as f32) as usize).min(half - 1)
}
