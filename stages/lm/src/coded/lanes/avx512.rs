//! One register of AVX-512.

#![expect(unsafe_op_in_unsafe_fn, reason = "every function is as unsafe as the trait says, and for that reason alone")]

use core::arch::x86_64::{
    __m512, __m512i, _mm_loadu_si128, _mm256_loadu_si256, _mm512_add_ps, _mm512_and_si512, _mm512_castsi512_ps,
    _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtepu16_epi32, _mm512_cvtph_ps,
    _mm512_fmadd_ps, _mm512_fmsub_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_or_si512,
    _mm512_permutexvar_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi32, _mm512_sllv_epi32,
    _mm512_srlv_epi32, _mm512_storeu_ps, _mm512_sub_epi32,
};

use super::{Lanes, NR};

#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

impl Lanes for Avx512 {
    type Ints = __m512i;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self(_mm512_setzero_ps())
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self(_mm512_loadu_ps(from))
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm512_storeu_ps(to, self.0);
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(_mm512_add_ps(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self(_mm512_mul_ps(self.0, other.0))
    }

    #[inline(always)]
    unsafe fn mul_sub(self, a: Self, b: Self) -> Self {
        Self(_mm512_fmsub_ps(self.0, a.0, b.0))
    }

    #[inline(always)]
    unsafe fn add_product(self, x: f32, b: Self) -> Self {
        Self(_mm512_fmadd_ps(_mm512_set1_ps(x), b.0, self.0))
    }

    #[inline(always)]
    unsafe fn f16(from: *const u8) -> Self {
        Self(_mm512_cvtph_ps(_mm256_loadu_si256(from.cast())))
    }

    #[inline(always)]
    unsafe fn bf16(from: *const u8) -> Self {
        let bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
        Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)))
    }

    #[inline(always)]
    unsafe fn i8(from: *const u8) -> Self {
        Self(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast()))))
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self::Ints {
        _mm512_set1_epi32(value)
    }

    #[inline(always)]
    unsafe fn ints(from: *const u8) -> Self::Ints {
        _mm512_loadu_si512(from.cast())
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self::Ints {
        _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))
    }

    #[inline(always)]
    unsafe fn field(ints: Self::Ints, by: u32, mask: i32) -> Self::Ints {
        _mm512_and_si512(_mm512_srlv_epi32(ints, _mm512_set1_epi32(by.cast_signed())), _mm512_set1_epi32(mask))
    }

    #[inline(always)]
    unsafe fn join(low: Self::Ints, high: Self::Ints, by: u32) -> Self::Ints {
        _mm512_or_si512(low, _mm512_sllv_epi32(high, _mm512_set1_epi32(by.cast_signed())))
    }

    #[inline(always)]
    unsafe fn look_up(ints: Self::Ints, table: &[f32; NR]) -> Self {
        Self(_mm512_permutexvar_ps(ints, _mm512_loadu_ps(table.as_ptr())))
    }

    #[inline(always)]
    unsafe fn float(ints: Self::Ints, offset: i32) -> Self {
        Self(_mm512_cvtepi32_ps(_mm512_sub_epi32(ints, _mm512_set1_epi32(offset))))
    }
}
