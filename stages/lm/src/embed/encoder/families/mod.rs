//! The families of encoders: how a configuration is read, and what the tensors are called.

mod bert;
mod distilbert;
mod modernbert;
mod mpnet;
mod named;

use std::path::{Path, PathBuf};

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::Deserialize;

use super::{
    super::{EmbedError, read},
    Config, Encoder, weights,
};

/// A family of encoders.
pub(in super::super) struct Family {
    /// The values of `model_type`.
    pub names: &'static [&'static str],
    pub read: fn(PathBuf) -> std::result::Result<Config, EmbedError>,
    pub load: fn(VarBuilder, &Config) -> Result<Encoder>,
}

/// All of them.
const ALL: &[Family] = &[bert::BERT, bert::ROBERTA, mpnet::FAMILY, distilbert::FAMILY, modernbert::FAMILY];

#[derive(Deserialize)]
struct Kind {
    #[serde(default)]
    model_type: String,
}

impl Family {
    /// The family of the model in a folder, and the model's configuration.
    ///
    /// # Errors
    /// The configuration cannot be read, is of no supported family, or not of a form that is computed here.
    pub(in super::super) fn of(dir: &Path) -> std::result::Result<(&'static Self, Config), EmbedError> {
        let place = dir.join("config.json");
        let Kind { model_type } = read(place.clone())?;
        let Some(family) = ALL.iter().find(|family| family.names.contains(&&*model_type)) else {
            let known = ALL.iter().flat_map(|family| family.names).map(|name| format!("`{name}`"));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(EmbedError::Architecture { path: place, found: model_type, known });
        };
        Ok((family, (family.read)(place)?))
    }

    /// The encoder in the files of a folder, mapped while they are read.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; a shape is not possible.
    pub(in super::super) fn open(&self, dir: &Path, config: &Config) -> Result<Encoder> {
        let weights = weights(dir)?;
        if config.heads == 0 || !config.dim.is_multiple_of(config.heads) {
            candle_core::bail!("{} attention heads for {} dimensions", config.heads, config.dim);
        }
        (self.load)(weights, config)
    }
}
