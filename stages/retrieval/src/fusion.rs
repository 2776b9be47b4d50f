//! Fusing two rankings of the same corpus.

use std::collections::BTreeMap;

use crate::top::{Hit, top_k};

/// The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
pub const RRF_K: f32 = 60.0;

/// Reciprocal rank fusion: `Σ 1/(60 + rank)` over the rankings that hold the passage, ranks from 1.
pub fn reciprocal_rank(rankings: &[Vec<Hit>], k: usize) -> Vec<Hit> {
    let mut scores: BTreeMap<usize, f32> = BTreeMap::new();
    for ranking in rankings {
        for (rank, hit) in ranking.iter().enumerate() {
            *scores.entry(hit.document).or_default() += 1.0 / (RRF_K + (rank + 1) as f32);
        }
    }
    best(scores, k)
}

/// A convex combination, `(1 − weight)·first + weight·second`, of min-max scaled scores; a passage missing from one counts 0 there.
pub fn convex(first: &[Hit], second: &[Hit], weight: f32, k: usize) -> Vec<Hit> {
    let mut scores: BTreeMap<usize, f32> = BTreeMap::new();
    for (ranking, share) in [(first, 1.0 - weight), (second, weight)] {
        let low = ranking.iter().map(|h| h.score).fold(f32::INFINITY, f32::min);
        let high = ranking.iter().map(|h| h.score).fold(f32::NEG_INFINITY, f32::max);
        for hit in ranking {
            let scaled = if high > low { (hit.score - low) / (high - low) } else { 1.0 };
            *scores.entry(hit.document).or_default() += share * scaled;
        }
    }
    best(scores, k)
}

fn best(scores: BTreeMap<usize, f32>, k: usize) -> Vec<Hit> {
    top_k(scores.into_iter().map(|(document, score)| Hit { document, score }).collect(), k)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(documents: &[usize]) -> Vec<Hit> {
        documents.iter().enumerate().map(|(i, &document)| Hit { document, score: 10.0 - i as f32 }).collect()
    }

    fn order(hits: &[Hit]) -> Vec<usize> {
        hits.iter().map(|h| h.document).collect()
    }

    #[test]
    fn a_passage_in_both_rankings_wins() {
        let fused = reciprocal_rank(&[ranking(&[1, 2, 3]), ranking(&[4, 2, 5])], 3);
        assert_eq!(order(&fused), [2, 1, 4]);
        assert!((fused[0].score - 2.0 / 62.0).abs() < 1e-7);
    }

    #[test]
    fn the_weight_shifts_from_the_first_to_the_second() {
        let (a, b) = (ranking(&[1, 2]), ranking(&[2, 3]));
        assert_eq!(order(&convex(&a, &b, 0.0, 3)), [1, 2, 3]);
        assert_eq!(order(&convex(&a, &b, 1.0, 3)), [2, 1, 3]);
    }
}
