//! DistilBERT (Sanh et al. 2019, arXiv:1910.01108): BERT without segments, under names of its own.

use serde::Deserialize;

use super::{
    super::{super::read, Config, Counting, attention::Distance, config::Activation},
    Family,
    named::{Names, load},
};

const NAMES: Names = Names {
    prefix: "distilbert",
    layers: "transformer.layer",
    qkv: ["attention.q_lin", "attention.k_lin", "attention.v_lin"],
    attended: "attention.out_lin",
    attended_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    down_norm: "output_layer_norm",
};

pub(super) const FAMILY: Family = Family {
    names: &["distilbert"],
    read: |place| {
        let raw: Raw = read(place)?;
        Ok(Config {
            vocabulary: raw.vocab_size,
            dim: raw.dim,
            layers: raw.n_layers,
            heads: raw.n_heads,
            inner: raw.hidden_dim,
            activation: raw.activation,
            // Not configurable in transformers.
            eps: 1e-12,
            positions: raw.max_position_embeddings,
            segments: 0,
            pad: 0,
            longest: raw.max_position_embeddings,
            rotary: None,
        })
    },
    load: |weights, config| load(weights, config, &NAMES, Counting::All, |_| Ok(Distance::Nothing)),
};

#[derive(Deserialize)]
struct Raw {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    #[serde(default)]
    activation: Activation,
    max_position_embeddings: usize,
}
