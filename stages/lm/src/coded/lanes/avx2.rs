//! Two registers of AVX2, with FMA and F16C.

#![expect(unsafe_op_in_unsafe_fn, reason = "every function is as unsafe as the trait says, and for that reason alone")]

use core::arch::x86_64::{
    __m256, __m256i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_add_ps, _mm256_and_si256, _mm256_blendv_ps,
    _mm256_castsi256_ps, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtepu16_epi32,
    _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_fmsub_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps,
    _mm256_or_si256, _mm256_permutevar8x32_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_slli_epi32,
    _mm256_sllv_epi32, _mm256_srlv_epi32, _mm256_storeu_ps, _mm256_sub_epi32,
};

use super::{Lanes, NR};

#[derive(Clone, Copy)]
pub(crate) struct Avx2([__m256; 2]);

impl Lanes for Avx2 {
    type Ints = [__m256i; 2];

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([_mm256_setzero_ps(); 2])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        Self([_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))])
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        _mm256_storeu_ps(to, self.0[0]);
        _mm256_storeu_ps(to.add(8), self.0[1]);
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self([_mm256_add_ps(self.0[0], other.0[0]), _mm256_add_ps(self.0[1], other.0[1])])
    }

    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        Self([_mm256_mul_ps(self.0[0], other.0[0]), _mm256_mul_ps(self.0[1], other.0[1])])
    }

    #[inline(always)]
    unsafe fn mul_sub(self, a: Self, b: Self) -> Self {
        Self([_mm256_fmsub_ps(self.0[0], a.0[0], b.0[0]), _mm256_fmsub_ps(self.0[1], a.0[1], b.0[1])])
    }

    #[inline(always)]
    unsafe fn add_product(self, x: f32, b: Self) -> Self {
        let x = _mm256_set1_ps(x);
        Self([_mm256_fmadd_ps(x, b.0[0], self.0[0]), _mm256_fmadd_ps(x, b.0[1], self.0[1])])
    }

    #[inline(always)]
    unsafe fn f16(from: *const u8) -> Self {
        let (low, high) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast()));
        Self([_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)])
    }

    #[inline(always)]
    unsafe fn bf16(from: *const u8) -> Self {
        let (low, high) = (_mm_loadu_si128(from.cast()), _mm_loadu_si128(from.add(16).cast()));
        let low = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(low));
        let high = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(high));
        Self([_mm256_castsi256_ps(low), _mm256_castsi256_ps(high)])
    }

    #[inline(always)]
    unsafe fn i8(from: *const u8) -> Self {
        let (low, high) = (_mm_loadl_epi64(from.cast()), _mm_loadl_epi64(from.add(8).cast()));
        let (low, high) = (_mm256_cvtepi8_epi32(low), _mm256_cvtepi8_epi32(high));
        Self([_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)])
    }

    #[inline(always)]
    unsafe fn splat(value: i32) -> Self::Ints {
        [_mm256_set1_epi32(value); 2]
    }

    #[inline(always)]
    unsafe fn ints(from: *const u8) -> Self::Ints {
        [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(32).cast())]
    }

    #[inline(always)]
    unsafe fn bytes(from: *const u8) -> Self::Ints {
        let (low, high) = (_mm_loadl_epi64(from.cast()), _mm_loadl_epi64(from.add(8).cast()));
        [_mm256_cvtepu8_epi32(low), _mm256_cvtepu8_epi32(high)]
    }

    #[inline(always)]
    unsafe fn field(ints: Self::Ints, by: u32, mask: i32) -> Self::Ints {
        let (by, mask) = (_mm256_set1_epi32(by.cast_signed()), _mm256_set1_epi32(mask));
        let [low, high] = ints;
        [_mm256_and_si256(_mm256_srlv_epi32(low, by), mask), _mm256_and_si256(_mm256_srlv_epi32(high, by), mask)]
    }

    #[inline(always)]
    unsafe fn join(low: Self::Ints, high: Self::Ints, by: u32) -> Self::Ints {
        let by = _mm256_set1_epi32(by.cast_signed());
        [
            _mm256_or_si256(low[0], _mm256_sllv_epi32(high[0], by)),
            _mm256_or_si256(low[1], _mm256_sllv_epi32(high[1], by)),
        ]
    }

    #[inline(always)]
    unsafe fn look_up(ints: Self::Ints, table: &[f32; NR]) -> Self {
        // Eight values a register: bit 3 of an index chooses between two.
        let [low, high] = [_mm256_loadu_ps(table.as_ptr()), _mm256_loadu_ps(table.as_ptr().add(8))];
        let mut found = [low; 2];
        for (found, ints) in found.iter_mut().zip(ints) {
            let upper = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(ints));
            let (low, high) = (_mm256_permutevar8x32_ps(low, ints), _mm256_permutevar8x32_ps(high, ints));
            *found = _mm256_blendv_ps(low, high, upper);
        }
        Self(found)
    }

    #[inline(always)]
    unsafe fn float(ints: Self::Ints, offset: i32) -> Self {
        let (offset, [low, high]) = (_mm256_set1_epi32(offset), ints);
        let (low, high) = (_mm256_sub_epi32(low, offset), _mm256_sub_epi32(high, offset));
        Self([_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)])
    }
}
