//! Attention of new tokens to a key/value cache, for inference on the CPU: prefill and decode in one call.

use super::{
    AttentionSpec, Crew,
    attention_heads::{BLOCK, View, attend},
    pages::Pages,
    scratch,
};

/// Keys and values of one layer: `slots` rows (one per sequence in flight) of up to `capacity` positions.
#[derive(Debug)]
pub struct KvCache {
    n_kv_heads: usize,
    head_dim: usize,
    /// A multiple of [`BLOCK`].
    capacity: usize,
    /// `[slots, n_kv_heads, capacity / BLOCK, head_dim, BLOCK]`
    keys: Pages,
    /// `[slots, n_kv_heads, capacity, head_dim]`
    values: Pages,
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
    /// An empty cache. Memory that no position has used yet costs address space only.
    pub fn new(n_kv_heads: usize, head_dim: usize, slots: usize, capacity: usize) -> Self {
        let capacity = capacity.next_multiple_of(BLOCK);
        let size = slots * n_kv_heads * capacity * head_dim;
        Self { n_kv_heads, head_dim, capacity, keys: Pages::zeroed(size), values: Pages::zeroed(size) }
    }

    /// Where the keys and the values of a head begin.
    fn offset(&self, slot: usize, head: usize) -> usize {
        (slot * self.n_kv_heads + head) * self.capacity * self.head_dim
    }

    /// Stores the keys and values `[Σ len, n_kv_heads * head_dim]` of new tokens (keys already rotated), every slot at
    /// most once.
    ///
    /// # Panics
    /// If a span does not fit in the capacity.
    pub fn append(&mut self, crew: Crew, spans: &[QuerySpan], k: &[f32], v: &[f32]) {
        let (d, heads) = (self.head_dim, self.n_kv_heads);
        let mut first = 0;
        let mut by_slot: Vec<(usize, QuerySpan)> = Vec::with_capacity(spans.len());
        for &span in spans {
            assert!(span.start + span.len <= self.capacity, "a span ends beyond the cache's capacity");
            by_slot.push((first, span));
            first += span.len;
        }
        by_slot.sort_unstable_by_key(|(_, span)| span.slot);
        let crew = if k.len() < crew.grain() { Crew::Alone } else { crew };
        let size = heads * self.capacity * d;
        crew.pairs(&mut self.keys, size, &mut self.values, size, |slot, keys, values| {
            let Ok(found) = by_slot.binary_search_by_key(&slot, |(_, span)| span.slot) else { return };
            let (first, span) = by_slot[found];
            for (row, position) in (first..).zip(span.start..span.start + span.len) {
                for head in 0..heads {
                    let from = (row * heads + head) * d;
                    let to = head * size / heads;
                    let block = &mut keys[to + position / BLOCK * BLOCK * d..][..BLOCK * d];
                    for (lanes, key) in block.chunks_exact_mut(BLOCK).zip(&k[from..from + d]) {
                        lanes[position % BLOCK] = *key;
                    }
                    values[to + position * d..][..d].copy_from_slice(&v[from..from + d]);
                }
            }
        });
    }

    /// [`KvCache::copy_prefix`] from a slot of another cache of the same shape.
    pub fn copy_prefix_from(&mut self, other: &Self, from: usize, to: usize, len: usize) {
        let size = len.next_multiple_of(BLOCK) * self.head_dim;
        for head in 0..self.n_kv_heads {
            let (source, target) = (other.offset(from, head), self.offset(to, head));
            self.keys[target..target + size].copy_from_slice(&other.keys[source..source + size]);
            self.values[target..target + size].copy_from_slice(&other.values[source..source + size]);
        }
    }

    /// Copies the first `len` positions of slot `from` to slot `to` (a shared prompt prefix).
    pub fn copy_prefix(&mut self, from: usize, to: usize, len: usize) {
        // Whole blocks: positions from `len` on are overwritten before they are read.
        let size = len.next_multiple_of(BLOCK) * self.head_dim;
        for head in 0..self.n_kv_heads {
            let (source, target) = (self.offset(from, head), self.offset(to, head));
            self.keys.copy_within(source..source + size, target);
            self.values.copy_within(source..source + size, target);
        }
    }
}

/// Attention of the packed queries `q [Σ len, n_heads * head_dim]` to their slots' keys and values, which must already
/// hold the new tokens themselves ([`KvCache::append`]). Writes the shape of `q` to `out`.
///
/// An output row depends on its own query and its slot's contents alone, bit for bit: not on the other spans, on how
/// the prompt was cut into calls, nor on the thread count.
pub fn attention_cached(
    crew: Crew,
    q: &[f32],
    spans: &[QuerySpan],
    cache: &KvCache,
    spec: &AttentionSpec,
    out: &mut [f32],
) {
    let (d, group) = (spec.head_dim, spec.n_heads / spec.n_kv_heads);
    let rows: Vec<(usize, usize)> =
        spans.iter().flat_map(|s| (s.start..s.start + s.len).map(|position| (s.slot, position))).collect();
    let work: usize = rows.iter().map(|(_, position)| position + 1).sum::<usize>() * spec.n_heads * d;
    // A task is a query's heads that share keys; a few of them are worth waking a thread for.
    let task = |index: usize, q: &[f32], out: &mut [f32]| {
        let (slot, position) = rows[index / spec.n_kv_heads];
        let kv_head = index % spec.n_kv_heads;
        let end = position + 1;
        let start = spec.window.map_or(0, |w| end.saturating_sub(w));
        let offset = cache.offset(slot, kv_head);
        let keys = &cache.keys[offset..][..end.next_multiple_of(BLOCK) * d];
        let values = &cache.values[offset..][..end * d];
        let slopes = spec.alibi.as_ref().map_or(&[][..], |slopes| &slopes[kv_head * group..][..group]);
        let view = View { start, end, scale: spec.scale, slopes };
        scratch::with(group * end.next_multiple_of(BLOCK), |scores| attend(q, d, keys, values, view, scores, out));
    };
    let width = group * d;
    let crew = if work < 1 << 15 { Crew::Alone } else { crew };
    let each = (rows.len() * spec.n_kv_heads).div_ceil(8 * crew.threads());
    crew.parts(out, each * width, |part, out| {
        let queries = &q[part * each * width..][..out.len()];
        for (i, (q, out)) in queries.chunks_exact(width).zip(out.chunks_exact_mut(width)).enumerate() {
            task(part * each + i, q, out);
        }
    });
}

#[cfg(test)]
#[path = "attention_cached_tests.rs"]
mod tests;
