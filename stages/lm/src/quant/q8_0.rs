//! Blocks of 32 values in 8 bits with one scale, as GGUF's `Q8_0` has them.

use std::{ops::Range, sync::Arc};

use crate::{
    config::DecoderConfig,
    model::{Dense, ModelError, WeightProvider},
    ops::{
        Weight, WeightTile,
        gemm::{PackedWeight, prefetch_ahead, read_panels},
        math::{f16_to_f32, simd},
    },
    weights::{Param, Weights},
};
use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlType, k_quants::BlockQ8_0},
};

/// Values that share a scale.
const BLOCK: usize = 32;
/// A scale in 16 bits, then the values.
const BLOCK_BYTES: usize = 2 + BLOCK;
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
    /// The bits of scales in f16.
    scales: [u16; ROWS],
    values: [[i8; ROWS]; BLOCK],
}

impl Q8Tile {
    fn zeros(shape: (usize, usize)) -> Self {
        let square = Square { scales: [0; ROWS], values: [[0; ROWS]; BLOCK] };
        Self { shape, squares: vec![square; shape.0.div_ceil(ROWS) * (shape.1 / BLOCK)] }
    }

    /// Puts rows from `first` on into their places.
    fn put(&mut self, first: usize, blocks: &[BlockQ8_0]) {
        // SAFETY: a block is a scale of 16 bits and 32 bytes, without gaps.
        let bytes = unsafe { std::slice::from_raw_parts(blocks.as_ptr().cast::<u8>(), size_of_val(blocks)) };
        let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
        for (row, blocks) in blocks.chunks_exact(self.shape.1 / BLOCK).enumerate() {
            self.put_row(first + row, blocks);
        }
    }

    /// Puts a row, given as GGUF's blocks.
    fn put_row(&mut self, row: usize, blocks: &[[u8; BLOCK_BYTES]]) {
        let across = self.shape.1 / BLOCK;
        for (square, block) in self.squares[row / ROWS * across..].iter_mut().zip(blocks) {
            let [low, high, values @ ..] = block;
            square.scales[row % ROWS] = u16::from_le_bytes([*low, *high]);
            for (to, value) in square.values.iter_mut().zip(values) {
                to[row % ROWS] = value.cast_signed();
            }
        }
    }

    /// A matrix `[out, in]` whose rows are asked for one by one, as GGUF's blocks; `in` is a multiple of 32.
    pub(crate) fn of_rows<'a>(shape: (usize, usize), row: impl Fn(usize) -> &'a [u8]) -> Self {
        let mut tile = Self::zeros(shape);
        for at in 0..shape.0 {
            tile.put_row(at, row(at).as_chunks().0);
        }
        tile
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
        read_panels(self, rows, out);
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
            prefetch_ahead(std::slice::from_ref(square));
            let scales = square.scales.map(f16_to_f32);
            for (out, values) in columns.iter_mut().zip(&square.values) {
                for ((out, value), scale) in out.iter_mut().zip(values).zip(&scales) {
                    *out = f32::from(*value) * scale;
                }
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
}
