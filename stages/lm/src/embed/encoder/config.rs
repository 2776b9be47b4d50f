//! What of `config.json` an encoder's forward pass depends on, whatever the family calls it.

use serde::Deserialize;

/// An encoder's shape.
pub(in super::super) struct Config {
    pub vocabulary: usize,
    pub dim: usize,
    pub layers: usize,
    pub heads: usize,
    pub inner: usize,
    pub activation: Activation,
    pub eps: f64,
    /// Rows of the table of positions, or positions that a rotary model was trained for.
    pub positions: usize,
    /// Rows of the table of segments; 0 where there is none.
    pub segments: usize,
    /// The id of the token that fills up.
    pub pad: u32,
    /// Longest text in tokens.
    pub longest: usize,
    pub rotary: Option<Rotary>,
}

/// Which layers of a rotary model see how far.
pub(in super::super) struct Rotary {
    /// Base of the frequencies where a layer sees the whole text, and where it sees its surroundings.
    pub theta: [f64; 2],
    /// Tokens to each side of surroundings.
    pub window: usize,
    /// Whether each layer sees the whole text.
    pub global: Vec<bool>,
}

/// Between the two maps of the feed-forward part.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Activation {
    #[default]
    Gelu,
    /// The approximation by tanh.
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    Relu,
    #[serde(alias = "swish")]
    Silu,
}
