//! What an attention layer computes, whichever kernel computes it.

use std::{ops::Range, sync::Arc};

use super::gemm::Skip;

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

    /// The keys that some of the queries at positions `strip` can see, in a sequence of `len`.
    pub(super) fn visible(&self, strip: &Range<usize>, len: usize) -> Range<usize> {
        let first = self.window.map_or(0, |w| (strip.start + 1).saturating_sub(w));
        first..if self.causal { strip.end } else { len }
    }

    /// The keys that the query at `position` can see.
    pub(super) fn row(&self, position: usize, len: usize) -> Range<usize> {
        self.visible(&(position..position + 1), len)
    }

    /// What the queries at positions `strip` do not see of the keys `seen`, as elements of a matrix of scores.
    pub(super) fn unseen(&self, strip: &Range<usize>, seen: &Range<usize>) -> [Skip; 2] {
        if !self.causal {
            return [Skip::Nothing; 2];
        }
        let shift = strip.start - seen.start;
        [Skip::Result { shift }, Skip::Left { shift }]
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
