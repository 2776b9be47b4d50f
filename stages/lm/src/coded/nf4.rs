//! NF4: an index into sixteen values for each column, and a scale for 64.

use super::{Code, NR, lanes::Lanes};
use crate::quant::{BLOCK, CODEBOOK};

/// Bytes of a square's scales, in f32: what double quantization makes of them is no shorter to look up than to keep.
const SCALES: usize = 4 * NR;

/// Blocks of a scale in f32 and 64 indices, the first of two in the high half of a byte.
pub(crate) struct Nf4;

impl Code for Nf4 {
    const COLUMNS: usize = BLOCK;
    const STEP: usize = BLOCK;
    const BYTES: usize = SCALES + BLOCK / 2 * NR;
    const BLOCK: usize = 4 + BLOCK / 2;

    fn put(square: &mut [u8], row: usize, block: &[u8]) {
        let (scale, indices) = block.split_at(4);
        square[4 * row..][..4].copy_from_slice(scale);
        for (indices, lanes) in indices.iter().zip(square[SCALES..].chunks_exact_mut(NR)) {
            lanes[row] = *indices;
        }
    }

    type Shared<L: Lanes> = L;

    #[inline(always)]
    unsafe fn shared<L: Lanes>(panel: *const u8, k: usize) -> L {
        // SAFETY: the panel holds the square of the column, by this function's contract.
        unsafe { L::load(panel.add(k / BLOCK * Self::BYTES).cast()) }
    }

    #[inline(always)]
    unsafe fn row<L: Lanes>(panel: *const u8, k: usize, h: usize, scale: &L) -> L {
        // SAFETY: as above.
        unsafe {
            // Groups of eight columns begin with a byte.
            let lanes = panel.add(k / BLOCK * Self::BYTES + SCALES + (k % BLOCK / 2 + h / 2) * NR);
            let indices = L::field(L::bytes(lanes), if h.is_multiple_of(2) { 4 } else { 0 }, 15);
            L::look_up(indices, &CODEBOOK).mul(*scale)
        }
    }
}
