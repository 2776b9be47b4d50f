//! The best k of many scores.

use std::{cmp::Ordering, collections::BinaryHeap};

/// One retrieved passage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Position of the passage in the corpus.
    pub document: usize,
    /// Its score; larger is better, the scale depends on the method.
    pub score: f32,
}

/// Best first; equal scores in corpus order.
pub(crate) fn by_rank(a: &Hit, b: &Hit) -> Ordering {
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

/// The best `k` of hits that come one after the other, in whatever order.
pub(crate) struct Best {
    k: usize,
    /// The worst on top.
    hits: BinaryHeap<Ranked>,
}

struct Ranked(Hit);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        by_rank(&self.0, &other.0)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

impl Best {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, hits: BinaryHeap::new() }
    }

    /// What a later document's score must exceed; -∞ while there is room. Scores that are no numbers are never among
    /// the best where something else is.
    pub(crate) fn least(&self) -> f32 {
        match self.hits.peek() {
            _ if self.k == 0 => f32::INFINITY,
            Some(worst) if self.hits.len() == self.k => worst.0.score,
            _ => f32::NEG_INFINITY,
        }
    }

    pub(crate) fn offer(&mut self, hit: Hit) {
        if self.hits.len() < self.k {
            self.hits.push(Ranked(hit));
        } else if let Some(mut worst) = self.hits.peek_mut()
            && by_rank(&hit, &worst.0) == Ordering::Less
        {
            *worst = Ranked(hit);
        }
    }

    pub(crate) fn into_hits(self) -> Vec<Hit> {
        self.hits.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect()
    }
}
