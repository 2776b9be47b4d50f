//! Blocks of 32 values in 8 bits with one scale, as GGUF's `Q8_0` has them.

use std::{ops::Range, sync::Arc};

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlType, k_quants::BlockQ8_0},
};

use crate::{
    config::DecoderConfig,
    model::{Dense, ModelError, WeightProvider},
    ops::{Weight, WeightTile},
    weights::{Param, Weights},
};

/// Values that share a scale.
const BLOCK: usize = 32;

/// A frozen matrix `[out, in]` in 8.5 bits per value.
pub struct Q8Tile {
    shape: (usize, usize),
    blocks: Vec<BlockQ8_0>,
}

impl WeightTile for Q8Tile {
    fn out_features(&self) -> usize {
        self.shape.0
    }

    fn in_features(&self) -> usize {
        self.shape.1
    }

    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let per_row = self.shape.1 / BLOCK;
        BlockQ8_0::to_float(&self.blocks[rows.start * per_row..rows.end * per_row], out);
    }
}

/// A checkpoint whose matrices, embedding and head among them, are rounded to [`Q8Tile`]s while they are read, a few
/// rows at a time; those whose rows are no whole number of blocks are kept in f16.
#[derive(Debug)]
pub struct Rounded<'a> {
    /// The checkpoint.
    pub weights: &'a Weights,
    /// Its configuration.
    pub config: &'a DecoderConfig,
}

impl WeightProvider for Rounded<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        /// Rows that are read at once.
        const ROWS: usize = 64;
        let shape = param.shape(self.config);
        let (rows, columns) = (shape[0], shape[1]);
        let name = || param.name(self.weights.family());
        if !columns.is_multiple_of(BLOCK) {
            // As llama.cpp has it.
            return Dense { weights: self.weights, device: &Device::Cpu, dtype: DType::F16 }.matrix(param);
        }
        let mut blocks = vec![BlockQ8_0::zeros(); rows * columns / BLOCK];
        let mut finite = true;
        self.weights.for_each_rows(param, ROWS, &mut |range, values| {
            finite &= values.iter().all(|value| value.is_finite());
            let place = range.start * columns / BLOCK..range.end * columns / BLOCK;
            BlockQ8_0::from_float(values, &mut blocks[place]);
        })?;
        if !finite {
            return Err(ModelError::Unsupported(format!("{} holds what is not a number", name())));
        }
        Ok(Weight::Tiles(Arc::new(Q8Tile { shape: (rows, columns), blocks })))
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        Ok(self.weights.load(param, DType::F32, &Device::Cpu)?)
    }
}
