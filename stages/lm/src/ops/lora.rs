//! A linear layer with a low-rank adapter (Hu et al. 2021, arXiv:2106.09685), as one op.

use std::borrow::Cow;

use candle_core::{Result, Shape, Tensor};
use parking_lot::Mutex;
use rayon::prelude::*;

use super::{
    Weight, WeightTile,
    autograd::{Grads, Input, Op, View, apply, fused},
    composed,
    gemm::{Lhs, Rhs, Store, gemm, gemm_serial},
    linear::{Frozen, start_with, weight_grad},
    scratch::{self, filled, recycle},
    slices,
};

/// The adapter of one linear layer: `ΔW = scale · B A`.
#[derive(Clone, Copy, Debug)]
pub struct Lora<'a> {
    /// `A [r, in]`.
    pub a: &'a Tensor,
    /// `B [out, r]`.
    pub b: &'a Tensor,
    /// `lora_alpha / r`.
    pub scale: f32,
    /// Dropout of the adapter's input, in training.
    pub dropout: Option<Dropout>,
}

/// Inverted dropout whose mask is a pure function of `seed` and the element's index, so that nothing is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Probability of zeroing an element, in `[0, 1)`.
    pub p: f32,
    /// The key of the mask; use another one for every layer and step.
    pub seed: u64,
}

impl Dropout {
    /// The factor of element `index`: 0 or `1 / (1 - p)`.
    #[inline]
    pub fn factor(self, index: u64) -> f32 {
        // SplitMix64's output function over a Weyl sequence (Steele, Lea and Flood 2014).
        let mut z = self.seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let uniform = (z >> 40) as f32 * (1.0 / (1u32 << 24) as f32);
        if uniform < self.p { 0.0 } else { 1.0 / (1.0 - self.p) }
    }
}

/// `y = x wᵀ + bias + scale · (dropout(x) aᵀ) bᵀ` for `x [T, in]`.
///
/// The backward pass gives the gradients of `x`, `a` and `b`; the base weight and bias are frozen, whatever their type.
pub fn lora_linear(x: &Tensor, weight: &Weight, bias: Option<&Tensor>, lora: &Lora) -> Result<Tensor> {
    let ((_, columns), (out, inner)) = (x.dims2()?, weight.shape()?);
    let ((r, a_in), (b_out, b_r)) = (lora.a.dims2()?, lora.b.dims2()?);
    if columns != inner || a_in != inner || b_out != out || r != b_r {
        candle_core::bail!("lora of A [{r}, {a_in}], B [{b_out}, {b_r}] on [{out}, {inner}], rows of {columns}");
    }
    let dropout = lora.dropout.filter(|d| d.p > 0.0);
    if fused(&[x, lora.a, lora.b]) && bias.is_none_or(|b| fused(&[b])) {
        let bias = bias.map(|b| b.flatten_all()?.to_vec1()).transpose()?;
        let op = LoraLinear { frozen: Frozen::new(weight)?, bias, scale: lora.scale, dropout, kept: Mutex::default() };
        return apply(op, [x, lora.a, lora.b]);
    }
    let bias = bias.map(Tensor::detach);
    let base = composed::linear(x, &weight.to_tensor(x.device())?.detach(), bias.as_ref())?;
    let input = match dropout {
        Some(dropout) => {
            let mask: Vec<f32> = (0..x.elem_count() as u64).map(|i| dropout.factor(i)).collect();
            (x * Tensor::from_vec(mask, x.shape(), x.device())?.to_dtype(x.dtype())?)?
        }
        None => x.clone(),
    };
    let delta = composed::linear(&composed::linear(&input, lora.a, None)?, lora.b, None)?;
    base + (delta * f64::from(lora.scale))?
}

/// Inputs: x, a, b.
struct LoraLinear {
    frozen: Frozen,
    bias: Option<Vec<f32>>,
    scale: f32,
    dropout: Option<Dropout>,
    kept: Mutex<Kept>,
}

/// What the forward pass keeps for the backward pass.
#[derive(Default)]
struct Kept {
    /// `scale · dropout(x) aᵀ [T, r]`.
    low: Vec<f32>,
    /// See [`LoraLinear::merged`].
    merged: Option<Vec<f32>>,
}

impl LoraLinear {
    /// The adapter's input: `x`, or a copy with dropout.
    fn dropped<'a>(&self, x: &'a [f32]) -> Cow<'a, [f32]> {
        let Some(dropout) = self.dropout else { return Cow::Borrowed(x) };
        Cow::Owned(filled(x.len(), |out| {
            out.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).enumerate().for_each(|(task, (out, x))| {
                for (i, (out, x)) in out.iter_mut().zip(x).enumerate() {
                    *out = x * dropout.factor((task * TASK + i) as u64);
                }
            });
        }))
    }
}

/// Rows of one task of [`LoraLinear::merged`].
const MERGE_ROWS: usize = 48;
/// Elements of the largest weight that an adapter is added to before it is multiplied with. Up to there the sum costs
/// less than the adapter's two thin products over a micro-batch of a few hundred tokens. The limit is one of the
/// weight, not of the batch, whose size must not change a row's bits.
const MERGE_UP_TO: usize = 1 << 18;

impl LoraLinear {
    /// `W + scale · b a [n, k]`, for small plain weights; without dropout, which gives the adapter an input of its own.
    fn merged(&self, a: &[f32], b: &[f32]) -> Result<Option<Vec<f32>>> {
        let (n, k) = self.frozen.shape()?;
        if self.dropout.is_some() || n * k > MERGE_UP_TO {
            return Ok(None);
        }
        let dense = match &self.frozen {
            Frozen::Dense(weight) => Some(View::of(weight)?),
            Frozen::Packed(_) => None,
            Frozen::Tiles(_) => return Ok(None),
        };
        let (dense, r) = (dense.as_deref(), a.len() / k);
        let merged = filled(n * k, |merged| {
            let parts = merged.par_chunks_mut(MERGE_ROWS * k).zip(b.par_chunks(MERGE_ROWS * r)).enumerate();
            parts.for_each(|(part, (merged, b))| {
                let first = part * MERGE_ROWS;
                match (&self.frozen, dense) {
                    (Frozen::Packed(weight), _) => weight.read_rows(first..first + merged.len() / k, merged),
                    (_, Some(weight)) => merged.copy_from_slice(&weight[first * k..][..merged.len()]),
                    _ => unreachable!("tiles are not merged"),
                }
                scratch::with(b.len(), |scaled| {
                    scaled.iter_mut().zip(b).for_each(|(scaled, b)| *scaled = b * self.scale);
                    let m = b.len() / r;
                    gemm_serial(m, k, r, Lhs::Rows(scaled), &Rhs::Rows(a), Store::Add, merged);
                });
            });
        });
        Ok(Some(merged))
    }
}

/// Elements of one task of the dropout.
const TASK: usize = 1 << 14;

impl Drop for LoraLinear {
    fn drop(&mut self) {
        let Kept { low, merged } = std::mem::take(self.kept.get_mut());
        recycle(low);
        merged.into_iter().for_each(recycle);
    }
}

impl Op for LoraLinear {
    fn name(&self) -> &'static str {
        "lora_linear"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let [x, a, b] = inputs else { unreachable!("applied to three inputs") };
        let (m, r, (n, k)) = (x.dims[0], a.dims[0], self.frozen.shape()?);
        let input = self.dropped(x.data);
        let mut low =
            filled(m * r, |low| gemm(m, r, k, Lhs::Rows(&input), &Rhs::Transposed(a.data), Store::Overwrite, low));
        if let Cow::Owned(copy) = input {
            recycle(copy);
        }
        slices::scale(&mut low, self.scale);
        let merged = self.merged(a.data, b.data)?;
        let mut done = Ok(());
        let y = filled(m * n, |y| {
            let store = start_with(self.bias.as_deref(), y);
            if let Some(merged) = &merged {
                gemm(m, n, k, Lhs::Rows(x.data), &Rhs::Transposed(merged), store, y);
            } else {
                done = self.frozen.forward(x.data, m, (n, k), store, y);
                gemm(m, n, r, Lhs::Rows(&low), &Rhs::Transposed(b.data), Store::Add, y);
            }
        });
        *self.kept.lock() = Kept { low, merged };
        done.map(|()| (y, (m, n).into()))
    }

    fn backward(&self, inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        let [x, a, b] = inputs else { unreachable!("applied to three inputs") };
        let (m, r, (n, k)) = (x.dim(0)?, a.dim(0)?, self.frozen.shape()?);
        let (x_data, a_data, b_data, dy) = (View::of(x)?, View::of(a)?, View::of(b)?, View::of(grad)?);
        let device = grad.device();
        let kept = self.kept.lock();
        // d low = scale · dy b
        let mut d_low = filled(m * r, |d| gemm(m, r, n, Lhs::Rows(&dy), &Rhs::Rows(&b_data), Store::Overwrite, d));
        slices::scale(&mut d_low, self.scale);
        let da = a.track_op().then(|| weight_grad(&d_low, &self.dropped(&x_data), m, r, k));
        let db = b.track_op().then(|| weight_grad(&dy, &kept.low, m, n, r));
        let dx = x.track_op().then(|| -> Result<Tensor> {
            if let Some(merged) = &kept.merged {
                let dx = filled(m * k, |dx| {
                    gemm(m, k, n, Lhs::Rows(&dy), &Rhs::Rows(merged), Store::Overwrite, dx);
                });
                return Tensor::from_vec(dx, (m, k), device);
            }
            let mut done = Ok(());
            let mut dx = filled(m * k, |dx| {
                done = self.frozen.backward(&dy, m, (n, k), Store::Overwrite, dx);
            });
            done?;
            let (lhs, rhs) = (Lhs::Rows(&d_low), Rhs::Rows(&a_data));
            if self.dropout.is_none() {
                gemm(m, k, r, lhs, &rhs, Store::Add, &mut dx);
            } else {
                let through = filled(m * k, |d| gemm(m, k, r, lhs, &rhs, Store::Overwrite, d));
                slices::add(&mut dx, &self.dropped(&through));
                recycle(through);
            }
            Tensor::from_vec(dx, (m, k), device)
        });
        recycle(d_low);
        let tensor = |data: Option<Vec<f32>>, like: &Tensor| {
            data.map(|data| Tensor::from_vec(data, like.shape(), device)).transpose()
        };
        Ok([dx.transpose()?, tensor(da, a)?, tensor(db, b)?])
    }
}
