//! Near-duplicate search by ROUGE-L: is any kept text closer than a threshold?
//!
//! The naive way compares each new text with every kept one. Here an inverted index over tokens proposes the few that
//! can reach the threshold at all, and only those are compared. A pair of n and m tokens with F > t has an LCS, hence a
//! multiset overlap o, of more than t(n+m)/2. With the tokens of every text in one order, rarest first, the first that
//! both share is then among the first n - o + 1 of the one and the first m - o + 1 of the other (the prefix filter of
//! Chaudhuri et al. 2006 and the positional one of Xiao et al. 2008). Where in its text a token stands is told as the
//! longest partner for which that is not too late: then a list is walked where both texts' lengths allow it, and
//! nowhere else. What is too late for the shortest partner is no entry. Of what is left most has one token in common,
//! by chance: masks bound the overlap from above, one of 64 bits in the entry, then a wide one, before anything is
//! compared.

mod bounds;
mod mask;
mod order;
mod postings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use bounds::Bounds;
use order::{Order, UNKNOWN};
use postings::{Entry, Postings, Probe};

use crate::{lcs::lcs_len, words::unicode_words};

/// Kept texts after which all are ranked and posted anew; then whenever they are twice as many, so that each is posted
/// twice or three times.
const FEW: usize = 32;

/// Kept texts, searchable for near-duplicates. Whether a text is one depends only on the texts inserted before it.
#[derive(Debug)]
pub struct RougeIndex {
    /// F above which a text is a near-duplicate.
    bounds: Bounds,
    vocabulary: HashMap<String, u32>,
    /// The tokens of all texts, one after the other.
    tokens: Vec<u32>,
    /// Their wide masks, likewise.
    masks: Vec<u64>,
    texts: Vec<Kept>,
    order: Order,
    /// An occurrence's rank -> the texts that have it among their first.
    postings: Vec<Postings>,
    /// Kept texts for which it is ranked anew.
    next_ranking: usize,
    queries: u64,
}

/// A text of the index.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Where its tokens begin, and how many they are.
    begins: usize,
    length: usize,
    /// Where its mask begins.
    mask: usize,
    /// The query for which it was last looked at, so that it is compared once.
    seen_by: u64,
}

impl RougeIndex {
    /// An empty index, to find texts whose ROUGE-L F over words of any script, unstemmed, exceeds `threshold`.
    pub fn new(threshold: f64) -> Self {
        Self {
            bounds: Bounds { threshold },
            vocabulary: HashMap::new(),
            tokens: Vec::new(),
            masks: Vec::new(),
            texts: Vec::new(),
            order: Order::default(),
            postings: Vec::new(),
            next_ranking: FEW,
            queries: 0,
        }
    }

    /// The number of texts inserted.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether nothing was inserted yet.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Token ids of `text`; the number of new tokens is unbounded, as texts are.
    fn ids(&mut self, text: &str) -> Vec<u32> {
        self.numbers(unicode_words(text))
    }

    fn numbers(&mut self, tokens: Vec<String>) -> Vec<u32> {
        let mut ids = Vec::with_capacity(tokens.len());
        for token in tokens {
            let next = self.vocabulary.len() as u32;
            ids.push(*self.vocabulary.entry(token).or_insert(next));
        }
        ids
    }

    /// The first inserted text whose F with `text` exceeds the threshold, with that F.
    pub fn find(&mut self, text: &str) -> Option<(usize, f64)> {
        let query = self.ids(text);
        let occurrences = self.order.numbers(&query);
        self.first(&query, &occurrences)
    }

    /// The tokens of a text as numbers, of which nothing is held: what no inserted text has is [`UNKNOWN`].
    pub(crate) fn known(&self, tokens: &[String]) -> Vec<u32> {
        tokens.iter().map(|token| self.vocabulary.get(token).copied().unwrap_or(UNKNOWN)).collect()
    }

    /// Compares a text of [`RougeIndex::known`] tokens with all inserted ones that are `open` and may be near: `found`
    /// is given those whose F exceeds the threshold. Gives back how many were compared. What is not open will not be
    /// again, and is forgotten by and by.
    pub(crate) fn each(
        &mut self,
        query: &[u32],
        open: impl Fn(usize) -> bool,
        mut found: impl FnMut(usize, &[u32], f64),
    ) -> usize {
        let occurrences = self.order.known(query);
        self.visit(query, &occurrences, open, |index, other, f| {
            found(index, other, f);
            false
        })
    }

    /// Inserts `text`, unless an inserted one exceeds the threshold; then that one and the F are returned.
    pub fn insert_unless_found(&mut self, text: &str) -> Option<(usize, f64)> {
        let ids = self.ids(text);
        let occurrences = self.order.numbers(&ids);
        let found = self.first(&ids, &occurrences);
        if found.is_none() {
            self.push(&ids, &occurrences);
        }
        found
    }

    /// Inserts `text` without a search (the seeds).
    pub fn insert(&mut self, text: &str) {
        self.insert_tokens(unicode_words(text));
    }

    /// Inserts a text of these tokens, whatever they are.
    pub(crate) fn insert_tokens(&mut self, tokens: Vec<String>) {
        let ids = self.numbers(tokens);
        let occurrences = self.order.numbers(&ids);
        self.push(&ids, &occurrences);
    }

    fn push(&mut self, ids: &[u32], occurrences: &[u32]) {
        let kept = Kept { begins: self.tokens.len(), length: ids.len(), mask: self.masks.len(), seen_by: 0 };
        self.texts.push(kept);
        self.tokens.extend_from_slice(ids);
        mask::wide(occurrences, &mut self.masks);
        self.order.count(occurrences);
        if self.texts.len() < self.next_ranking {
            self.post(self.texts.len() - 1, occurrences);
            return;
        }
        self.next_ranking *= 2;
        self.order.rank();
        self.postings.clear();
        for text in 0..self.texts.len() {
            let Kept { begins, length, .. } = self.texts[text];
            let occurrences = self.order.numbers(&self.tokens[begins..][..length]);
            self.post(text, &occurrences);
        }
    }

    /// Makes the entries of a text.
    fn post(&mut self, text: usize, occurrences: &[u32]) {
        self.postings.resize(self.order.len(), Postings::Few(Vec::new()));
        let (n, mask) = (occurrences.len(), mask::narrow(occurrences));
        for (before, rank) in self.order.rarest_first(occurrences).into_iter().enumerate() {
            let Some(partner) = self.bounds.longest(n, before) else { break };
            self.postings[rank as usize].push(Entry::new(text, n, partner, mask));
        }
    }

    fn first(&mut self, query: &[u32], occurrences: &[u32]) -> Option<(usize, f64)> {
        let mut first = None;
        self.visit(
            query,
            occurrences,
            |_| true,
            |index, _, f| {
                first = Some((index, f));
                true
            },
        );
        first
    }

    /// Compares a text with all that may exceed the threshold, each once. `found` is given those that do, and says
    /// whether from then on only texts before it are wanted. Gives back how many were compared.
    fn visit(
        &mut self,
        query: &[u32],
        occurrences: &[u32],
        open: impl Fn(usize) -> bool,
        mut found: impl FnMut(usize, &[u32], f64) -> bool,
    ) -> usize {
        self.queries += 1;
        let (n, bounds, mask) = (query.len(), self.bounds, mask::narrow(occurrences));
        let mut wide = Vec::new();
        mask::wide(occurrences, &mut wide);

        let (mut wanted_before, mut compared) = (usize::MAX, 0);
        for (before, rank) in self.order.rarest_first(occurrences).into_iter().enumerate() {
            let Some(partner) = bounds.longest(n, before) else { break };
            let Some(postings) = self.postings.get_mut(rank as usize) else { continue };
            let probe = Probe::new(n, partner, mask, bounds);
            postings.near(&probe, |entries| {
                let mut closed = 0;
                for entry in entries.iter().filter(|entry| probe.admits(entry)) {
                    let index = entry.text as usize;
                    if wanted_before <= index {
                        break; // those behind it were inserted later
                    }
                    let kept = &mut self.texts[index];
                    if kept.seen_by == self.queries {
                        continue;
                    }
                    kept.seen_by = self.queries;
                    if !open(index) {
                        closed += 1;
                        continue;
                    }
                    let together = n + kept.length;
                    let theirs = &self.masks[kept.mask..][..mask::words(kept.length)];
                    if !mask::differ_at_most(&wide, theirs, bounds.apart(together)) {
                        continue;
                    }
                    let other = &self.tokens[kept.begins..][..kept.length];
                    compared += 1;
                    let common = lcs_len(query, other);
                    let f = 2.0 * common as f64 / together as f64;
                    if f > bounds.threshold && found(index, other, f) {
                        wanted_before = index;
                    }
                }
                if 2 * closed > entries.len() {
                    entries.retain(|entry| open(entry.text as usize));
                }
            });
        }
        compared
    }
}
