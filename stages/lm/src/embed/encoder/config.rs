//! What of `config.json` an encoder's forward pass depends on, whatever the family calls it.

use std::path::Path;

use serde::Deserialize;

use super::{
    super::{EmbedError, read},
    families::{self, Family},
};

/// An encoder's shape.
pub(in super::super) struct Config {
    pub family: &'static Family,
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

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    model_type: String,
}

impl Config {
    /// Reads the configuration in a folder.
    ///
    /// # Errors
    /// It cannot be read, is of no supported family, or not of a form that is computed here.
    pub(crate) fn read(dir: &Path) -> Result<Self, EmbedError> {
        let place = dir.join("config.json");
        let Kind { model_type } = read(place.clone())?;
        let Some(family) = families::ALL.iter().find(|family| family.names.contains(&&*model_type)) else {
            let known = families::ALL.iter().flat_map(|family| family.names).map(|name| format!("`{name}`"));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(EmbedError::Architecture { path: place, found: model_type, known });
        };
        (family.read)(place, family)
    }
}
