//! GGUF's quantised blocks, laid out for kernels.
//!
//! A value of a block is `scale * (q - offset) - min`, with a few bits of `q` for each column and a scale, perhaps a
//! minimum, for some columns together. A square of [`NR`] rows holds the scales (f16), the minima (f16), what they are
//! multiplied with step by step (8 bits), and the bits of `q` in one plane or two: bytes of 16 rows side by side, each
//! with the bits of as many columns as it has room for.
//!
//! Products of scales and `q` are exact in f32 (11 bits of an f16, at most 6 of a factor and 5 of `q`; the six of
//! `q6_K` are multiplied last, and have no minimum), so that the sum is rounded once, as candle and llama.cpp have it.

use std::marker::PhantomData;

use super::{Code, NR, lanes::Lanes};

/// Most columns of a block.
pub(super) const MOST: usize = 256;

/// A block, taken apart.
pub(crate) struct Unpacked {
    /// Of every column, the bits of `q`.
    pub values: [u8; MOST],
    /// The bits of an f16.
    pub scale: u16,
    /// Likewise.
    pub min: u16,
    /// Factors of the scale, by steps.
    pub scales: [i8; 16],
    /// Factors of the minimum.
    pub mins: [i8; 16],
}

impl Default for Unpacked {
    fn default() -> Self {
        Self { values: [0; MOST], scale: 0, min: 0, scales: [0; 16], mins: [0; 16] }
    }
}

/// A form of blocks.
pub(crate) trait Form: Send + Sync + 'static {
    /// Columns of a block.
    const COLUMNS: usize;
    /// Columns that share a factor.
    const STEP: usize;
    /// Bits of `q` in the first plane; with eight, `q` has a sign.
    const LOW: usize;
    /// Bits of `q` above them, in a second plane.
    const HIGH: usize;
    const OFFSET: i32;
    /// Whether blocks have a minimum.
    const MIN: bool;
    /// Whether scale and minimum have factors.
    const FACTORS: bool;
    /// Bytes of a block.
    const BLOCK: usize;

    /// Takes a block apart; `to` is as [`Unpacked::default`] has it.
    fn unpack(block: &[u8], to: &mut Unpacked);
}

/// Blocks of a form.
pub(crate) struct Blocks<F>(PhantomData<F>);

/// Bytes of an f16 for every row.
const HALVES: usize = 2 * NR;

impl<F: Form> Blocks<F> {
    const MINS: usize = HALVES;
    const FACTORS: usize = if F::MIN { 2 * HALVES } else { HALVES };
    /// Bytes of a step's factors.
    const FACTOR: usize = if F::MIN { 2 * NR } else { NR };
    const LOW: usize = Self::FACTORS + if F::FACTORS { F::COLUMNS / F::STEP * Self::FACTOR } else { 0 };
    const HIGH: usize = Self::LOW + F::COLUMNS * F::LOW / 8 * NR;
}

/// Columns of a byte in a plane of so many bits.
const fn columns(bits: usize) -> usize {
    match bits {
        0 => 1,
        bits => 8 / bits,
    }
}

impl<F: Form> Code for Blocks<F> {
    const COLUMNS: usize = F::COLUMNS;
    const STEP: usize = F::STEP;
    const BYTES: usize = Self::HIGH + F::COLUMNS * F::HIGH / 8 * NR;
    const BLOCK: usize = F::BLOCK;

    fn put(square: &mut [u8], row: usize, block: &[u8]) {
        let mut from = Unpacked::default();
        F::unpack(block, &mut from);
        square[2 * row..][..2].copy_from_slice(&from.scale.to_le_bytes());
        if F::MIN {
            square[Self::MINS + 2 * row..][..2].copy_from_slice(&from.min.to_le_bytes());
        }
        if F::FACTORS {
            for step in 0..F::COLUMNS / F::STEP {
                let factors = &mut square[Self::FACTORS + step * Self::FACTOR..][..Self::FACTOR];
                factors[row] = from.scales[step].cast_unsigned();
                if F::MIN {
                    factors[NR + row] = from.mins[step].cast_unsigned();
                }
            }
        }
        for (k, value) in from.values[..F::COLUMNS].iter().enumerate() {
            for (plane, bits, value) in [(Self::LOW, F::LOW, *value), (Self::HIGH, F::HIGH, value >> (F::LOW & 7))] {
                if bits > 0 {
                    let at = plane + k / columns(bits) * NR + row;
                    square[at] |= (value & low_bits(bits) as u8) << (k % columns(bits) * bits);
                }
            }
        }
    }

    type Shared<L: Lanes> = (L, L);

    #[inline(always)]
    unsafe fn shared<L: Lanes>(panel: *const u8, k: usize) -> (L, L) {
        // SAFETY: the panel holds the square of the column, by this function's contract.
        unsafe {
            let square = panel.add(k / F::COLUMNS * Self::BYTES);
            let factors = square.add(Self::FACTORS + k % F::COLUMNS / F::STEP * Self::FACTOR);
            let scale = L::f16(square);
            let scale = if F::FACTORS { scale.mul(L::i8(factors)) } else { scale };
            if !F::MIN {
                return (scale, L::zero());
            }
            let min = L::f16(square.add(Self::MINS));
            (scale, if F::FACTORS { min.mul(L::i8(factors.add(NR))) } else { min })
        }
    }

    #[inline(always)]
    unsafe fn row<L: Lanes>(panel: *const u8, k: usize, h: usize, (scale, min): &(L, L)) -> L {
        // SAFETY: as above.
        unsafe {
            let square = panel.add(k / F::COLUMNS * Self::BYTES);
            let k = k % F::COLUMNS;
            let q = if F::LOW == 8 {
                L::i8(square.add(Self::LOW + (k + h) * NR))
            } else {
                let low = field::<L>(square.add(Self::LOW), F::LOW, k, h);
                let all = if F::HIGH > 0 {
                    L::join(low, field::<L>(square.add(Self::HIGH), F::HIGH, k, h), F::LOW as u32)
                } else {
                    low
                };
                L::float(all, F::OFFSET)
            };
            if F::MIN { q.mul_sub(*scale, *min) } else { q.mul(*scale) }
        }
    }
}

/// Column `k + h` of a plane of so many bits. Groups of eight columns begin with a byte, so the shift is known when
/// this is compiled.
///
/// # Safety
/// The plane must hold the column, and the CPU must have what `L` needs.
#[inline(always)]
unsafe fn field<L: Lanes>(plane: *const u8, bits: usize, k: usize, h: usize) -> L::Ints {
    // SAFETY: as this function's contract.
    unsafe {
        let bytes = L::bytes(plane.add((k + h) / columns(bits) * NR));
        L::field(bytes, (h % columns(bits) * bits) as u32, low_bits(bits))
    }
}

const fn low_bits(bits: usize) -> i32 {
    (1 << bits) - 1
}
