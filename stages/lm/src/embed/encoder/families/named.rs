//! Encoders of BERT's form, which differ in what their tensors are called.

use candle_core::Result;
use candle_nn::VarBuilder;

use super::super::{
    Config, Counting, Embeddings, Encoder,
    attention::{Attention, Distance},
    layer::{Layer, Order},
    parts::{Linear, Norm, Table},
};

/// Names of a layer's tensors.
pub(super) struct Names {
    /// In front of all names in files of models with a head.
    pub prefix: &'static str,
    pub layers: &'static str,
    pub qkv: [&'static str; 3],
    pub attended: &'static str,
    pub attended_norm: &'static str,
    pub up: &'static str,
    pub down: &'static str,
    pub down_norm: &'static str,
}

/// The weights without what stands in front of their names in files of models with a head.
pub(super) fn headless<'a>(weights: VarBuilder<'a>, prefix: &str, tensor: &str) -> VarBuilder<'a> {
    if weights.contains_tensor(&format!("{prefix}.{tensor}")) { weights.pp(prefix) } else { weights }
}

/// An encoder whose norms stand behind the sums.
pub(super) fn load(
    weights: VarBuilder,
    config: &Config,
    names: &Names,
    counting: Counting,
    distance: impl Fn(&VarBuilder) -> Result<Distance>,
) -> Result<Encoder> {
    let (dim, eps) = (config.dim, config.eps);
    let weights = headless(weights, names.prefix, "embeddings.word_embeddings.weight");
    let part = weights.pp("embeddings");
    let segments = (config.segments > 0)
        .then(|| Table::load(&part, (config.segments, dim), "token_type_embeddings"))
        .transpose()?;
    let layer = |layer: usize| {
        let part = weights.pp(format!("{}.{layer}", names.layers));
        Ok(Layer {
            attention: Attention { heads: config.heads, head_dim: dim / config.heads, distance: distance(&weights)? },
            qkv: Linear::joined(&part, (dim, dim), &names.qkv, true)?,
            attended: Linear::load(&part, (dim, dim), names.attended, true)?,
            up: Linear::load(&part, (dim, config.inner), names.up, true)?,
            gated: false,
            activation: config.activation,
            down: Linear::load(&part, (config.inner, dim), names.down, true)?,
            inner: config.inner,
            order: Order::Behind {
                attended: Norm::load(&part, dim, names.attended_norm, eps, true)?,
                fed: Norm::load(&part, dim, names.down_norm, eps, true)?,
            },
        })
    };
    Ok(Encoder {
        dim,
        embeddings: Embeddings {
            words: Table::load(&part, (config.vocabulary, dim), "word_embeddings")?,
            positions: Some((Table::load(&part, (config.positions, dim), "position_embeddings")?, counting)),
            segments,
            norm: Norm::load(&part, dim, "LayerNorm", eps, true)?,
        },
        layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
        last: None,
    })
}
