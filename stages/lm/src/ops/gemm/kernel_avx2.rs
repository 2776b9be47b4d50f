//! The x86-64 micro-kernels: AVX2 and FMA.

use core::arch::x86_64::{
    __m256, _MM_HINT_T1, _mm_prefetch, _mm256_add_ps, _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_permute2f128_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps, _mm256_unpackhi_ps,
    _mm256_unpacklo_ps,
};

use super::{AHEAD_EVERY, NR, Tile};

/// `C (+)= A B` for `ROWS` rows and `PANELS` panels of `NR` columns; each element is one chain of fused multiply-adds
/// over `k`, so its bits do not depend on `ROWS` and `PANELS`.
///
/// # Safety
/// The CPU must have AVX2 and FMA, and `t` must point to a whole tile of that size (see [`Tile`]).
#[target_feature(enable = "avx2,fma")]
pub(crate) unsafe fn kernel<const ROWS: usize, const PANELS: usize>(t: &Tile) {
    // SAFETY: the caller vouches for the extents behind the pointers of `t`; every access below stays within them.
    unsafe {
        let mut acc: [[[__m256; 2]; PANELS]; ROWS] = [[[_mm256_setzero_ps(); 2]; PANELS]; ROWS];
        t.bring_c_near(ROWS, PANELS);
        let (mut a, mut b, mut ahead) = (t.a, t.b, t.ahead);
        let mut left = t.k;
        while left > 0 {
            // One request at a time: many at once would fill the queue in which this tile's own loads wait.
            _mm_prefetch::<_MM_HINT_T1>(ahead.cast());
            ahead = ahead.wrapping_add(t.ahead_step);
            for _ in 0..AHEAD_EVERY.min(left) {
                for p in 0..PANELS {
                    let b = b.add(p * t.panel_stride);
                    let (lo, hi) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                    for (i, acc) in acc.iter_mut().enumerate() {
                        let x = _mm256_broadcast_ss(&*a.add(i * t.a_row_stride));
                        acc[p][0] = _mm256_fmadd_ps(x, lo, acc[p][0]);
                        acc[p][1] = _mm256_fmadd_ps(x, hi, acc[p][1]);
                    }
                }
                a = a.add(t.a_k_stride);
                b = b.add(t.b_k_stride);
            }
            left -= AHEAD_EVERY.min(left);
        }
        for (i, acc) in acc.iter().enumerate() {
            for (p, halves) in acc.iter().enumerate() {
                for (h, value) in halves.iter().enumerate() {
                    let c = t.c.add(i * t.c_stride + p * NR + h * 8);
                    let sum = if t.add { _mm256_add_ps(_mm256_loadu_ps(c), *value) } else { *value };
                    _mm256_storeu_ps(c, sum);
                }
            }
        }
    }
}

/// Writes the transpose of 8 rows of 8 floats: `to[k * to_stride + i] = from[i * stride + k]`.
///
/// # Safety
/// The CPU must have AVX2; `from` must be readable for 8 rows of 8 at `stride`, `to` writable for as many at
/// `to_stride`.
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn transpose8(from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
    // SAFETY: the caller vouches for 8 rows of 8 behind both pointers.
    unsafe {
        let row = |i: usize| _mm256_loadu_ps(from.add(i * stride));
        let pair = |i: usize| (_mm256_unpacklo_ps(row(i), row(i + 1)), _mm256_unpackhi_ps(row(i), row(i + 1)));
        let quad = |i: usize| {
            let ((a, b), (c, d)) = (pair(i), pair(i + 2));
            [
                _mm256_shuffle_ps::<0x44>(a, c),
                _mm256_shuffle_ps::<0xee>(a, c),
                _mm256_shuffle_ps::<0x44>(b, d),
                _mm256_shuffle_ps::<0xee>(b, d),
            ]
        };
        let (top, bottom) = (quad(0), quad(4));
        for i in 0..4 {
            _mm256_storeu_ps(to.add(i * to_stride), _mm256_permute2f128_ps::<0x20>(top[i], bottom[i]));
            _mm256_storeu_ps(to.add((i + 4) * to_stride), _mm256_permute2f128_ps::<0x31>(top[i], bottom[i]));
        }
    }
}
