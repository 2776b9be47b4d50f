//! The elementwise and row-wise kernels over plain f32 slices: what the ops run, and what inference calls directly.
//! All are cut by rows, so the number of threads changes no bit.

use rayon::prelude::*;

use super::{
    Crew, Rope,
    math::{self, mla, sigmoid, simd},
};

/// Elements of one task: large enough that waking a thread costs little, small enough to stay in cache.
const TASK: usize = 1 << 14;

/// Rows of `width` elements that make one task.
pub(super) fn rows_per_task(width: usize) -> usize {
    TASK.div_ceil(width.max(1))
}

/// Rows of `width` elements of `x` that make one part of a crew's work.
fn rows_per_part(crew: Crew, width: usize, x: &[f32]) -> usize {
    crew.part(x.len()).div_ceil(width.max(1)).max(1)
}

simd! {
    fn add_task(to: &mut [f32], from: &[f32]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to += from;
        }
    }
}

/// `to += from`.
pub fn add(to: &mut [f32], from: &[f32]) {
    assert_eq!(to.len(), from.len(), "both operands of a sum must have one length");
    to.par_chunks_mut(TASK).zip(from.par_chunks(TASK)).for_each(|(to, from)| add_task(to, from));
}

simd! {
    fn sum_task(a: &[f32], b: &[f32], out: &mut [f32]) {
        for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
            *out = a + b;
        }
    }
}

/// `out = a + b`.
pub fn sum(a: &[f32], b: &[f32], out: &mut [f32]) {
    assert!(a.len() == out.len() && b.len() == out.len(), "the operands of a sum must have one length");
    let parts = a.par_chunks(TASK).zip(b.par_chunks(TASK)).zip(out.par_chunks_mut(TASK));
    parts.for_each(|((a, b), out)| sum_task(a, b, out));
}

simd! {
    fn scale_task(x: &mut [f32], factor: f32) {
        for x in x {
            *x *= factor;
        }
    }
}

/// `x *= factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    x.par_chunks_mut(TASK).for_each(|x| scale_task(x, factor));
}

simd! {
    fn rms_norm_task(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
        let d = weight.len();
        for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            let square = math::sum(d, |i| x[i] * x[i]);
            let scale = 1.0 / (square / d as f32 + eps).sqrt();
            for ((o, x), w) in out.iter_mut().zip(x).zip(weight) {
                *o = x * scale * w;
            }
        }
    }
}

/// RMS norm of every row of `x [rows, d]` into `out`, `d` being the length of `weight`.
pub fn rms_norm(crew: Crew, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let size = rows_per_part(crew, weight.len(), out) * weight.len();
    crew.parts(out, size, |i, out| rms_norm_task(&x[i * size..][..out.len()], weight, eps, out));
}

simd! {
    fn layer_norm_task(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        let d = weight.len();
        for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
            let mean = math::sum(d, |i| x[i]) / d as f32;
            let variance = math::sum(d, |i| (x[i] - mean) * (x[i] - mean)) / d as f32;
            let scale = 1.0 / (variance + eps).sqrt();
            for ((o, x), w) in out.iter_mut().zip(x).zip(weight) {
                *o = (x - mean) * scale * w;
            }
            if let Some(bias) = bias {
                for (o, b) in out.iter_mut().zip(bias) {
                    *o += b;
                }
            }
        }
    }
}

/// Layer norm of every row of `x [rows, d]` into `out`.
pub fn layer_norm(crew: Crew, x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    let size = rows_per_part(crew, weight.len(), out) * weight.len();
    crew.parts(out, size, |i, out| layer_norm_task(&x[i * size..][..out.len()], weight, bias, eps, out));
}

simd! {
    fn rotate(row: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
        let half = cos.len();
        for head in row.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            for i in 0..half {
                let s = sin[i] * sign;
                (a[i], b[i]) = (mla::<FMA>(a[i], cos[i], -b[i] * s), mla::<FMA>(b[i], cos[i], a[i] * s));
            }
        }
    }
}

/// Rotates every head of the rows of `x [rows, width]` in place, by the row's position.
pub fn rope(crew: Crew, x: &mut [f32], width: usize, table: &Rope, positions: &[u32]) {
    let rows = rows_per_part(crew, width, x);
    crew.parts(x, rows * width, |i, x| {
        for (row, &position) in x.chunks_exact_mut(width).zip(&positions[i * rows..]) {
            let (cos, sin) = table.at(position as usize);
            rotate(row, cos, sin, 1.0);
        }
    });
}

/// Writes the rows of `x [rows, width]`, every head rotated by the row's position, to `out`; `sign` -1 rotates back.
pub(super) fn rotate_rows_into(x: &[f32], out: &mut [f32], width: usize, table: &Rope, positions: &[u32], sign: f32) {
    let rows = rows_per_task(width);
    let parts = x.par_chunks(rows * width).zip(out.par_chunks_mut(rows * width));
    parts.zip(positions.par_chunks(rows)).for_each(|((x, out), positions)| {
        for ((from, to), &position) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(positions) {
            let (cos, sin) = table.at(position as usize);
            // Two passes over a row that stays in L1.
            to.copy_from_slice(from);
            rotate(to, cos, sin, sign);
        }
    });
}

simd! {
    fn swiglu_task(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, &g), u) in out.iter_mut().zip(gate).zip(up) {
            *out = g * sigmoid::<FMA>(g) * u;
        }
    }
}

/// `out = silu(gate) * up`.
pub(super) fn swiglu_into(gate: &[f32], up: &[f32], out: &mut [f32]) {
    let parts = gate.par_chunks(TASK).zip(up.par_chunks(TASK)).zip(out.par_chunks_mut(TASK));
    parts.for_each(|((gate, up), out)| swiglu_task(gate, up, out));
}

simd! {
    fn swiglu_in_place(gate: &mut [f32], up: &[f32]) {
        for (g, u) in gate.iter_mut().zip(up) {
            *g = *g * sigmoid::<FMA>(*g) * u;
        }
    }
}

/// `gate = silu(gate) * up`, in place.
pub fn swiglu(crew: Crew, gate: &mut [f32], up: &[f32]) {
    let size = crew.part(gate.len());
    crew.parts(gate, size, |i, gate| swiglu_in_place(gate, &up[i * size..][..gate.len()]));
}
