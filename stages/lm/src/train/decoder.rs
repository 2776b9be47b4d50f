//! The decoder as something to train.

use super::{Params, Trainable};
use crate::model::{Decoder, ModelError, PackedBatch};
use candle_core::Tensor;

impl Trainable for Decoder {
    fn parameters(&self) -> Params {
        Decoder::parameters(self)
    }

    fn num_layers(&self) -> usize {
        Decoder::num_layers(self)
    }

    fn embed(&self, batch: &PackedBatch) -> Result<Tensor, ModelError> {
        Decoder::embed(self, batch)
    }

    fn layer(
        &self,
        index: usize,
        x: &Tensor,
        batch: &PackedBatch,
        dropout_seed: Option<u64>,
    ) -> Result<Tensor, ModelError> {
        Decoder::layer(self, index, x, batch, dropout_seed)
    }

    fn loss(&self, x: &Tensor, targets: &[u32], weights: &[f32]) -> Result<Tensor, ModelError> {
        Decoder::loss(self, x, targets, weights)
    }
}
