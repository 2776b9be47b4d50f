//! Weights in 16 bits.

use super::{Code, NR, lanes::Lanes};

/// Bytes of a value.
const VALUE: usize = 2;

/// f16; with `BRAIN`, bf16. Columns are padded to a whole number of eight.
pub(crate) struct Half<const BRAIN: bool>;

impl<const BRAIN: bool> Code for Half<BRAIN> {
    const COLUMNS: usize = 8;
    const STEP: usize = 8;
    const BYTES: usize = 8 * NR * VALUE;
    const BLOCK: usize = 8 * VALUE;

    fn put(square: &mut [u8], row: usize, block: &[u8]) {
        for (k, value) in block.chunks_exact(VALUE).enumerate() {
            square[(k * NR + row) * VALUE..][..VALUE].copy_from_slice(value);
        }
    }

    type Shared<L: Lanes> = ();

    #[inline(always)]
    unsafe fn shared<L: Lanes>(_: *const u8, _: usize) {}

    #[inline(always)]
    unsafe fn row<L: Lanes>(panel: *const u8, k: usize, h: usize, (): &()) -> L {
        // SAFETY: the panel holds the column, by this function's contract.
        unsafe {
            let row = panel.add((k + h) * NR * VALUE);
            if BRAIN { L::bf16(row) } else { L::f16(row) }
        }
    }
}
