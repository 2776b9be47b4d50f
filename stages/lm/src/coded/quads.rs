//! Blocks in 8 bits as instructions for sums of four products want them.

use super::{
    Code, NR, RoundedProduct,
    blocks::Form,
    dots::{QUAD, QUAD_BYTES},
    forms, integer,
    lanes::Lanes,
};
use crate::ops::rounded;

/// Columns that share a scale, as those of activations do.
pub(super) const STEP: usize = rounded::BLOCK;
/// Bytes of a block's scales, in f16.
pub(super) const SCALES: usize = 2 * NR;
/// Blocks of a square: as many as make its scales a whole cache line.
pub(super) const BLOCKS: usize = 2;
/// What values are raised by: those instructions want one factor without a sign.
pub(super) const RAISED: i32 = 128;

/// The values of GGUF's `Q8_0`. A square holds the scales of two blocks of [`NR`] rows, and their values, raised by
/// 128, four columns of a row side by side.
pub(crate) struct Quads;

const BLOCK: usize = <forms::Q8_0 as Form>::BLOCK;

impl Code for Quads {
    const COLUMNS: usize = BLOCKS * STEP;
    const STEP: usize = STEP;
    const BYTES: usize = BLOCKS * (SCALES + STEP * NR);
    const BLOCK: usize = BLOCKS * BLOCK;
    const ROUNDED: Option<RoundedProduct<Self>> = Some(integer::product);

    fn put(square: &mut [u8], row: usize, blocks: &[u8]) {
        for (at, block) in blocks.chunks_exact(BLOCK).enumerate() {
            let (scale, values) = block.split_at(2);
            square[at * SCALES + 2 * row..][..2].copy_from_slice(scale);
            for (k, value) in values.iter().enumerate() {
                let quad = BLOCKS * SCALES + (at * STEP + k) / QUAD * QUAD_BYTES;
                square[quad + row * QUAD + k % QUAD] = value.wrapping_add(RAISED as u8);
            }
        }
    }

    type Shared<L: Lanes> = L;

    #[inline(always)]
    unsafe fn shared<L: Lanes>(panel: *const u8, k: usize) -> L {
        // SAFETY: the panel holds the square of the column, by this function's contract.
        unsafe { L::f16(panel.add(k / Self::COLUMNS * Self::BYTES + k % Self::COLUMNS / STEP * SCALES)) }
    }

    #[inline(always)]
    unsafe fn row<L: Lanes>(panel: *const u8, k: usize, h: usize, scale: &L) -> L {
        // SAFETY: as above.
        unsafe {
            let quads = panel.add(k / Self::COLUMNS * Self::BYTES + BLOCKS * SCALES);
            let quad = L::ints(quads.add((k % Self::COLUMNS + h) / QUAD * QUAD_BYTES));
            L::float(L::field(quad, (h % QUAD * 8) as u32, 0xff), RAISED).mul(*scale)
        }
    }
}
