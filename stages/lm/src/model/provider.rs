//! Where a decoder's weights come from.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::{HalfTile, ModelError};
use crate::{
    ops::Weight,
    weights::{Param, Weights},
};

/// Hands out the parameters of a model, one at a time, in the encoding they are to be used in.
///
/// Implemented by dense checkpoints ([`Dense`]), by sources that quantise what they read, by GGUF files and by seeded
/// random initialisation.
pub trait WeightProvider {
    /// A matrix `[out, in]`. The embedding must come back as [`Weight::Dense`].
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError>;

    /// A norm's weight or a bias, in the dtype of the activations ([`activation_dtype`]).
    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError>;
}

/// The dtype that activations have on `device` when weights have `dtype`: f32 on the CPU, whose kernels are f32 only.
pub fn activation_dtype(device: &Device, dtype: DType) -> DType {
    if device.is_cpu() { DType::F32 } else { dtype }
}

/// A checkpoint as it is: every matrix dense, in `dtype`.
#[derive(Debug)]
pub struct Dense<'a> {
    /// The checkpoint.
    pub weights: &'a Weights,
    /// Where to put the parameters.
    pub device: &'a Device,
    /// Dtype of the matrices. On the CPU f16 and bf16 halve the memory; they are expanded to f32 while in use.
    pub dtype: DType,
}

impl WeightProvider for Dense<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        let tensor = self.weights.load(param, self.dtype, self.device)?;
        let half = matches!(self.dtype, DType::F16 | DType::BF16);
        if half && self.device.is_cpu() && param != Param::Embedding {
            return Ok(Weight::Tiles(Arc::new(HalfTile::new(&tensor)?)));
        }
        Ok(Weight::Dense(tensor))
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        Ok(self.weights.load(param, activation_dtype(self.device, self.dtype), self.device)?)
    }
}
