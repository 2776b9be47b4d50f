//! Where a decoder's weights come from.

use std::{ops::Range, sync::Arc};

use candle_core::{DType, Device, Tensor};

use super::{ModelError, error::Context};
use crate::{
    coded::half_weight,
    config::DecoderConfig,
    ops::{Weight, gemm::PackedWeight},
    weights::{Param, Weights},
};

/// Hands out the parameters of a model, one at a time, in the encoding they are to be used in.
///
/// Implemented by dense checkpoints ([`Dense`]), by sources that quantise what they read, by GGUF files and by seeded
/// random initialisation.
pub trait WeightProvider {
    /// A matrix `[out, in]`; the embedding is `[vocab, hidden]`.
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
        if half && self.device.is_cpu() {
            return Ok(Weight::Tiles(half_weight(&tensor).what(|| "16-bit weights".to_owned())?));
        }
        Ok(Weight::Dense(tensor))
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        Ok(self.weights.load(param, activation_dtype(self.device, self.dtype), self.device)?)
    }
}

/// A checkpoint in f32, laid out for the CPU's kernels while it is read, so that it is in memory once, whoever uses it:
/// generation, or the training of adapters.
#[derive(Debug)]
pub struct Packing<'a> {
    /// The checkpoint.
    pub weights: &'a Weights,
    /// Its configuration.
    pub config: &'a DecoderConfig,
}

impl WeightProvider for Packing<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        /// Panels that are read at once.
        const PANELS: usize = 8;
        let shape = param.shape(self.config);
        let mut packed = PackedWeight::zeroed(shape[0], shape[1]);
        let mut put = |rows: Range<usize>, values: &[f32]| packed.put_rows(rows.start, values);
        self.weights.for_each_rows(param, PANELS * PackedWeight::ROWS, &mut put)?;
        Ok(Weight::Packed(Arc::new(packed)))
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        Ok(self.weights.load(param, DType::F32, &Device::Cpu)?)
    }
}
