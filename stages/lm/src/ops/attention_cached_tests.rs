use std::sync::Arc;

use super::*;

fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(next).collect()
}

/// The definition, in f64.
fn expected(q: &[f32], k: &[f32], v: &[f32], position: usize, spec: &AttentionSpec) -> Vec<f64> {
    let d = spec.head_dim;
    let mut out = Vec::new();
    for head in 0..spec.n_heads {
        let kv = head * spec.n_kv_heads / spec.n_heads;
        let row = |data: &[f32], j: usize| -> Vec<f64> {
            data[(j * spec.n_kv_heads + kv) * d..][..d].iter().map(|&x| f64::from(x)).collect()
        };
        let scores: Vec<f64> = (0..=position)
            .map(|j| {
                let dot: f64 = row(k, j).iter().zip(&q[head * d..]).map(|(a, b)| a * f64::from(*b)).sum();
                dot * f64::from(spec.scale) + f64::from(spec.score_bias(head, position, j))
            })
            .collect();
        let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        for i in 0..d {
            out.push((0..=position).map(|j| (scores[j] - max).exp() / total * row(v, j)[i]).sum());
        }
    }
    out
}

fn specs() -> Vec<AttentionSpec> {
    let slopes: Arc<[f32]> = vec![0.5, 0.25, 0.125, 0.0625].into();
    vec![
        AttentionSpec::causal(4, 4, 32),
        AttentionSpec::causal(4, 2, 64),
        AttentionSpec::causal(4, 1, 20),
        AttentionSpec::causal(7, 1, 100),
        AttentionSpec { window: Some(7), ..AttentionSpec::causal(4, 2, 8) },
        AttentionSpec { window: Some(16), ..AttentionSpec::causal(4, 2, 40) },
        AttentionSpec { alibi: Some(slopes), ..AttentionSpec::causal(4, 4, 12) },
    ]
}

/// Two slots of 150 positions, filled in pieces of the given lengths; the outputs of slot 1 in order.
fn run(spec: &AttentionSpec, pieces: &[usize]) -> Vec<f32> {
    let (width, kv_width) = (spec.n_heads * spec.head_dim, spec.n_kv_heads * spec.head_dim);
    let mut cache = KvCache::new(spec.n_kv_heads, spec.head_dim, 2, 150);
    // Whatever an earlier row left there must not be seen.
    cache.keys.fill(f32::NAN);
    cache.values.fill(f32::NAN);
    let (q, k, v) = (noise(150 * width, 1), noise(150 * kv_width, 2), noise(150 * kv_width, 3));
    let mut all = Vec::new();
    let mut start = 0;
    for &len in pieces {
        let spans = [QuerySpan { slot: 1, start, len }];
        let part = start * kv_width..(start + len) * kv_width;
        cache.append(Crew::Pool, &spans, &k[part.clone()], &v[part]);
        let mut out = vec![f32::NAN; len * width];
        attention_cached(Crew::Pool, &q[start * width..(start + len) * width], &spans, &cache, spec, &mut out);
        all.extend(out);
        start += len;
    }
    for (position, row) in all.chunks_exact(width).enumerate() {
        let exact = expected(&q[position * width..][..width], &k, &v, position, spec);
        for (found, exact) in row.iter().zip(exact) {
            assert!((f64::from(*found) - exact).abs() < 2e-6, "{spec:?} at {position}: {found}, not {exact}");
        }
    }
    all
}

#[test]
fn equals_its_definition_whatever_the_pieces() {
    for spec in specs() {
        let whole = run(&spec, &[150]);
        for pieces in [&[1; 150][..], &[17, 33, 1, 1, 98], &[149, 1]] {
            let same = run(&spec, pieces).iter().zip(&whole).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same, "{spec:?} in pieces {pieces:?}");
        }
    }
}

#[test]
fn heads_side_by_side_have_the_bits_of_each_alone() {
    let (heads, d, len) = (7, 72, 70);
    let slopes: Vec<f32> = (0..heads).map(|head| 0.1 / (head + 1) as f32).collect();
    let (q, k, v) = (noise(len * heads * d, 1), noise(len * d, 2), noise(len * d, 3));
    let spans = [QuerySpan { slot: 0, start: 0, len }];
    let mut cache = KvCache::new(1, d, 1, len);
    cache.append(Crew::Alone, &spans, &k, &v);
    let attention = |q: &[f32], slopes: &[f32]| {
        let spec = AttentionSpec { alibi: Some(slopes.into()), ..AttentionSpec::causal(slopes.len(), 1, d) };
        let mut out = vec![0.0; q.len()];
        attention_cached(Crew::Alone, q, &spans, &cache, &spec, &mut out);
        out
    };
    let together = attention(&q, &slopes);
    for head in 0..heads {
        let of = |data: &[f32]| -> Vec<f32> {
            data.chunks_exact(heads * d).flat_map(|row| row[head * d..][..d].to_vec()).collect()
        };
        assert_eq!(of(&together), attention(&of(&q), &slopes[head..=head]), "head {head}");
    }
}

#[test]
fn a_copied_prefix_is_the_prefix() {
    let spec = AttentionSpec::causal(4, 2, 16);
    let (k, v) = (noise(40 * 32, 2), noise(40 * 32, 3));
    let mut cache = KvCache::new(2, 16, 3, 64);
    cache.append(Crew::Pool, &[QuerySpan { slot: 2, start: 0, len: 40 }], &k, &v);
    cache.copy_prefix(2, 0, 23);
    cache.append(Crew::Pool, &[QuerySpan { slot: 0, start: 23, len: 1 }], &k[23 * 32..24 * 32], &v[23 * 32..24 * 32]);
    let q = noise(64, 1);
    let out = |slot, cache: &KvCache| {
        let mut out = vec![0.0; 64];
        attention_cached(Crew::Pool, &q, &[QuerySpan { slot, start: 23, len: 1 }], cache, &spec, &mut out);
        out
    };
    assert_eq!(out(0, &cache), out(2, &cache));
}
