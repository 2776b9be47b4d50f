//! Fusing two rankings of the same corpus.

use std::collections::BTreeMap;

use crate::top::{Hit, top_k};

/// The constant of reciprocal rank fusion (Cormack, Clarke and Büttcher 2009).
const RRF_K: f32 = 60.0;

/// Reciprocal rank fusion: `Σ weight/(60 + rank)` over the rankings that hold the passage, ranks from 1. A ranking
/// without weight is left out.
pub fn reciprocal_rank(rankings: &[Vec<Hit>], weights: &[f32], k: usize) -> Vec<Hit> {
    let mut scores: BTreeMap<usize, f32> = BTreeMap::new();
    for (ranking, weight) in rankings.iter().zip(weights).filter(|(_, weight)| **weight > 0.0) {
        for (rank, hit) in ranking.iter().enumerate() {
            *scores.entry(hit.document).or_default() += weight / (RRF_K + (rank + 1) as f32);
        }
    }
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
        let fused = reciprocal_rank(&[ranking(&[1, 2, 3]), ranking(&[4, 2, 5])], &[1.0, 1.0], 3);
        assert_eq!(order(&fused), [2, 1, 4]);
        assert!((fused[0].score - 2.0 / 62.0).abs() < 1e-7);
        let weighted =
            |weights: &[f32]| order(&reciprocal_rank(&[ranking(&[1, 2, 3]), ranking(&[4, 2, 5])], weights, 3));
        assert_eq!((weighted(&[1.0, 0.0]), weighted(&[0.1, 1.0])), (vec![1, 2, 3], vec![2, 4, 5]));
    }
}
