//! The best documents of a query.
//!
//! Scores are summed window by window of the corpus, small enough that they stay in a core's cache; the order in which
//! a document's score is summed is that of the query's terms.

use rayon::prelude::*;

use super::Bm25;
use crate::top::{Best, Hit};

/// Documents of a window: 128 KB of scores.
const WINDOW: usize = 1 << 15;
/// Scores that are looked over at a time.
const LOOK: usize = 32;

/// The scores of a window; all 0 between queries.
#[derive(Default)]
struct Scores(Vec<f32>);

impl Bm25 {
    /// The best `k` passages that share a term with the query, best first; may be fewer than `k`.
    pub fn search(&self, query: &str, k: usize) -> Vec<Hit> {
        self.search_with(&mut Scores::default(), query, k)
    }

    /// [`Self::search`] for many queries in parallel, in their order.
    pub fn search_all<S: AsRef<str> + Sync>(&self, queries: &[S], k: usize) -> Vec<Vec<Hit>> {
        queries
            .par_iter()
            .map_init(Scores::default, |scores, query| self.search_with(scores, query.as_ref(), k))
            .collect()
    }

    fn search_with(&self, scores: &mut Scores, query: &str, k: usize) -> Vec<Hit> {
        let words = self.words.words();
        let terms = self.analyzer.terms(query);
        let found = terms.iter().filter_map(|term| self.layout.find(words, term));
        let mut postings: Vec<&[[u32; 2]]> = found.map(|words| words.as_chunks::<2>().0).collect();
        scores.0.resize(WINDOW.min(self.layout.documents), 0.0);
        let mut best = Best::new(k);
        // The window of the first document that is not looked at yet.
        while let Some(next) =
            postings.iter().filter_map(|postings| postings.first()).map(|[document, _]| *document).min()
        {
            let start = next as usize / WINDOW * WINDOW;
            let window = &mut scores.0[..WINDOW.min(self.layout.documents.saturating_sub(start))];
            for postings in &mut postings {
                let mut seen = 0;
                for [document, score] in *postings {
                    let Some(sum) = window.get_mut((*document as usize).wrapping_sub(start)) else { break };
                    *sum += f32::from_bits(*score);
                    seen += 1;
                }
                // A document beyond the corpus, which no sound index has, ends its term.
                let left = &postings[seen..];
                *postings = if seen == 0 && left.first().is_some_and(|[d, _]| *d as usize >= self.layout.documents) {
                    &[]
                } else {
                    left
                };
            }
            collect(start, window, &mut best);
        }
        best.into_hits()
    }
}

/// Takes the best of a window, and clears it.
fn collect(start: usize, window: &mut [f32], best: &mut Best) {
    let mut at = start;
    for scores in window.chunks_mut(LOOK) {
        let least = best.least();
        // Without a way out, which would keep it from being done several at a time.
        if scores.iter().map(|&score| u32::from(score > least)).sum::<u32>() > 0 {
            for (i, &score) in scores.iter().enumerate() {
                if score > 0.0 {
                    best.offer(Hit { document: at + i, score });
                }
            }
        }
        at += scores.len();
    }
    window.fill(0.0);
}
