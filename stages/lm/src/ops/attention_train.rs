//! Self-attention over packed sequences, for training.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor};
use parking_lot::Mutex;
use rayon::prelude::*;

use super::{
    Crew,
    attention_spec::{AttentionSpec, sequences},
    autograd::{Grads, Input, Op, View, apply, fused},
    composed,
    gemm::{Lhs, Product, Rhs, Skip, Store},
    math::{self, exp, mla, simd},
    scratch::{self, filled, recycle},
};

/// Attention of every sequence to itself: `q [T, n_heads * head_dim]`, `k` and `v` `[T, n_kv_heads * head_dim]`, giving
/// the shape of `q`.
///
/// Scores exist for [`STRIP`] queries of one head at a time; the backward pass computes them again from the kept
/// logarithms of the softmax sums (Dao et al. 2022, arXiv:2205.14135).
pub fn attention_train(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec, cu_seqlens: &[u32]) -> Result<Tensor> {
    let (rows, q_width, kv_width) = (q.dim(0)?, spec.n_heads * spec.head_dim, spec.n_kv_heads * spec.head_dim);
    let fits = q.dims() == [rows, q_width] && k.dims() == [rows, kv_width] && v.dims() == [rows, kv_width];
    let whole = cu_seqlens.first() == Some(&0)
        && cu_seqlens.last().is_some_and(|&last| last as usize == rows)
        && cu_seqlens.is_sorted();
    if !fits || !whole || !spec.n_heads.is_multiple_of(spec.n_kv_heads) {
        candle_core::bail!(
            "attention of {} heads ({} for keys) of {} with q {:?}, k {:?}, v {:?}, sequences {cu_seqlens:?}",
            spec.n_heads,
            spec.n_kv_heads,
            spec.head_dim,
            q.dims(),
            k.dims(),
            v.dims()
        );
    }
    if fused(&[q, k, v]) {
        let sequences = sequences(cu_seqlens).collect();
        return apply(Attention { spec: spec.clone(), sequences, log_sums: Mutex::default() }, [q, k, v]);
    }
    composed::attention(q, k, v, spec, cu_seqlens)
}

/// Queries whose scores are held at once: whole micro-tiles, and a strip of a thousand keys stays in L2.
const STRIP: usize = 66;

/// Inputs: q, k, v.
struct Attention {
    spec: AttentionSpec,
    sequences: Vec<Range<usize>>,
    /// log Σ e^score of every head and row, `[n_heads, T]`, kept for the backward pass.
    log_sums: Mutex<Vec<f32>>,
}

/// The part of a packed tensor `[T, width]` that belongs to one sequence and head, shared by tasks that each write
/// their own part.
#[derive(Clone, Copy)]
struct Output {
    data: *mut f32,
    width: usize,
}
// SAFETY: tasks write disjoint rows and columns (see `Output::store`).
unsafe impl Send for Output {}
// SAFETY: as above.
unsafe impl Sync for Output {}

impl Output {
    fn new(data: &mut [f32], width: usize) -> Self {
        Self { data: data.as_mut_ptr(), width }
    }

    /// Writes contiguous `rows` of one head's width, from row `first` and column `column` on.
    ///
    /// # Safety
    /// The rows and columns must lie within the tensor, and no other task may touch them.
    unsafe fn store(self, first: usize, column: usize, head_dim: usize, rows: &[f32]) {
        for (i, row) in rows.chunks_exact(head_dim).enumerate() {
            // SAFETY: the caller vouches for the place.
            unsafe {
                let to = self.data.add((first + i) * self.width + column);
                to.copy_from_nonoverlapping(row.as_ptr(), head_dim);
            }
        }
    }
}

/// Copies one head's columns of the rows `range` out of a packed tensor `[T, width]`.
fn gather(data: &[f32], width: usize, range: Range<usize>, column: usize, head_dim: usize, out: &mut [f32]) {
    for (row, out) in range.zip(out.chunks_exact_mut(head_dim)) {
        out.copy_from_slice(&data[row * width + column..][..head_dim]);
    }
}

impl Attention {
    /// All (sequence, key/value head) pairs, the tasks of both passes.
    fn tasks(&self) -> impl IndexedParallelIterator<Item = (Range<usize>, usize)> {
        let heads = self.spec.n_kv_heads;
        let count = self.sequences.len() * heads;
        (0..count).into_par_iter().with_max_len(1).map(move |i| (self.sequences[i / heads].clone(), i % heads))
    }
}

impl Drop for Attention {
    fn drop(&mut self) {
        recycle(std::mem::take(self.log_sums.get_mut()));
    }
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let [q, k, v] = inputs else { unreachable!("applied to three inputs") };
        let (d, total) = (self.spec.head_dim, q.dims[0]);
        let (q_width, kv_width) = (q.dims[1], k.dims[1]);
        let group = self.spec.n_heads / self.spec.n_kv_heads;
        let mut log_sums = filled(self.spec.n_heads * total, |sums| sums.fill(0.0));
        let out = filled(q.data.len(), |out| {
            let (out, sums) = (Output::new(out, q_width), Output::new(&mut log_sums, 1));
            self.tasks().for_each(|(rows, kv_head)| {
                let len = rows.len();
                let strip_len = STRIP.min(len);
                scratch::with(2 * len * d + strip_len * (2 * d + len + 1), |buffer| {
                    let (keys, buffer) = buffer.split_at_mut(len * d);
                    let (values, buffer) = buffer.split_at_mut(len * d);
                    let (queries, buffer) = buffer.split_at_mut(strip_len * d);
                    let (result, buffer) = buffer.split_at_mut(strip_len * d);
                    let (log_sum, scores) = buffer.split_at_mut(strip_len);
                    gather(k.data, kv_width, rows.clone(), kv_head * d, d, keys);
                    gather(v.data, kv_width, rows.clone(), kv_head * d, d, values);
                    for head in kv_head * group..(kv_head + 1) * group {
                        let slope = self.spec.alibi.as_ref().map_or(0.0, |slopes| slopes[head]);
                        for start in (0..len).step_by(STRIP) {
                            let strip = start..len.min(start + STRIP);
                            let (m, seen) = (strip.len(), self.spec.visible(&strip, len));
                            let n = seen.len();
                            let (queries, result, scores) =
                                (&mut queries[..m * d], &mut result[..m * d], &mut scores[..m * n]);
                            let first = rows.start + start;
                            gather(q.data, q_width, first..first + m, head * d, d, queries);
                            let [no_scores, no_weights] = self.spec.unseen(&strip, &seen);
                            let keys = Rhs::Transposed(&keys[seen.start * d..seen.end * d]);
                            multiply([m, n, d], Lhs::Rows(queries), keys, Store::Overwrite, no_scores, scores);
                            for (i, scores) in scores.chunks_exact_mut(n).enumerate() {
                                let row = self.spec.row(start + i, len);
                                let bias = slope * (row.start as f32 - (start + i) as f32);
                                log_sum[i] = softmax(scores, offset(&row, &seen), self.spec.scale, bias, slope);
                            }
                            let values = Rhs::Rows(&values[seen.start * d..seen.end * d]);
                            multiply([m, d, n], Lhs::Rows(scores), values, Store::Overwrite, no_weights, result);
                            // SAFETY: these rows of this head belong to this task.
                            unsafe {
                                out.store(first, head * d, d, result);
                                sums.store(head * total + first, 0, 1, &log_sum[..m]);
                            }
                        }
                    }
                });
            });
        });
        *self.log_sums.lock() = log_sums;
        Ok((out, q.dims.into()))
    }

    fn backward(&self, inputs: &[Tensor], result: &Tensor, grad: &Tensor) -> Result<Grads> {
        let [q, k, v] = inputs else { unreachable!("applied to three inputs") };
        let (d, (total, q_width), kv_width) = (self.spec.head_dim, q.dims2()?, k.dim(1)?);
        let group = self.spec.n_heads / self.spec.n_kv_heads;
        let log_sums = self.log_sums.lock();
        let (q_data, k_data, v_data) = (View::of(q)?, View::of(k)?, View::of(v)?);
        let (y_data, dy_data) = (View::of(result)?, View::of(grad)?);
        let (q_data, k_data, v_data, y_data, dy_data, log_sums) =
            (&*q_data, &*k_data, &*v_data, &*y_data, &*dy_data, &**log_sums);
        let (mut dk, mut dv) = (Vec::new(), Vec::new());
        let task = |rows: Range<usize>, kv_head: usize, dq: Output, dk: Output, dv: Output| {
            let len = rows.len();
            let strip_len = STRIP.min(len);
            scratch::with(4 * len * d + strip_len * (4 * d + 2 * len), |buffer| {
                let (keys, buffer) = buffer.split_at_mut(len * d);
                let (values, buffer) = buffer.split_at_mut(len * d);
                let (d_keys, buffer) = buffer.split_at_mut(len * d);
                let (d_values, buffer) = buffer.split_at_mut(len * d);
                let (strips, buffer) = buffer.split_at_mut(strip_len * 4 * d);
                let (weights, d_scores) = buffer.split_at_mut(strip_len * len);
                gather(k_data, kv_width, rows.clone(), kv_head * d, d, keys);
                gather(v_data, kv_width, rows.clone(), kv_head * d, d, values);
                d_keys.fill(0.0);
                d_values.fill(0.0);
                for head in kv_head * group..(kv_head + 1) * group {
                    let slope = self.spec.alibi.as_ref().map_or(0.0, |slopes| slopes[head]);
                    for start in (0..len).step_by(STRIP) {
                        let strip = start..len.min(start + STRIP);
                        let (m, seen) = (strip.len(), self.spec.visible(&strip, len));
                        let n = seen.len();
                        let (weights, d_scores) = (&mut weights[..m * n], &mut d_scores[..m * n]);
                        let mut parts = strips.chunks_exact_mut(strip_len * d);
                        let mut part = || &mut parts.next().expect("four strips")[..m * d];
                        let (queries, dy, y, d_queries) = (part(), part(), part(), part());
                        let first = rows.start + start;
                        for (data, out) in [(q_data, &mut *queries), (dy_data, &mut *dy), (y_data, &mut *y)] {
                            gather(data, q_width, first..first + m, head * d, d, out);
                        }
                        let span = seen.start * d..seen.end * d;
                        let (keys, values) = (&keys[span.clone()], &values[span.clone()]);
                        let [no_scores, no_weights] = self.spec.unseen(&strip, &seen);
                        let (keys_t, values_t) = (Rhs::Transposed(keys), Rhs::Transposed(values));
                        multiply([m, n, d], Lhs::Rows(queries), keys_t, Store::Overwrite, no_scores, weights);
                        multiply([m, n, d], Lhs::Rows(dy), values_t, Store::Overwrite, no_scores, d_scores);
                        for i in 0..m {
                            let row = self.spec.row(start + i, len);
                            let bias = slope * (row.start as f32 - (start + i) as f32);
                            let along = dot(&dy[i * d..][..d], &y[i * d..][..d]);
                            softmax_backward(
                                &mut weights[i * n..][..n],
                                &mut d_scores[i * n..][..n],
                                offset(&row, &seen),
                                [self.spec.scale, bias, slope, log_sums[head * total + first + i], along],
                            );
                        }
                        let d_values = &mut d_values[span.clone()];
                        let (weights_t, d_scores_t) = (Lhs::Transposed(weights), Lhs::Transposed(d_scores));
                        multiply([n, d, m], weights_t, Rhs::Rows(dy), Store::Add, no_weights, d_values);
                        let keys = Rhs::Rows(keys);
                        multiply([m, d, n], Lhs::Rows(d_scores), keys, Store::Overwrite, no_weights, d_queries);
                        let d_keys = &mut d_keys[span];
                        multiply([n, d, m], d_scores_t, Rhs::Rows(queries), Store::Add, no_weights, d_keys);
                        // SAFETY: these rows of this head belong to this task.
                        unsafe { dq.store(first, head * d, d, d_queries) };
                    }
                }
                // SAFETY: these rows of this key/value head belong to this task.
                unsafe {
                    dk.store(rows.start, kv_head * d, d, d_keys);
                    dv.store(rows.start, kv_head * d, d, d_values);
                }
            });
        };
        let dq = filled(total * q_width, |dq| {
            dk = filled(total * kv_width, |dk| {
                dv = filled(total * kv_width, |dv| {
                    let (dq, dk, dv) = (Output::new(dq, q_width), Output::new(dk, kv_width), Output::new(dv, kv_width));
                    self.tasks().for_each(|(rows, kv_head)| task(rows, kv_head, dq, dk, dv));
                });
            });
        });
        let tensor = |data: Vec<f32>, like: &Tensor| Tensor::from_vec(data, like.shape(), like.device()).map(Some);
        Ok([tensor(dq, q)?, tensor(dk, k)?, tensor(dv, v)?])
    }
}

/// A product on this thread, which has a task of its own.
fn multiply([m, n, k]: [usize; 3], a: Lhs, b: Rhs, store: Store, skip: Skip, c: &mut [f32]) {
    Product { m, n, k, a, b, store }.partly(skip, Crew::Alone, c);
}

/// `range` counted from the start of `seen`.
fn offset(range: &Range<usize>, seen: &Range<usize>) -> Range<usize> {
    range.start - seen.start..range.end - seen.start
}

simd! {
    /// Turns a row of raw scores into softmax weights: `scores[j] * scale + bias + slope * j` for the j-th of `row`,
    /// and 0 outside. Gives the logarithm of the sum.
    fn softmax(scores: &mut [f32], row: Range<usize>, scale: f32, bias: f32, slope: f32) -> f32 {
        scores[..row.start].fill(0.0);
        scores[row.end..].fill(0.0);
        let scores = &mut scores[row];
        if slope == 0.0 {
            for s in scores.iter_mut() {
                *s *= scale;
            }
        } else {
            for (j, s) in scores.iter_mut().enumerate() {
                *s = *s * scale + (bias + slope * j as f32);
            }
        }
        let max = math::max(scores);
        for s in scores.iter_mut() {
            *s = exp::<FMA>(*s - max);
        }
        let sum = math::sum(scores.len(), |i| scores[i]);
        let factor = 1.0 / sum;
        for s in scores.iter_mut() {
            *s *= factor;
        }
        max + sum.ln()
    }
}

simd! {
    /// Turns raw scores into weights p (as [`softmax`], by the kept logarithm of the sum) and the gradients of the
    /// weights into those of the raw scores: `scale · p (dp - along)`, `along` being `Σ p dp`.
    fn softmax_backward(scores: &mut [f32], grads: &mut [f32], row: Range<usize>, constants: [f32; 5]) {
        let [scale, bias, slope, log_sum, along] = constants;
        for x in [&mut *scores, &mut *grads] {
            x[..row.start].fill(0.0);
            x[row.end..].fill(0.0);
        }
        let (scores, grads) = (&mut scores[row.clone()], &mut grads[row]);
        for (j, (s, g)) in scores.iter_mut().zip(grads).enumerate() {
            *s = exp::<FMA>(mla::<FMA>(*s, scale, bias + slope * j as f32 - log_sum));
            *g = *s * (*g - along) * scale;
        }
    }
}

simd! {
    fn dot(a: &[f32], b: &[f32]) -> f32 {
        math::sum(a.len().min(b.len()), |i| a[i] * b[i])
    }
}
