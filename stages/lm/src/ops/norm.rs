//! Normalisations over the last dimension.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::{
    Crew,
    autograd::{Grads, Input, Op, View, apply, fused},
    composed,
    math::{self, simd},
    scratch::filled,
    slices,
};

/// `x / sqrt(mean(x²) + eps) * weight` per group of `d` elements of `x`, `d` being the length of `weight`
/// (Zhang and Sennrich 2019, arXiv:1910.07467). With `x [T, heads * d]` every head is normalised by itself (Qwen3).
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (width, d) = (x.dims().last().copied().unwrap_or(0), weight.elem_count());
    if width == 0 || !width.is_multiple_of(d) {
        candle_core::bail!("rms_norm of rows of {width} with a weight of {d}");
    }
    if fused(&[x, weight]) {
        return apply(Norm { eps: eps as f32, centred: false }, [x, weight]);
    }
    let groups = x.reshape(((), d))?;
    composed::rms_norm(&groups, weight, eps)?.reshape(x.shape())
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` per row of `x [T, d]`.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let norm = Norm { eps: eps as f32, centred: true };
    match bias {
        _ if !fused(&[x, weight]) || bias.is_some_and(|b| !fused(&[b])) => composed::layer_norm(x, weight, bias, eps),
        None => apply(norm, [x, weight]),
        Some(bias) => apply(norm, [x, weight, bias]),
    }
}

/// Both norms: inputs x, weight and, with `centred`, perhaps a bias.
struct Norm {
    eps: f32,
    centred: bool,
}

impl Op for Norm {
    fn name(&self) -> &'static str {
        if self.centred { "layer_norm" } else { "rms_norm" }
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let (x, weight) = (inputs[0].data, inputs[1].data);
        let out = filled(x.len(), |out| {
            if self.centred {
                slices::layer_norm(Crew::Pool, x, weight, inputs.get(2).map(|b| b.data), self.eps, out);
            } else {
                slices::rms_norm(Crew::Pool, x, weight, self.eps, out);
            }
        });
        Ok((out, inputs[0].dims.into()))
    }

    fn backward(&self, inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        let (x, weight, dy) = (View::of(&inputs[0])?, View::of(&inputs[1])?, View::of(grad)?);
        let d = weight.len();
        let trained = inputs[1..].iter().any(Tensor::track_op);
        // Weight gradients are summed per part, then over the parts in order: a sum that no thread count changes.
        let size = (x.len() / d).div_ceil(32).max(8) * d;
        let mut sums = vec![0.0; if trained { x.len().div_ceil(size) * 2 * d } else { 0 }];
        let dx = filled(x.len(), |dx| {
            let parts = x.par_chunks(size).zip(dy.par_chunks(size)).zip(dx.par_chunks_mut(size));
            if trained {
                parts.zip(sums.par_chunks_mut(2 * d)).for_each(|(((x, dy), dx), sums)| {
                    norm_backward(x, &weight, dy, self.eps, self.centred, dx, sums);
                });
            } else {
                parts.for_each(|((x, dy), dx)| norm_backward(x, &weight, dy, self.eps, self.centred, dx, &mut []));
            }
        });
        let total = |offset: usize, like: &Tensor| {
            let mut total = vec![0.0; d];
            for part in sums.chunks_exact(2 * d) {
                slices::add(&mut total, &part[offset..offset + d]);
            }
            Tensor::from_vec(total, like.shape(), like.device())
        };
        let dx = Tensor::from_vec(dx, inputs[0].shape(), grad.device())?;
        let dw = inputs[1].track_op().then(|| total(0, &inputs[1])).transpose()?;
        let db = inputs.get(2).filter(|b| b.track_op()).map(|b| total(d, b)).transpose()?;
        Ok([Some(dx), dw, db])
    }
}

simd! {
    /// With n = (x - mean) * r and g = dy * weight: dx = r (g - mean(g) - n mean(g n)), without the means of x and g
    /// where the norm is not centred. Adds dy n and dy to the two halves of `sums`, unless it is empty.
    fn norm_backward(
        x: &[f32],
        weight: &[f32],
        dy: &[f32],
        eps: f32,
        centred: bool,
        dx: &mut [f32],
        sums: &mut [f32],
    ) {
        let d = weight.len();
        let scale = 1.0 / d as f32;
        for ((x, dy), dx) in x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)) {
            let mean = if centred { math::sum(d, |i| x[i]) * scale } else { 0.0 };
            let r = 1.0 / (math::sum(d, |i| (x[i] - mean) * (x[i] - mean)) * scale + eps).sqrt();
            let along = math::sum(d, |i| dy[i] * weight[i] * (x[i] - mean)) * r * scale;
            let shift = if centred { math::sum(d, |i| dy[i] * weight[i]) * scale } else { 0.0 };
            for i in 0..d {
                dx[i] = r * (dy[i] * weight[i] - shift - (x[i] - mean) * r * along);
            }
            if !sums.is_empty() {
                let (dw, db) = sums.split_at_mut(d);
                for i in 0..d {
                    dw[i] += dy[i] * (x[i] - mean) * r;
                }
                if centred {
                    for i in 0..d {
                        db[i] += dy[i];
                    }
                }
            }
        }
    }
}
