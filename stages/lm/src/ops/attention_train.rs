//! Self-attention over packed sequences, for training.

use std::{ops::Range, sync::Arc};

use candle_core::{Result, Tensor};

use super::composed;

/// Shape and masking of an attention layer.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionSpec {
    /// Query heads.
    pub n_heads: usize,
    /// Key/value heads; divides `n_heads` (grouped-query attention).
    pub n_kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Factor of the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// Position `i` sees only `j <= i`.
    pub causal: bool,
    /// With `Some(w)`, position `i` sees only `j > i - w`.
    pub window: Option<usize>,
    /// ALiBi slope of each query head: `-slope · (i - j)` is added to the scores (Press et al. 2021, arXiv:2108.12409).
    pub alibi: Option<Arc<[f32]>>,
}

impl AttentionSpec {
    /// A causal layer with `scale = 1 / sqrt(head_dim)`, full context and no ALiBi.
    pub fn causal(n_heads: usize, n_kv_heads: usize, head_dim: usize) -> Self {
        let scale = 1.0 / (head_dim as f32).sqrt();
        Self { n_heads, n_kv_heads, head_dim, scale, causal: true, window: None, alibi: None }
    }

    /// What is added to the scaled score of query position `i` and key position `j`: 0, an ALiBi bias, or -∞.
    pub fn score_bias(&self, head: usize, i: usize, j: usize) -> f32 {
        if (self.causal && j > i) || self.window.is_some_and(|w| j + w <= i) {
            return f32::NEG_INFINITY;
        }
        self.alibi.as_ref().map_or(0.0, |slopes| -slopes[head] * (i as f32 - j as f32))
    }
}

/// The row ranges of the sequences given by their cumulative lengths (first 0, last the number of rows).
pub fn sequences(cu_seqlens: &[u32]) -> impl Iterator<Item = Range<usize>> {
    cu_seqlens.windows(2).map(|pair| pair[0] as usize..pair[1] as usize)
}

/// Attention of every sequence to itself: `q [T, n_heads * head_dim]`, `k` and `v` `[T, n_kv_heads * head_dim]`, giving
/// the shape of `q`.
pub fn attention_train(q: &Tensor, k: &Tensor, v: &Tensor, spec: &AttentionSpec, cu_seqlens: &[u32]) -> Result<Tensor> {
    composed::attention(q, k, v, spec, cu_seqlens)
}
