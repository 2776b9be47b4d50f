//! Cross-entropy fused with the output projection.

use candle_core::{Result, Shape, Tensor};
use parking_lot::Mutex;
use rayon::prelude::*;

use super::{
    Weight,
    autograd::{Grads, Input, Op, View, apply, fused},
    composed,
    gemm::{Lhs, Rhs, Store, gemm},
    linear::Frozen,
    math::{self, exp, simd},
    scratch::{self, filled},
    slices,
};

/// `Σ weights[i] · -log softmax(hidden[i] headᵀ)[targets[i]]`, a scalar; the caller divides by what it normalises with.
///
/// Rows with weight 0 are masked: neither their logits nor their gradients are computed. `hidden` is `[T, d]`, `head`
/// `[V, d]`; `targets` and `weights` have length `T`.
///
/// The gradients are computed along with the loss, from the same logits, a few rows at a time (as in Liger Kernel, Hsu
/// et al. 2024, arXiv:2410.10989): the backward pass only scales them.
pub fn cross_entropy(hidden: &Tensor, head: &Weight, targets: &[u32], weights: &[f32]) -> Result<Tensor> {
    let ((rows, d), (vocab, inner)) = (hidden.dims2()?, head.shape()?);
    if d != inner || rows != targets.len() || rows != weights.len() {
        let (targets, weights) = (targets.len(), weights.len());
        candle_core::bail!(
            "cross_entropy of {rows} x {d} with a head of {vocab} x {inner}, {targets} targets, {weights} weights"
        );
    }
    let wanted = |i: &usize| weights[*i] != 0.0;
    if let Some(i) = (0..rows).filter(wanted).find(|&i| targets[i] as usize >= vocab) {
        candle_core::bail!("target {} of row {i} is beyond the vocabulary of {vocab}", targets[i]);
    }
    if !fused(&[hidden]) {
        return composed::cross_entropy(hidden, &head.to_tensor(hidden.device())?, targets, weights);
    }
    let rows =
        (0..rows).filter(wanted).map(|i| Wanted { at: i, target: targets[i] as usize, weight: weights[i] }).collect();
    let want_hidden = hidden.track_op();
    match head {
        Weight::Dense(w) if fused(&[w]) && w.track_op() => {
            let op = CrossEntropy { rows, frozen: None, want_hidden, grads: Mutex::default() };
            apply(op, [hidden, w])
        }
        _ => {
            let op = CrossEntropy { rows, frozen: Some(Frozen::new(head)?), want_hidden, grads: Mutex::default() };
            apply(op, [hidden])
        }
    }
}

/// A row whose loss is wanted.
struct Wanted {
    at: usize,
    target: usize,
    weight: f32,
}

/// Inputs: hidden and, if it is trained, the head.
struct CrossEntropy {
    rows: Vec<Wanted>,
    frozen: Option<Frozen>,
    want_hidden: bool,
    /// Gradients of hidden and head for a loss gradient of 1, from the forward pass.
    grads: Mutex<Option<(Vec<f32>, Vec<f32>)>>,
}

/// Logits held at once: enough rows to be worth packing the head for, 64 MB for large vocabularies.
const LOGITS: usize = 16 << 20;
/// Rows of logits held at once, at most.
const MAX_ROWS: usize = 1024;

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let hidden = inputs[0].data;
        let (t, d) = (inputs[0].dims[0], inputs[0].dims[1]);
        let vocab = match &self.frozen {
            Some(frozen) => frozen.shape()?.0,
            None => inputs[1].dims[0],
        };
        let mut d_hidden = filled(if self.want_hidden { t * d } else { 0 }, |d_hidden| d_hidden.fill(0.0));
        let mut d_head = filled(if self.frozen.is_none() { vocab * d } else { 0 }, |d_head| d_head.fill(0.0));
        let want_grads = self.want_hidden || self.frozen.is_none();
        let mut total = 0.0f64;
        // As many chunks as must be, of nearly equal size.
        let most = (LOGITS / vocab).clamp(64, MAX_ROWS);
        let size = self.rows.len().div_ceil(self.rows.len().div_ceil(most).max(1)).max(1);
        for rows in self.rows.chunks(size) {
            let m = rows.len();
            scratch::with(m * (d + vocab), |buffer| -> Result<()> {
                let (x, logits) = buffer.split_at_mut(m * d);
                for (row, x) in rows.iter().zip(x.chunks_exact_mut(d)) {
                    x.copy_from_slice(&hidden[row.at * d..][..d]);
                }
                match &self.frozen {
                    Some(frozen) => frozen.forward(x, m, (vocab, d), Store::Overwrite, logits)?,
                    None => gemm(m, vocab, d, Lhs::Rows(x), &Rhs::Transposed(inputs[1].data), Store::Overwrite, logits),
                }
                let losses: Vec<f64> = logits
                    .par_chunks_mut(vocab)
                    .zip(rows)
                    .map(|(logits, row)| {
                        let (log_sum, picked) = softmax_grad(logits, row.target, row.weight, want_grads);
                        f64::from(row.weight) * (log_sum - f64::from(picked))
                    })
                    .collect();
                total += losses.iter().sum::<f64>();
                if self.frozen.is_none() {
                    gemm(vocab, d, m, Lhs::Transposed(logits), &Rhs::Rows(x), Store::Add, &mut d_head);
                }
                if self.want_hidden {
                    // x is not needed any more: its memory takes its gradient.
                    match &self.frozen {
                        Some(frozen) => frozen.backward(logits, m, (vocab, d), Store::Overwrite, x)?,
                        None => gemm(m, d, vocab, Lhs::Rows(logits), &Rhs::Rows(inputs[1].data), Store::Overwrite, x),
                    }
                    for (row, x) in rows.iter().zip(x.chunks_exact(d)) {
                        d_hidden[row.at * d..][..d].copy_from_slice(x);
                    }
                }
                Ok(())
            })?;
        }
        if want_grads {
            *self.grads.lock() = Some((d_hidden, d_head));
        }
        Ok((vec![total as f32], ().into()))
    }

    fn backward(&self, inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        let factor = View::of(grad)?[0];
        let taken = self.grads.lock().take();
        let Some((mut d_hidden, mut d_head)) = taken else {
            candle_core::bail!("the gradients of a cross_entropy can be taken once");
        };
        if factor.to_bits() != 1.0f32.to_bits() {
            slices::scale(&mut d_hidden, factor);
            slices::scale(&mut d_head, factor);
        }
        let tensor = |data: Vec<f32>, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device());
        let d_hidden = self.want_hidden.then(|| tensor(d_hidden, &inputs[0])).transpose()?;
        let d_head = inputs.get(1).map(|head| tensor(d_head, head)).transpose()?;
        Ok([d_hidden, d_head, None])
    }
}

simd! {
    /// Gives log Σ e^logits and the target's logit. With `want_grads`, replaces the logits by the gradient
    /// `weight · (softmax - onehot)`.
    fn softmax_grad(logits: &mut [f32], target: usize, weight: f32, want_grads: bool) -> (f64, f32) {
        let picked = logits[target];
        let max = math::max(logits);
        for x in logits.iter_mut() {
            *x = exp::<FMA>(*x - max);
        }
        let sum = math::sum(logits.len(), |i| logits[i]);
        if want_grads {
            let factor = weight / sum;
            for x in logits.iter_mut() {
                *x *= factor;
            }
            logits[target] -= weight;
        }
        (f64::from(max) + f64::from(sum).ln(), picked)
    }
}
