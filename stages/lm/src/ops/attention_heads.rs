//! Attention of one token to the keys and values of a slot: the query heads that share them, a few at a time.
//!
//! Each head's bits are the same however many are computed side by side: a score is one chain over the head's
//! dimensions, and a column of the result two, of the even and the odd positions.

#![expect(
    clippy::inline_always,
    reason = "inlined into the AVX versions of their caller, or they would lack its instructions"
)]

use super::math::{self, exp, mla, simd};

/// Positions of a block of keys, which lie transposed, `[head_dim, BLOCK]`: the scores of a block are then computed
/// side by side in vector lanes, without a horizontal sum.
pub(super) const BLOCK: usize = 16;

/// Most heads and most blocks whose scores are computed side by side: with AVX-512 half of its registers are then sums,
/// enough of them to keep two multipliers busy. Registers of other CPUs hold one head's.
const HEADS: usize = 4;
const BLOCKS: usize = 4;

/// Columns of values that are summed at once, with two heads side by side where there are registers: whole rows of most
/// models, which are then read one after the other.
const COLUMNS: usize = 64;

/// What one query sees: positions `start..end`, with `scale · q·k - slope · distance` as score.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub start: usize,
    pub end: usize,
    pub scale: f32,
    /// A head's slope of ALiBi, or nothing.
    pub slopes: &'a [f32],
}

simd! {
    /// `out [heads, d]` for `q [heads, d]`: heads that share `keys` (blocks up to the query's) and `values [end, d]`.
    /// `scores` is scratch for as many positions as there are keys, for every head.
    pub(super) fn attend(
        q: &[f32],
        d: usize,
        keys: &[f32],
        values: &[f32],
        view: View<'_>,
        scores: &mut [f32],
        out: &mut [f32],
    ) {
        let first = view.start / BLOCK * BLOCK;
        let (keys, values) = (&keys[first * d..], &values[view.start * d..]);
        let positions = keys.len() / d;
        let most = if WIDE { HEADS } else { 1 };
        for (part, (q, out)) in q.chunks(most * d).zip(out.chunks_mut(most * d)).enumerate() {
            let heads = q.len() / d;
            let scores = &mut scores[..heads * positions];
            match heads {
                1 => score_blocks::<FMA, 1>(q, keys, scores),
                2 => score_blocks::<FMA, 2>(q, keys, scores),
                3 => score_blocks::<FMA, 3>(q, keys, scores),
                _ => score_blocks::<FMA, HEADS>(q, keys, scores),
            }
            let mut scales = [0.0; HEADS];
            for (head, (scores, scale)) in scores.chunks_exact_mut(positions).zip(&mut scales).enumerate() {
                let slope = view.slopes.get(part * most + head).copied().unwrap_or(0.0);
                *scale = 1.0 / exponentials::<FMA>(view, slope, first, scores);
            }
            let weights = &scores[view.start - first..];
            let seen = view.end - view.start;
            for (pair, out) in out.chunks_mut(2 * d).enumerate() {
                let (weights, scales) = (&weights[2 * pair * positions..], &scales[2 * pair..]);
                if out.len() == 2 * d {
                    weigh::<FMA, WIDE, 2>(weights, positions, &values[..seen * d], scales, out);
                } else {
                    weigh::<FMA, WIDE, 1>(weights, positions, &values[..seen * d], scales, out);
                }
            }
        }
    }
}

/// `q·k` of every position, `[H, positions]`, several blocks at a time.
#[inline(always)]
fn score_blocks<const FMA: bool, const H: usize>(q: &[f32], keys: &[f32], scores: &mut [f32]) {
    let (d, positions) = (q.len() / H, scores.len() / H);
    let mut position = 0;
    while position < positions {
        let keys = &keys[position * d..];
        let scores = &mut scores[position..];
        position += BLOCK
            * match (positions - position) / BLOCK {
                1 => score::<FMA, H, 1>(q, keys, scores, positions),
                2 => score::<FMA, H, 2>(q, keys, scores, positions),
                3 => score::<FMA, H, 3>(q, keys, scores, positions),
                _ => score::<FMA, H, BLOCKS>(q, keys, scores, positions),
            };
    }
}

/// The first `N` blocks' scores, of which a head's are `positions` after the last head's. Returns `N`.
#[inline(always)]
fn score<const FMA: bool, const H: usize, const N: usize>(
    q: &[f32],
    keys: &[f32],
    scores: &mut [f32],
    positions: usize,
) -> usize {
    let d = q.len() / H;
    let mut sums = [[[0.0; BLOCK]; N]; H];
    let blocks: [&[[f32; BLOCK]]; N] = std::array::from_fn(|b| keys[b * BLOCK * d..(b + 1) * BLOCK * d].as_chunks().0);
    let heads: [&[f32]; H] = std::array::from_fn(|h| &q[h * d..(h + 1) * d]);
    for i in 0..d {
        for (sums, head) in sums.iter_mut().zip(heads) {
            let x = head[i];
            for (sums, block) in sums.iter_mut().zip(blocks) {
                for (sum, key) in sums.iter_mut().zip(&block[i]) {
                    *sum = mla::<FMA>(x, *key, *sum);
                }
            }
        }
    }
    for (head, sums) in sums.iter().enumerate() {
        scores[head * positions..][..N * BLOCK].copy_from_slice(sums.as_flattened());
    }
    N
}

/// A head's scores, scaled, with ALiBi and without what lies outside the view, become `exp(score - largest)`; their sum
/// is returned. `first` is the position of `scores[0]`.
#[inline(always)]
fn exponentials<const FMA: bool>(view: View, slope: f32, first: usize, scores: &mut [f32]) -> f32 {
    if slope == 0.0 {
        for score in scores.iter_mut() {
            *score *= view.scale;
        }
    } else {
        let newest = (view.end - 1 - first) as f32;
        for (i, score) in scores.iter_mut().enumerate() {
            *score = *score * view.scale - slope * (newest - i as f32);
        }
    }
    scores[..view.start - first].fill(f32::NEG_INFINITY);
    scores[view.end - first..].fill(f32::NEG_INFINITY);
    let max = math::max(scores);
    let mut lanes = [0.0; BLOCK];
    for block in scores.chunks_exact_mut(BLOCK) {
        for (lane, score) in lanes.iter_mut().zip(block) {
            *score = exp::<FMA>(*score - max);
            *lane += *score;
        }
    }
    lanes.iter().sum()
}

/// `out[h] = scales[h] · Σ weights[h, j] values[j]`, columns in tiles that fit the registers. A head's weights are
/// `stride` after the last head's.
#[inline(always)]
fn weigh<const FMA: bool, const WIDE: bool, const H: usize>(
    weights: &[f32],
    stride: usize,
    values: &[f32],
    scales: &[f32],
    out: &mut [f32],
) {
    let d = out.len() / H;
    let mut column = 0;
    while column < d {
        column += match d - column {
            COLUMNS.. if WIDE => weigh_columns::<FMA, H, COLUMNS>(weights, stride, values, column, scales, out),
            32.. => weigh_columns::<FMA, H, 32>(weights, stride, values, column, scales, out),
            8.. => weigh_columns::<FMA, H, 8>(weights, stride, values, column, scales, out),
            _ => weigh_columns::<FMA, H, 1>(weights, stride, values, column, scales, out),
        };
    }
}

/// Columns `column..column + W`, even and odd positions summed apart so that the additions need not wait for each
/// other. Returns `W`.
#[inline(always)]
fn weigh_columns<const FMA: bool, const H: usize, const W: usize>(
    weights: &[f32],
    stride: usize,
    values: &[f32],
    column: usize,
    scales: &[f32],
    out: &mut [f32],
) -> usize {
    let d = out.len() / H;
    let seen = values.len() / d;
    let heads: [&[f32]; H] = std::array::from_fn(|h| &weights[h * stride..][..seen]);
    let mut sums = [[[0.0; W]; 2]; H];
    for (pair, rows) in values.chunks(2 * d).enumerate() {
        for (parity, row) in rows.chunks_exact(d).enumerate() {
            let row = &row[column..column + W];
            for (sums, head) in sums.iter_mut().zip(heads) {
                let weight = head[2 * pair + parity];
                for (sum, value) in sums[parity].iter_mut().zip(row) {
                    *sum = mla::<FMA>(weight, *value, *sum);
                }
            }
        }
    }
    for (head, ([even, odd], scale)) in sums.iter().zip(scales).enumerate() {
        let out = &mut out[head * d + column..][..W];
        for (out, (even, odd)) in out.iter_mut().zip(even.iter().zip(odd)) {
            *out = (even + odd) * scale;
        }
    }
    W
}
