//! Rounding to blocks of 32 values in 8 bits with one scale, as GGUF's `Q8_0` has them.

use std::sync::Arc;

use crate::{
    coded::{Code, CodedWeight, Q8_0, Quads},
    config::DecoderConfig,
    model::{Dense, ModelError, WeightProvider},
    ops::Weight,
    weights::{Param, Weights},
};
use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlType, k_quants::BlockQ8_0},
};

/// Values that share a scale.
const BLOCK: usize = 32;

/// A checkpoint whose matrices, embedding and head among them, are rounded to `q8_0` while they are read, a few
/// rows at a time; those whose rows are no whole number of blocks are kept in f16.
#[derive(Debug)]
pub struct Rounded<'a> {
    /// The checkpoint.
    pub weights: &'a Weights,
    /// Its configuration.
    pub config: &'a DecoderConfig,
    /// Whether inference rounds activations, too, by blocks of 32 to 8 bits, so that products are of integers.
    pub activations: bool,
}

impl Rounded<'_> {
    /// A matrix in code `C`, whose blocks are those of `Q8_0`.
    fn coded<C: Code>(&self, param: Param) -> Result<Weight, ModelError> {
        /// Rows that are read at once.
        const READ: usize = 64;
        let shape = param.shape(self.config);
        let (rows, columns) = (shape[0], shape[1]);
        let mut weight = CodedWeight::<C>::zeros((rows, columns));
        let mut blocks = vec![BlockQ8_0::zeros(); READ * columns / BLOCK];
        let mut finite = true;
        self.weights.for_each_rows(param, READ, &mut |range, values| {
            finite &= values.iter().all(|value| value.is_finite());
            let blocks = &mut blocks[..values.len() / BLOCK];
            BlockQ8_0::from_float(values, blocks);
            // SAFETY: a block is a scale of 16 bits and 32 bytes, without gaps.
            let bytes = unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast::<u8>(), size_of_val(blocks)) };
            weight.put_rows(range.start, bytes);
        })?;
        if !finite {
            let name = param.name(self.weights.family());
            return Err(ModelError::Unsupported(format!("{name} holds what is not a number")));
        }
        Ok(Weight::Tiles(Arc::new(weight)))
    }
}

impl WeightProvider for Rounded<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        if !param.shape(self.config)[1].is_multiple_of(BLOCK) {
            // As llama.cpp has it.
            return Dense { weights: self.weights, device: &Device::Cpu, dtype: DType::F16 }.matrix(param);
        }
        if self.activations { self.coded::<Quads>(param) } else { self.coded::<Q8_0>(param) }
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        Ok(self.weights.load(param, DType::F32, &Device::Cpu)?)
    }
}
