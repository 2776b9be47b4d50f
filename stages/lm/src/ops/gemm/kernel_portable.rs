//! The micro-kernel in plain Rust, written so that compilers vectorise it (NEON on aarch64).

use super::{NR, Tile};

/// As the AVX2 kernel, with the multiply-add that the target does natively.
///
/// # Safety
/// `t` must point to a whole tile of `ROWS` rows and `PANELS` panels (see [`Tile`]).
pub(crate) unsafe fn kernel<const ROWS: usize, const PANELS: usize>(t: &Tile) {
    let mut acc = [[[0.0f32; NR]; PANELS]; ROWS];
    // SAFETY: the caller vouches for the extents behind the pointers of `t`; every access below stays within them.
    unsafe {
        for k in 0..t.k {
            for p in 0..PANELS {
                let b = &*t.b.add(p * t.panel_stride + k * t.b_k_stride).cast::<[f32; NR]>();
                for (i, acc) in acc.iter_mut().enumerate() {
                    let x = *t.a.add(i * t.a_row_stride + k * t.a_k_stride);
                    for (sum, &b) in acc[p].iter_mut().zip(b) {
                        *sum = multiply_add(x, b, *sum);
                    }
                }
            }
        }
        for (i, acc) in acc.iter().enumerate() {
            let row = t.c.add(i * t.c_stride);
            for (j, &value) in acc.as_flattened().iter().enumerate() {
                *row.add(j) = if t.add { *row.add(j) + value } else { value };
            }
        }
    }
}

/// Fused where that is one instruction; a call into libm otherwise, which would be a hundred times slower.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) { a.mul_add(b, c) } else { a * b + c }
}
