//! Activations rounded to 8 bits, for products with weights in 8 bits.

use super::{Crew, math::simd};

/// Values that share a scale.
pub(crate) const BLOCK: usize = 32;

/// A block of a row, `scale * values`: the scale is a 127th of the largest magnitude, and values are rounded to the
/// nearest, as llama.cpp's `Q8_0` has it (its scale is rounded to f16, here it is not). One that holds what is no
/// number has such a scale.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct Block {
    pub values: [i8; BLOCK],
    pub scale: f32,
    /// -128 times the sum of the values: what a sum of products begins with if the other factors were raised by 128.
    pub base: i32,
}

/// Rows of activations, rounded block by block. What a row is rounded to depends on that row alone.
#[derive(Default)]
pub struct RoundedRows {
    /// `[rows, columns / BLOCK]`
    blocks: Vec<Block>,
    rows: usize,
}

impl RoundedRows {
    /// Rounds `x`, row-major `[rows, columns]`.
    ///
    /// # Panics
    /// If rows are no whole number of blocks.
    pub fn fill(&mut self, crew: Crew, x: &[f32], rows: usize) {
        let len = x.len() / BLOCK;
        assert!(x.len() == len * BLOCK && len.is_multiple_of(rows), "a row is a whole number of blocks");
        self.blocks.resize(len, Block::default());
        self.rows = rows;
        let part = crew.part(x.len()).div_ceil(BLOCK).max(1);
        crew.parts(&mut self.blocks, part, |index, blocks| round(&x[index * part * BLOCK..], blocks));
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The blocks, row by row.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }
}

impl std::fmt::Debug for RoundedRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RoundedRows({} rows, {} blocks)", self.rows, self.blocks.len())
    }
}

simd! {
    /// The first values of `x` in so many blocks.
    fn round(x: &[f32], blocks: &mut [Block]) {
        /// What is added to it loses all bits behind the point, rounded to even; the lowest are then the number's own.
        const INTEGER: f32 = 12_582_912.0;
        for (x, block) in x.as_chunks::<BLOCK>().0.iter().zip(blocks) {
            // By their bits, for those of NaN are above all others.
            let largest = f32::from_bits(x.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or_default());
            let inverse = 127.0 / largest;
            if !largest.is_finite() || !inverse.is_finite() {
                // Zeros times what is not finite are no numbers; what is smaller than a scale can be is nothing.
                let scale = if largest.is_finite() { 0.0 } else { largest };
                *block = Block { scale, ..Block::default() };
                continue;
            }
            let mut sum = 0;
            for (x, value) in x.iter().zip(&mut block.values) {
                let integer = (x * inverse + INTEGER).to_bits() as i8;
                *value = integer;
                sum += i32::from(integer);
            }
            block.scale = largest / 127.0;
            block.base = -128 * sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounded(x: &[f32], rows: usize) -> Vec<Block> {
        let mut to = RoundedRows::default();
        to.fill(Crew::Alone, x, rows);
        to.blocks().to_vec()
    }

    #[test]
    fn values_are_rounded_to_the_nearest_of_their_block() {
        let x: Vec<f32> =
            (0..6 * BLOCK).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013 * (1 + i / BLOCK) as f32).collect();
        let blocks = rounded(&x, 2);
        for (x, block) in x.chunks(BLOCK).zip(&blocks) {
            let largest = x.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
            assert_eq!(block.scale, largest / 127.0);
            for (x, &value) in x.iter().zip(&block.values) {
                assert!((x - block.scale * f32::from(value)).abs() <= block.scale * 0.500_01, "{x}: {value}");
            }
            assert_eq!(block.base, -128 * block.values.iter().map(|&v| i32::from(v)).sum::<i32>());
            assert!(block.values.iter().any(|v| v.abs() == 127));
        }
        let mut together = RoundedRows::default();
        together.fill(Crew::Pool, &x.repeat(300), 600);
        assert!(together.blocks().chunks(6).all(|row| row.iter().zip(&blocks).all(|(a, b)| a.values == b.values)));
    }

    #[test]
    fn what_is_no_number_stays_none_and_nothing_stays_nothing() {
        for what in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [1.0; BLOCK];
            x[7] = what;
            assert!((rounded(&x, 1)[0].scale * f32::from(rounded(&x, 1)[0].values[0])).is_nan(), "{what}");
        }
        for x in [[0.0; BLOCK], [1e-40; BLOCK], [-0.0; BLOCK]] {
            assert_eq!((rounded(&x, 1)[0].scale, rounded(&x, 1)[0].values), (0.0, [0; BLOCK]));
        }
    }
}
