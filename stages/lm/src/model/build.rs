//! From a configuration and a source of weights to the blocks of a decoder.

use std::sync::Arc;

use super::{
    Layer, Linear, ModelError, Norm, WeightProvider,
    error::Context,
    layer::{Attention, Mlp, Qkv},
};
use crate::{
    config::{DecoderConfig, NormKind, Position},
    ops::AttentionSpec,
    weights::{LayerParam, Linear as Projection, Param},
};

impl Norm {
    pub(super) fn build(
        config: &DecoderConfig,
        kind: NormKind,
        param: Param,
        source: &mut dyn WeightProvider,
    ) -> Result<Self, ModelError> {
        let weight = source.vector(param)?;
        Ok(Self { kind, weight, eps: config.norm_eps, name: param.name(config.family) })
    }
}

impl Layer {
    pub(super) fn build(
        config: &DecoderConfig,
        index: usize,
        source: &mut dyn WeightProvider,
    ) -> Result<Self, ModelError> {
        let fused = Projection::of(config).any(|p| p == Projection::Qkv);
        let mut linear = |projection: Projection| linear(config, index, projection, source);
        let qkv = if fused {
            Qkv::Fused(Box::new(linear(Projection::Qkv)?))
        } else {
            let three = [linear(Projection::Q)?, linear(Projection::K)?, linear(Projection::V)?];
            Qkv::Split(Box::new(three))
        };
        let o = linear(Projection::O)?;
        let mlp = Mlp {
            gate: config.gated_mlp.then(|| linear(Projection::Gate)).transpose()?,
            up: linear(Projection::Up)?,
            down: linear(Projection::Down)?,
            activation: config.activation,
        };
        let mut norm = |kind, param| Norm::build(config, kind, Param::Layer(index, param), source);
        let qk_norm = if config.qk_norm {
            let pair = [norm(NormKind::Rms, LayerParam::QNorm)?, norm(NormKind::Rms, LayerParam::KNorm)?];
            Some(Box::new(pair))
        } else {
            None
        };
        let layer = config.layers[index];
        let attn = Attention { qkv, o, qk_norm, clip: config.clip_qkv, rope: layer.rope, spec: spec(config, index) };
        let attn_norm = norm(config.norm, LayerParam::AttentionNorm)?;
        let mlp_norm = norm(config.norm, LayerParam::MlpNorm)?;
        Ok(Self { attn_norm, attn, mlp_norm, mlp })
    }
}

fn linear(
    config: &DecoderConfig,
    layer: usize,
    projection: Projection,
    source: &mut dyn WeightProvider,
) -> Result<Linear, ModelError> {
    let weight = source.matrix(Param::Layer(layer, LayerParam::Weight(projection)))?;
    let bias = if projection.has_bias(config) {
        Some(source.vector(Param::Layer(layer, LayerParam::Bias(projection)))?)
    } else {
        None
    };
    let path = projection.path(config.family, layer);
    Linear::new(path.clone(), weight, bias).what(|| path)
}

fn spec(config: &DecoderConfig, layer: usize) -> AttentionSpec {
    let alibi = match config.position {
        Position::Alibi { bias_max } => Some(alibi_slopes(config.num_attention_heads, bias_max)),
        Position::Rope(_) => None,
    };
    AttentionSpec {
        n_heads: config.num_attention_heads,
        n_kv_heads: config.num_key_value_heads,
        head_dim: config.head_dim,
        scale: config.softmax_scale as f32,
        causal: true,
        window: config.layers[layer].sliding_window,
        alibi,
    }
}

/// The slope of each head (Press et al. 2021, arXiv:2108.12409): `2^(-bias_max k / n)` for `k = 1..=n`, `n` being the
/// next power of two. With fewer heads, those of even `k` come first, then those of odd `k`, as in MPT.
fn alibi_slopes(heads: usize, bias_max: f64) -> Arc<[f32]> {
    let n = heads.next_power_of_two();
    let slope = |k: usize| (-(bias_max * k as f64 / n as f64)).exp2() as f32;
    if n == heads {
        return (1..=n).map(slope).collect();
    }
    (1..=n).filter(|k| k % 2 == 0).chain((1..=n).filter(|k| k % 2 == 1)).take(heads).map(slope).collect()
}
