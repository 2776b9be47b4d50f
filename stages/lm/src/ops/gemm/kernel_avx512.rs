//! The x86-64 micro-kernel for CPUs with AVX-512: a panel's row of B is one register.

use core::arch::x86_64::{
    __m512, _MM_HINT_T1, _mm_prefetch, _mm512_add_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::{AHEAD_EVERY, NR, Tile};

/// As the AVX2 kernel, with the same bits: each element is one chain of fused multiply-adds over `k`.
///
/// # Safety
/// The CPU must have AVX-512F, and `t` must point to a whole tile of that size (see [`Tile`]).
#[target_feature(enable = "avx512f")]
pub(crate) unsafe fn kernel<const ROWS: usize, const PANELS: usize>(t: &Tile) {
    // SAFETY: the caller vouches for the extents behind the pointers of `t`; every access below stays within them.
    unsafe {
        let mut acc: [[__m512; PANELS]; ROWS] = [[_mm512_setzero_ps(); PANELS]; ROWS];
        t.bring_c_near(ROWS, PANELS);
        let (mut a, mut b, mut ahead) = (t.a, t.b, t.ahead);
        let mut left = t.k;
        while left > 0 {
            for p in 0..PANELS {
                _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(p * t.ahead_across).cast());
            }
            ahead = ahead.wrapping_add(t.ahead_step);
            for _ in 0..AHEAD_EVERY.min(left) {
                let b_row: [__m512; PANELS] = std::array::from_fn(|p| _mm512_loadu_ps(b.add(p * t.panel_stride)));
                for (i, acc) in acc.iter_mut().enumerate() {
                    let x = _mm512_set1_ps(*a.add(i * t.a_row_stride));
                    for (acc, b) in acc.iter_mut().zip(b_row) {
                        *acc = _mm512_fmadd_ps(x, b, *acc);
                    }
                }
                a = a.add(t.a_k_stride);
                b = b.add(t.b_k_stride);
            }
            left -= AHEAD_EVERY.min(left);
        }
        for (i, acc) in acc.iter().enumerate() {
            for (p, value) in acc.iter().enumerate() {
                let c = t.c.add(i * t.c_stride + p * NR);
                let sum = if t.add { _mm512_add_ps(_mm512_loadu_ps(c), *value) } else { *value };
                _mm512_storeu_ps(c, sum);
            }
        }
    }
}
