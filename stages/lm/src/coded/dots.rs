//! Sums of four products of bytes in each of sixteen lanes, on each kind of CPU. They are exact, hence the same.

#![expect(unsafe_op_in_unsafe_fn, reason = "every function is as unsafe as the trait says, and for that reason alone")]

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{
    __m512i, _mm256_add_epi32, _mm256_and_si256, _mm256_dpbusd_avx_epi32, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_set1_epi16, _mm256_set1_epi32, _mm256_slli_epi16, _mm256_srai_epi16, _mm256_srli_epi16, _mm512_dpbusd_epi32,
    _mm512_loadu_si512, _mm512_set1_epi32,
};

#[cfg(target_arch = "x86_64")]
use super::lanes::{Avx2, Avx512};
use super::{
    NR,
    lanes::{Lanes, Portable},
};

/// Columns side by side in a lane of 32 bits.
pub(super) const QUAD: usize = 4;
/// Bytes of four columns of a panel.
pub(super) const QUAD_BYTES: usize = QUAD * NR;

/// Integers of 32 bits that floats are made of.
type Ints<D> = <<D as Dots>::L as Lanes>::Ints;

/// # Safety
/// Of all functions: the CPU must have the instructions that the implementation is made of, and `quads` must be good
/// for [`QUAD_BYTES`] bytes; it needs no alignment.
pub(super) trait Dots: Copy {
    /// Floats of the same kind of CPU.
    type L: Lanes;

    /// To each lane its four bytes of `quads`, without a sign, times those of `x`, with one.
    unsafe fn add(sums: Ints<Self>, quads: *const u8, x: i32) -> Ints<Self>;
}

/// One instruction of AVX-512's VNNI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Vnni512;

#[cfg(target_arch = "x86_64")]
impl Dots for Vnni512 {
    type L = Avx512;

    #[inline(always)]
    unsafe fn add(sums: __m512i, quads: *const u8, x: i32) -> __m512i {
        _mm512_dpbusd_epi32(sums, _mm512_loadu_si512(quads.cast()), _mm512_set1_epi32(x))
    }
}

/// Two of AVX-VNNI.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Vnni256;

#[cfg(target_arch = "x86_64")]
impl Dots for Vnni256 {
    type L = Avx2;

    #[inline(always)]
    unsafe fn add([low, high]: Ints<Self>, quads: *const u8, x: i32) -> Ints<Self> {
        let x = _mm256_set1_epi32(x);
        [
            _mm256_dpbusd_avx_epi32(low, _mm256_loadu_si256(quads.cast()), x),
            _mm256_dpbusd_avx_epi32(high, _mm256_loadu_si256(quads.add(32).cast()), x),
        ]
    }
}

/// AVX2, where pairs of products of 16 bits are added: the even bytes and the odd ones. (The instruction for bytes
/// would cut sums off.)
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(super) struct Pairs;

#[cfg(target_arch = "x86_64")]
impl Dots for Pairs {
    type L = Avx2;

    #[inline(always)]
    unsafe fn add(sums: Ints<Self>, quads: *const u8, x: i32) -> Ints<Self> {
        let x = _mm256_set1_epi32(x);
        let (even_x, odd_x) = (_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x)), _mm256_srai_epi16::<8>(x));
        let mut sums = sums;
        for (half, sums) in sums.iter_mut().enumerate() {
            let quads = _mm256_loadu_si256(quads.add(32 * half).cast());
            let even = _mm256_madd_epi16(_mm256_and_si256(quads, _mm256_set1_epi16(0xff)), even_x);
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(quads), odd_x);
            *sums = _mm256_add_epi32(*sums, _mm256_add_epi32(even, odd));
        }
        sums
    }
}

/// Plain Rust.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Dots for Plain {
    type L = Portable;

    #[inline(always)]
    unsafe fn add(mut sums: Ints<Self>, quads: *const u8, x: i32) -> Ints<Self> {
        let quads = quads.cast::<[[u8; QUAD]; NR]>().read();
        let x = x.to_le_bytes().map(|byte| i32::from(byte.cast_signed()));
        for (sum, quad) in sums.iter_mut().zip(quads) {
            for (quad, x) in quad.into_iter().zip(x) {
                *sum += i32::from(quad) * x;
            }
        }
        sums
    }
}
