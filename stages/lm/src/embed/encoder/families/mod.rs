//! The families of encoders: how a configuration is read, and what the tensors are called.

mod bert;
mod distilbert;
mod modernbert;
mod mpnet;
mod named;

use std::path::PathBuf;

use candle_core::Result;
use candle_nn::VarBuilder;

use super::{super::EmbedError, Config, Encoder};

/// A family of encoders.
pub(in super::super) struct Family {
    /// The values of `model_type`.
    pub names: &'static [&'static str],
    pub read: fn(PathBuf, &'static Family) -> std::result::Result<Config, EmbedError>,
    pub load: fn(VarBuilder, &Config) -> Result<Encoder>,
}

/// All of them.
pub(super) const ALL: &[Family] = &[bert::BERT, bert::ROBERTA, mpnet::FAMILY, distilbert::FAMILY, modernbert::FAMILY];
