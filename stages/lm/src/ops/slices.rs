//! The forward passes over plain f32 slices, for inference without candle in between.

use super::Rope;

/// RMS norm of every row of `x [T, d]` into `out`, `d` being the length of `weight`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let d = weight.len();
    for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let square: f32 = x.iter().map(|v| v * v).sum();
        let scale = 1.0 / (square / d as f32 + eps).sqrt();
        for ((o, x), w) in out.iter_mut().zip(x).zip(weight) {
            *o = x * scale * w;
        }
    }
}

/// Layer norm of every row of `x [T, d]` into `out`.
pub fn layer_norm(x: &[f32], weight: &[f32], bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    let d = weight.len();
    for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let mean = x.iter().sum::<f32>() / d as f32;
        let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>() / d as f32;
        let scale = 1.0 / (variance + eps).sqrt();
        for (i, (o, x)) in out.iter_mut().zip(x).enumerate() {
            *o = (x - mean) * scale * weight[i] + bias.map_or(0.0, |b| b[i]);
        }
    }
}

/// Rotates every head of `x [T, heads * head_dim]` in place.
pub fn rope(x: &mut [f32], width: usize, table: &Rope, positions: &[u32]) {
    let half = table.half();
    for (row, &position) in x.chunks_exact_mut(width).zip(positions) {
        let (cos, sin) = table.at(position as usize);
        for head in row.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            for i in 0..half {
                (a[i], b[i]) = (a[i] * cos[i] - b[i] * sin[i], b[i] * cos[i] + a[i] * sin[i]);
            }
        }
    }
}

/// `gate = silu(gate) * up`, in place.
pub fn swiglu(gate: &mut [f32], up: &[f32]) {
    for (g, u) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + (-*g).exp()) * u;
    }
}
