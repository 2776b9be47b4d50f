//! A decoder's weights in NF4, quantised as they are read.

use super::{Nf4Builder, Nf4Tensor, QuantError};
use crate::{
    coded::nf4_weight,
    config::DecoderConfig,
    model::{Dense, ModelError, Packing, WeightProvider},
    ops::{Weight, WeightTile},
    weights::{Param, Weights},
};
use candle_core::{DType, Device, Tensor};
use std::{ops::Range, sync::Arc};

impl WeightTile for Nf4Tensor {
    fn out_features(&self) -> usize {
        self.shape()[0]
    }

    fn in_features(&self) -> usize {
        self.shape()[1]
    }

    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        debug_assert_eq!(out.len(), rows.len() * self.shape()[1]);
        self.dequantize_rows(rows.start, out);
    }
}

/// A checkpoint whose layers are quantised to NF4 on the way in, as bitsandbytes does: every linear layer but the head.
/// Matrices are read a block of rows at a time, so that the model never exists in f32, nor whole in its stored type.
#[derive(Debug)]
pub struct Quantized<'a> {
    /// The checkpoint.
    pub weights: &'a Weights,
    /// Its configuration.
    pub config: &'a DecoderConfig,
    /// Dtype of embedding and head.
    pub dtype: DType,
}

/// Rows read at once.
const ROWS: usize = 64;

impl WeightProvider for Quantized<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        if !matches!(param, Param::Layer(..)) {
            return match self.dtype {
                DType::F32 => Packing { weights: self.weights, config: self.config }.matrix(param),
                dtype => Dense { weights: self.weights, device: &Device::Cpu, dtype }.matrix(param),
            };
        }
        let shape = param.shape(self.config);
        let mut builder = Nf4Builder::new([shape[0], shape[1]]);
        let mut result: Result<(), QuantError> = Ok(());
        self.weights.for_each_rows(param, ROWS, &mut |_, values| {
            if result.is_ok() {
                result = builder.push(values);
            }
        })?;
        let quantized = result.and_then(|()| builder.finish());
        let name = || param.name(self.weights.family());
        let quantized = quantized.map_err(|e| ModelError::Unsupported(format!("{}: {e}", name())))?;
        Ok(Weight::Tiles(nf4_weight(&quantized).unwrap_or_else(|| Arc::new(quantized))))
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        Ok(self.weights.load(param, DType::F32, &Device::Cpu)?)
    }
}
