//! Attention of new tokens to a key/value cache, for inference on the CPU: prefill and decode in one call.

use super::AttentionSpec;

/// Keys and values of one layer: `slots` rows (one per sequence in flight) of up to `capacity` positions.
#[derive(Clone, Debug)]
pub struct KvCache {
    n_kv_heads: usize,
    head_dim: usize,
    capacity: usize,
    /// `[slots, n_kv_heads, capacity, head_dim]`
    keys: Vec<f32>,
    /// `[slots, n_kv_heads, capacity, head_dim]`
    values: Vec<f32>,
}

/// New tokens of one slot: rows of the packed batch, in order, at positions `start..start + len`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuerySpan {
    /// The cache slot.
    pub slot: usize,
    /// Position of the first new token: the number of tokens already in the slot.
    pub start: usize,
    /// Number of new tokens.
    pub len: usize,
}

impl KvCache {
    /// An empty cache.
    pub fn new(n_kv_heads: usize, head_dim: usize, slots: usize, capacity: usize) -> Self {
        let size = slots * n_kv_heads * capacity * head_dim;
        Self { n_kv_heads, head_dim, capacity, keys: vec![0.0; size], values: vec![0.0; size] }
    }

    fn offset(&self, slot: usize, head: usize, position: usize) -> usize {
        ((slot * self.n_kv_heads + head) * self.capacity + position) * self.head_dim
    }

    /// Stores the keys and values `[Σ len, n_kv_heads * head_dim]` of new tokens (keys already rotated).
    ///
    /// # Panics
    /// If a span does not fit in the capacity.
    pub fn append(&mut self, spans: &[QuerySpan], k: &[f32], v: &[f32]) {
        let d = self.head_dim;
        let mut row = 0;
        for span in spans {
            assert!(span.start + span.len <= self.capacity, "a span ends beyond the cache's capacity");
            for i in 0..span.len {
                for head in 0..self.n_kv_heads {
                    let (to, from) = (self.offset(span.slot, head, span.start + i), (row * self.n_kv_heads + head) * d);
                    self.keys[to..to + d].copy_from_slice(&k[from..from + d]);
                    self.values[to..to + d].copy_from_slice(&v[from..from + d]);
                }
                row += 1;
            }
        }
    }

    /// Copies the first `len` positions of slot `from` to slot `to` (a shared prompt prefix).
    pub fn copy_prefix(&mut self, from: usize, to: usize, len: usize) {
        for head in 0..self.n_kv_heads {
            let (source, target) = (self.offset(from, head, 0), self.offset(to, head, 0));
            self.keys.copy_within(source..source + len * self.head_dim, target);
            self.values.copy_within(source..source + len * self.head_dim, target);
        }
    }
}

/// Attention of the packed queries `q [Σ len, n_heads * head_dim]` to their slots' keys and values, which must already
/// hold the new tokens themselves ([`KvCache::append`]). Writes the shape of `q` to `out`.
///
/// An output row depends on its own query and its slot's contents alone, bit for bit: not on the other spans, on how the
/// prompt was cut into calls, nor on the thread count.
pub fn attention_cached(q: &[f32], spans: &[QuerySpan], cache: &KvCache, spec: &AttentionSpec, out: &mut [f32]) {
    let (d, width) = (spec.head_dim, spec.n_heads * spec.head_dim);
    let rows = spans.iter().flat_map(|s| (0..s.len).map(move |i| (s.slot, s.start + i)));
    for ((slot, position), (q, out)) in rows.zip(q.chunks_exact(width).zip(out.chunks_exact_mut(width))) {
        for (head, (q, out)) in q.chunks_exact(d).zip(out.chunks_exact_mut(d)).enumerate() {
            let kv_head = head * spec.n_kv_heads / spec.n_heads;
            let row = |data: &[f32], j| {
                let offset = cache.offset(slot, kv_head, j);
                data[offset..offset + d].to_vec()
            };
            let scores: Vec<f32> = (0..=position)
                .map(|j| {
                    let dot: f32 = row(&cache.keys, j).iter().zip(q).map(|(a, b)| a * b).sum();
                    dot * spec.scale + spec.score_bias(head, position, j)
                })
                .collect();
            let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = scores.iter().map(|s| (s - max).exp()).sum();
            out.fill(0.0);
            for (j, score) in scores.iter().enumerate() {
                let weight = (score - max).exp() / sum;
                for (o, v) in out.iter_mut().zip(row(&cache.values, j)) {
                    *o += weight * v;
                }
            }
        }
    }
}
