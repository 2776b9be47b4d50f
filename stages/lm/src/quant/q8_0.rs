//! Blocks of 32 values in 8 bits with one scale, as GGUF's `Q8_0` has them.

use std::{ops::Range, sync::Arc};

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlType, k_quants::BlockQ8_0},
};
use half::{f16, slice::HalfFloatSliceExt};

use crate::{
    config::DecoderConfig,
    model::{Dense, ModelError, WeightProvider},
    ops::{Weight, WeightTile, gemm::PackedWeight, math::simd},
    weights::{Param, Weights},
};

/// Values that share a scale.
const BLOCK: usize = 32;
/// Rows side by side, as the kernels read them.
const ROWS: usize = PackedWeight::ROWS;

/// A frozen matrix `[out, in]` in 8.5 bits per value, laid out for the kernels: expanding is then a matter of a few
/// instructions for eight values.
pub struct Q8Tile {
    shape: (usize, usize),
    /// `[⌈out / ROWS⌉, in / BLOCK]`
    squares: Vec<Square>,
}

/// A block of each of [`ROWS`] rows, column by column.
#[derive(Clone)]
struct Square {
    scales: [f16; ROWS],
    values: [[i8; ROWS]; BLOCK],
}

impl Q8Tile {
    fn zeros(shape: (usize, usize)) -> Self {
        let square = Square { scales: [f16::ZERO; ROWS], values: [[0; ROWS]; BLOCK] };
        Self { shape, squares: vec![square; shape.0.div_ceil(ROWS) * (shape.1 / BLOCK)] }
    }

    /// Puts rows from `first` on into their places, given as GGUF's blocks.
    fn put(&mut self, first: usize, blocks: &[BlockQ8_0]) {
        let across = self.shape.1 / BLOCK;
        // SAFETY: a block is a scale of 16 bits and 32 bytes, without gaps.
        let bytes = unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast::<u8>(), size_of_val(blocks)) };
        for (place, block) in bytes.as_chunks::<{ 2 + BLOCK }>().0.iter().enumerate() {
            let (row, column) = (first + place / across, place % across);
            let square = &mut self.squares[row / ROWS * across + column];
            let [low, high, values @ ..] = block;
            square.scales[row % ROWS] = f16::from_le_bytes([*low, *high]);
            for (to, value) in square.values.iter_mut().zip(values) {
                to[row % ROWS] = value.cast_signed();
            }
        }
    }
}

impl WeightTile for Q8Tile {
    fn out_features(&self) -> usize {
        self.shape.0
    }

    fn in_features(&self) -> usize {
        self.shape.1
    }

    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let across = self.shape.1 / BLOCK;
        for (row, out) in rows.zip(out.chunks_exact_mut(self.shape.1)) {
            let squares = &self.squares[row / ROWS * across..][..across];
            for (square, out) in squares.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
                let scale = square.scales[row % ROWS].to_f32();
                for (out, values) in out.iter_mut().zip(&square.values) {
                    *out = f32::from(values[row % ROWS]) * scale;
                }
            }
        }
    }

    fn expand_panel(&self, panel: usize, out: &mut [f32]) -> bool {
        let across = self.shape.1 / BLOCK;
        expand_squares(&self.squares[panel * across..][..across], out);
        true
    }
}

simd! {
    fn expand_squares(squares: &[Square], out: &mut [f32]) {
        let (columns, _) = out.as_chunks_mut::<ROWS>();
        for (square, columns) in squares.iter().zip(columns.as_chunks_mut::<BLOCK>().0) {
            let mut scales = [0.0_f32; ROWS];
            square.scales.convert_to_f32_slice(&mut scales);
            for (out, values) in columns.iter_mut().zip(&square.values) {
                for ((out, value), scale) in out.iter_mut().zip(values).zip(&scales) {
                    *out = f32::from(*value) * scale;
                }
            }
        }
    }
}

simd! {
    /// Expands blocks as they lie in GGUF files: a scale in f16, then 32 values. Each value is multiplied by its scale
    /// in f32, whichever instructions do it.
    pub(crate) fn expand(bytes: &[u8], out: &mut [f32]) {
        for (block, out) in bytes.as_chunks::<{ 2 + BLOCK }>().0.iter().zip(out.as_chunks_mut::<BLOCK>().0) {
            let [low, high, values @ ..] = block;
            let scale = f16::from_le_bytes([*low, *high]).to_f32();
            for (out, value) in out.iter_mut().zip(values) {
                *out = f32::from(value.cast_signed()) * scale;
            }
        }
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
        const READ: usize = 64;
        let shape = param.shape(self.config);
        let (rows, columns) = (shape[0], shape[1]);
        let name = || param.name(self.weights.family());
        if !columns.is_multiple_of(BLOCK) {
            // As llama.cpp has it.
            return Dense { weights: self.weights, device: &Device::Cpu, dtype: DType::F16 }.matrix(param);
        }
        let mut tile = Q8Tile::zeros((rows, columns));
        let mut blocks = vec![BlockQ8_0::zeros(); READ * columns / BLOCK];
        let mut finite = true;
        self.weights.for_each_rows(param, READ, &mut |range, values| {
            finite &= values.iter().all(|value| value.is_finite());
            let blocks = &mut blocks[..values.len() / BLOCK];
            BlockQ8_0::from_float(values, blocks);
            tile.put(range.start, blocks);
        })?;
        if !finite {
            return Err(ModelError::Unsupported(format!("{} holds what is not a number", name())));
        }
        Ok(Weight::Tiles(Arc::new(tile)))
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        Ok(self.weights.load(param, DType::F32, &Device::Cpu)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_expanded_as_candle_does() {
        let (rows, columns) = (21, 96);
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
        let mut blocks = vec![BlockQ8_0::zeros(); rows * columns / BLOCK];
        BlockQ8_0::from_float(&values, &mut blocks);
        let mut expected = vec![0.0; rows * columns];
        BlockQ8_0::to_float(&blocks, &mut expected);

        let mut tile = Q8Tile::zeros((rows, columns));
        tile.put(0, &blocks[..16 * columns / BLOCK]);
        tile.put(16, &blocks[16 * columns / BLOCK..]);
        let mut found = vec![0.0; rows * columns];
        tile.read_rows(0..rows, &mut found);
        assert_eq!(found, expected);
        tile.read_rows(20..21, &mut found[..columns]);
        assert_eq!(found[..columns], expected[20 * columns..]);
        let mut panel = vec![f32::NAN; ROWS * columns];
        assert!(tile.expand_panel(1, &mut panel));
        for (at, value) in panel.iter().enumerate() {
            let (row, column) = (16 + at % ROWS, at / ROWS);
            let expect = if row < rows { expected[row * columns + column] } else { 0.0 };
            assert_eq!(value.to_bits(), expect.to_bits(), "{row}, {column}");
        }
    }

    #[test]
    fn blocks_of_a_file_are_expanded_as_candle_does() {
        let values: Vec<f32> = (0..96).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
        let mut blocks = vec![BlockQ8_0::zeros(); 3];
        BlockQ8_0::from_float(&values, &mut blocks);
        let (mut found, mut expected) = (vec![0.0; 96], vec![0.0; 96]);
        BlockQ8_0::to_float(&blocks, &mut expected);
        // SAFETY: as in `put`.
        expand(unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast(), size_of_val(&*blocks)) }, &mut found);
        assert_eq!(found, expected);
    }
}
