//! What every token takes from the others of its text.

use std::ops::Range;

use crate::ops::{
    Crew, Rope,
    gemm::{Lhs, Rhs, Store, gemm_serial},
    slices, softmax_row,
};

/// Queries whose weights are computed at a time, so that a long text needs no square of its length in memory.
const QUERIES: usize = 256;

/// How tokens of a text are weighed by their distance, beside what their vectors say.
pub(super) enum Distance {
    /// Not at all.
    Nothing,
    /// Queries and keys are turned by their positions; keys further away than the window do not count.
    Rotary { table: Rope, window: Option<usize> },
    /// A weight for each head and distance is added: `[heads, 2 longest - 1]` (MPNet).
    Bias(std::sync::Arc<Vec<f32>>),
}

/// The attention of a layer.
pub(super) struct Attention {
    pub heads: usize,
    pub head_dim: usize,
    pub distance: Distance,
}

impl Attention {
    /// For the rows of one text: queries, keys and values side by side in `qkv [tokens, 3 dim]`, into
    /// `out [tokens, dim]`; `spare` is overwritten.
    pub(crate) fn forward(&self, crew: Crew, qkv: &[f32], spare: &mut Vec<f32>, out: &mut [f32]) {
        let (dim, width) = (self.heads * self.head_dim, self.head_dim);
        let tokens = out.len() / dim;
        spare.resize(out.len(), 0.0);
        crew.parts(spare, tokens * width, |head, part| self.head(qkv, tokens, head, part));
        for (head, part) in spare.chunks_exact(tokens * width).enumerate() {
            for (row, values) in out.chunks_exact_mut(dim).zip(part.chunks_exact(width)) {
                row[head * width..][..width].copy_from_slice(values);
            }
        }
    }

    /// One head, into `out [tokens, head_dim]`.
    fn head(&self, qkv: &[f32], tokens: usize, head: usize, out: &mut [f32]) {
        let (dim, width) = (self.heads * self.head_dim, self.head_dim);
        let gather = |part: usize| {
            let rows = qkv.chunks_exact(3 * dim);
            rows.flat_map(|row| &row[part * dim + head * width..][..width]).copied().collect::<Vec<f32>>()
        };
        let (mut query, mut key, value) = (gather(0), gather(1), gather(2));
        if let Distance::Rotary { table, .. } = &self.distance {
            let positions: Vec<u32> = (0..tokens as u32).collect();
            slices::rope(Crew::Alone, &mut query, width, table, &positions);
            slices::rope(Crew::Alone, &mut key, width, table, &positions);
        }
        let scale = 1.0 / (width as f32).sqrt();
        for q in &mut query {
            *q *= scale;
        }
        let mut weights = Vec::new();
        for first in (0..tokens).step_by(QUERIES) {
            let rows = first..tokens.min(first + QUERIES);
            let keys = self.seen_by(&rows, tokens);
            let of = |range: &Range<usize>| range.start * width..range.end * width;
            weights.resize(rows.len() * keys.len(), 0.0);
            let (query, key, value) = (&query[of(&rows)], &key[of(&keys)], &value[of(&keys)]);
            let shape = (rows.len(), keys.len(), width);
            let (left, right) = (Lhs::Rows(query), Rhs::Transposed(key));
            gemm_serial(shape.0, shape.1, shape.2, left, &right, Store::Overwrite, &mut weights);
            for (row, weights) in rows.clone().zip(weights.chunks_exact_mut(keys.len())) {
                self.weigh(head, row, tokens, &keys, weights);
                softmax_row(weights);
            }
            let (left, right) = (Lhs::Rows(&weights[..]), Rhs::Rows(value));
            gemm_serial(shape.0, shape.2, shape.1, left, &right, Store::Overwrite, &mut out[of(&rows)]);
        }
    }

    /// The keys that any of some queries sees.
    fn seen_by(&self, rows: &Range<usize>, tokens: usize) -> Range<usize> {
        match &self.distance {
            Distance::Rotary { window: Some(window), .. } => {
                rows.start.saturating_sub(*window)..tokens.min(rows.end + window)
            }
            _ => 0..tokens,
        }
    }

    /// Takes the distances to one query into account.
    fn weigh(&self, head: usize, row: usize, tokens: usize, keys: &Range<usize>, weights: &mut [f32]) {
        match &self.distance {
            Distance::Rotary { window: Some(window), .. } => {
                let near = row.saturating_sub(*window)..tokens.min(row + window + 1);
                weights[..near.start - keys.start].fill(f32::NEG_INFINITY);
                weights[near.end - keys.start..].fill(f32::NEG_INFINITY);
            }
            Distance::Bias(biases) => {
                let distances = biases.len() / self.heads;
                let middle = head * distances + distances / 2;
                super::add(weights, &biases[middle - row..]);
            }
            _ => {}
        }
    }
}
