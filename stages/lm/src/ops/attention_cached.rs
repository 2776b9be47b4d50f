//! Attention of new tokens to a key/value cache, for inference on the CPU: prefill and decode in one call.

#![expect(
    clippy::inline_always,
    reason = "inlined into the AVX2 version of their caller, or they would lack its instructions"
)]

use super::{
    AttentionSpec, Crew,
    math::{self, exp, mla, simd},
    pages::Pages,
    scratch,
};

/// Positions of a block of keys, which lie transposed, `[head_dim, BLOCK]`: the scores of a block are then computed
/// side by side in vector lanes, without a horizontal sum.
const BLOCK: usize = 16;

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

/// What one query sees: positions `start..end`, with `scale · q·k - slope · distance` as score.
#[derive(Clone, Copy)]
struct View {
    start: usize,
    end: usize,
    scale: f32,
    slope: f32,
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
        scratch::with(end.next_multiple_of(BLOCK), |scores| {
            for (i, (q, out)) in q.chunks_exact(d).zip(out.chunks_exact_mut(d)).enumerate() {
                let slope = spec.alibi.as_ref().map_or(0.0, |slopes| slopes[kv_head * group + i]);
                attend(q, keys, values, View { start, end, scale: spec.scale, slope }, scores, out);
            }
        });
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

simd! {
    /// One query. `scores` is scratch for all blocks up to the query's.
    fn attend(q: &[f32], keys: &[f32], values: &[f32], view: View, scores: &mut [f32], out: &mut [f32]) {
        let first = view.start / BLOCK * BLOCK;
        let scores = &mut scores[first..];
        let keys = &keys[first * q.len()..];
        score_blocks::<FMA>(q, keys, scores);
        finish_scores(view, first, scores);
        let max = math::max(scores);
        let mut lanes = [0.0; BLOCK];
        for block in scores.chunks_exact_mut(BLOCK) {
            for (lane, score) in lanes.iter_mut().zip(block) {
                *score = exp::<FMA>(*score - max);
                *lane += *score;
            }
        }
        let scale = 1.0 / lanes.iter().sum::<f32>();
        let weights = &scores[view.start - first..view.end - first];
        weigh::<FMA>(weights, &values[view.start * q.len()..], scale, out);
    }
}

/// `q·k` of every position, several blocks at a time; each is one chain over the head's dimensions.
#[inline(always)]
fn score_blocks<const FMA: bool>(q: &[f32], keys: &[f32], scores: &mut [f32]) {
    const TOGETHER: usize = 4;
    let size = BLOCK * q.len();
    let whole = scores.len() / (TOGETHER * BLOCK) * TOGETHER * BLOCK;
    let (many, rest) = scores.split_at_mut(whole);
    for (keys, scores) in keys.chunks_exact(TOGETHER * size).zip(many.chunks_exact_mut(TOGETHER * BLOCK)) {
        score::<FMA, TOGETHER>(q, keys, scores);
    }
    let keys = &keys[whole * q.len()..];
    for (keys, scores) in keys.chunks_exact(size).zip(rest.chunks_exact_mut(BLOCK)) {
        score::<FMA, 1>(q, keys, scores);
    }
}

#[inline(always)]
fn score<const FMA: bool, const N: usize>(q: &[f32], keys: &[f32], scores: &mut [f32]) {
    let size = BLOCK * q.len();
    let mut sums = [[0.0; BLOCK]; N];
    let blocks: [&[f32]; N] = std::array::from_fn(|b| &keys[b * size..(b + 1) * size]);
    for (i, &x) in q.iter().enumerate() {
        for (sums, block) in sums.iter_mut().zip(blocks) {
            let lanes = &block[i * BLOCK..(i + 1) * BLOCK];
            for (sum, key) in sums.iter_mut().zip(lanes) {
                *sum = mla::<FMA>(x, *key, *sum);
            }
        }
    }
    for (scores, sums) in scores.chunks_exact_mut(BLOCK).zip(sums) {
        scores.copy_from_slice(&sums);
    }
}

/// Scales, adds ALiBi, and hides what lies outside the view. `first` is the position of `scores[0]`.
#[inline(always)]
fn finish_scores(view: View, first: usize, scores: &mut [f32]) {
    if view.slope == 0.0 {
        for score in scores.iter_mut() {
            *score *= view.scale;
        }
    } else {
        let newest = (view.end - 1 - first) as f32;
        for (i, score) in scores.iter_mut().enumerate() {
            *score = *score * view.scale - view.slope * (newest - i as f32);
        }
    }
    scores[..view.start - first].fill(f32::NEG_INFINITY);
    scores[view.end - first..].fill(f32::NEG_INFINITY);
}

/// `out = scale · Σ weights[j] values[j]`, columns in tiles that fit the registers.
#[inline(always)]
fn weigh<const FMA: bool>(weights: &[f32], values: &[f32], scale: f32, out: &mut [f32]) {
    let d = out.len();
    let mut column = 0;
    while d - column >= 32 {
        weigh_columns::<FMA, 32>(weights, values, d, column, scale, &mut out[column..column + 32]);
        column += 32;
    }
    while d - column >= 8 {
        weigh_columns::<FMA, 8>(weights, values, d, column, scale, &mut out[column..column + 8]);
        column += 8;
    }
    while column < d {
        weigh_columns::<FMA, 1>(weights, values, d, column, scale, &mut out[column..=column]);
        column += 1;
    }
}

/// Columns `column..column + W`, even and odd positions summed apart so that the additions need not wait for each
/// other.
#[inline(always)]
fn weigh_columns<const FMA: bool, const W: usize>(
    weights: &[f32],
    values: &[f32],
    d: usize,
    column: usize,
    scale: f32,
    out: &mut [f32],
) {
    let (mut even, mut odd) = ([0.0; W], [0.0; W]);
    let mut pairs = weights.chunks_exact(2);
    let mut rows = values.chunks_exact(2 * d);
    for (weights, rows) in pairs.by_ref().zip(rows.by_ref()) {
        add_row::<FMA, W>(&mut even, weights[0], &rows[column..]);
        add_row::<FMA, W>(&mut odd, weights[1], &rows[d + column..]);
    }
    if let [weight] = pairs.remainder() {
        add_row::<FMA, W>(&mut even, *weight, &values[(weights.len() - 1) * d + column..]);
    }
    for (out, (a, b)) in out.iter_mut().zip(even.iter().zip(odd)) {
        *out = (a + b) * scale;
    }
}

#[inline(always)]
fn add_row<const FMA: bool, const W: usize>(sums: &mut [f32; W], weight: f32, row: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(&row[..W]) {
        *sum = mla::<FMA>(weight, *value, *sum);
    }
}

#[cfg(test)]
#[path = "attention_cached_tests.rs"]
mod tests;
