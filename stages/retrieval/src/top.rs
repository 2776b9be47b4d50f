//! The best k of many scores.

/// One retrieved passage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Position of the passage in the corpus.
    pub document: usize,
    /// Its score; larger is better, the scale depends on the method.
    pub score: f32,
}

/// Best first; equal scores in corpus order.
pub(crate) fn by_rank(a: &Hit, b: &Hit) -> std::cmp::Ordering {
    b.score.total_cmp(&a.score).then(a.document.cmp(&b.document))
}

/// The best `k`, best first.
pub(crate) fn top_k(mut hits: Vec<Hit>, k: usize) -> Vec<Hit> {
    if hits.len() > k && k > 0 {
        hits.select_nth_unstable_by(k - 1, by_rank);
    }
    hits.truncate(k);
    hits.sort_unstable_by(by_rank);
    hits
}
