//! Near-duplicate search by ROUGE-L: is any kept text closer than a threshold?
//!
//! The naive way compares each new text with every kept one. Here an inverted index over tokens proposes the few that
//! can reach the threshold at all, and only those are compared. A pair of n and m tokens with F > t has an LCS, hence a
//! multiset overlap, of more than t(n+m)/2; so every text that can match shares a token with any n - o + 1 tokens of
//! the query, where o is the smallest overlap that suffices (the prefix filter of Chaudhuri et al. 2006). The rarest
//! tokens make the smallest proposals.

use std::collections::HashMap;

use crate::{lcs::lcs_len, rouge::rouge_tokens, words::content_words};

/// Kept texts, searchable for near-duplicates. Whether a text is one depends only on the texts inserted before it.
#[derive(Debug, Default)]
pub struct RougeIndex {
    vocabulary: HashMap<String, u32>,
    texts: Vec<Vec<u32>>,
    /// token -> the texts that contain it, in insertion order
    postings: Vec<Vec<u32>>,
    /// the query for which a text was last compared, so that it is compared once
    seen_by: Vec<u64>,
    queries: u64,
    content: bool,
}

impl RougeIndex {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty index of what texts are about: of the words that carry content, in any script, where ROUGE itself
    /// compares all words, and knows letters of ASCII only.
    pub(crate) fn of_content() -> Self {
        Self { content: true, ..Self::default() }
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
        let mut ids = Vec::new();
        let tokens = if self.content { content_words(text) } else { rouge_tokens(text, false) };
        for token in tokens {
            let next = self.vocabulary.len() as u32;
            let id = *self.vocabulary.entry(token).or_insert(next);
            if id == next {
                self.postings.push(Vec::new());
            }
            ids.push(id);
        }
        ids
    }

    /// The first inserted text whose unstemmed ROUGE-L F with `text` exceeds `threshold`, with that F.
    pub fn find_above(&mut self, text: &str, threshold: f64) -> Option<(usize, f64)> {
        self.find_above_where(text, threshold, |_, _, _| true)
    }

    /// The first of those that `accept` takes, given the words of both, as numbers, and that F.
    pub(crate) fn find_above_where(
        &mut self,
        text: &str,
        threshold: f64,
        accept: impl Fn(&[u32], &[u32], f64) -> bool,
    ) -> Option<(usize, f64)> {
        let query = self.ids(text);
        self.search(&query, threshold, accept)
    }

    /// Inserts `text`, unless an inserted one exceeds `threshold`; then that one and the F are returned.
    pub fn insert_unless_above(&mut self, text: &str, threshold: f64) -> Option<(usize, f64)> {
        let ids = self.ids(text);
        let found = self.search(&ids, threshold, |_, _, _| true);
        if found.is_none() {
            self.push(ids);
        }
        found
    }

    /// Inserts `text` without a search (the seeds).
    pub fn insert(&mut self, text: &str) {
        let ids = self.ids(text);
        self.push(ids);
    }

    fn push(&mut self, ids: Vec<u32>) {
        let index = self.texts.len() as u32;
        for &id in &ids {
            let posting = &mut self.postings[id as usize];
            if posting.last() != Some(&index) {
                posting.push(index);
            }
        }
        self.texts.push(ids);
        self.seen_by.push(0);
    }

    fn search(
        &mut self,
        query: &[u32],
        threshold: f64,
        accept: impl Fn(&[u32], &[u32], f64) -> bool,
    ) -> Option<(usize, f64)> {
        let n = query.len();
        if n == 0 {
            return None;
        }
        self.queries += 1;
        // F = 2·LCS/(n+m) > t. With LCS <= min(n, m): m > t·n/(2-t), and m < (2-t)·n/t.
        let shortest = threshold * n as f64 / (2.0 - threshold);
        let longest = if threshold > 0.0 { (2.0 - threshold) * n as f64 / threshold } else { f64::INFINITY };
        let enough = |m: f64| threshold * (n as f64 + m) / 2.0;
        let smallest_overlap = (enough(shortest).floor() as usize).max(1).min(n);

        let mut probes: Vec<u32> = query.to_vec();
        probes.sort_unstable_by_key(|&id| (self.postings[id as usize].len(), id));
        probes.truncate(n - smallest_overlap + 1);
        probes.dedup();

        let mut first: Option<(usize, f64)> = None;
        for id in probes {
            for &candidate in &self.postings[id as usize] {
                let index = candidate as usize;
                if first.is_some_and(|(found, _)| found <= index) {
                    break; // postings are in insertion order, and only an earlier text would change the answer
                }
                if self.seen_by[index] == self.queries {
                    continue;
                }
                self.seen_by[index] = self.queries;
                let text = &self.texts[index];
                let m = text.len() as f64;
                if m < shortest || m > longest {
                    continue;
                }
                let common = lcs_len(query, text);
                let f = 2.0 * common as f64 / (n as f64 + m);
                if f > threshold && accept(query, text, f) {
                    first = Some((index, f));
                }
            }
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RougeL;

    /// Questions out of a small grammar, so that near-duplicates of every degree occur.
    fn questions(n: usize) -> Vec<String> {
        let mut state = 7_u64;
        let mut pick = |from: &[&str]| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            from[(state >> 33) as usize % from.len()].to_owned()
        };
        let mut out = Vec::new();
        for _ in 0..n {
            let mut q = pick(&["What is the", "Name the", "Please report the main", "For the memo, give the"]);
            for _ in 0..2 {
                q = format!("{q} {}", pick(&["class", "target", "cause of", "test for", "half-life and the route of"]));
            }
            out.push(format!(
                "{q} {} {}?",
                pick(&["Aldin", "Corvex", "Marlon", "Sandby"]),
                pick(&["fever", "syndrome", ""])
            ));
        }
        out
    }

    #[test]
    fn finds_what_the_naive_loop_finds() {
        let rouge = RougeL::new(false);
        for threshold in [0.0, 0.3, 0.5, 0.7, 0.9, 1.0] {
            let mut index = RougeIndex::new();
            let mut kept: Vec<String> = Vec::new();
            for q in questions(300) {
                let naive = kept.iter().position(|k| rouge.f(&q, k) > threshold);
                let found = index.insert_unless_above(&q, threshold);
                assert_eq!(found.map(|(i, _)| i), naive, "threshold {threshold}: {q}");
                if let Some((i, f)) = found {
                    assert!((f - rouge.f(&q, &kept[i])).abs() < 1e-12);
                } else {
                    kept.push(q);
                }
            }
            assert_eq!(index.len(), kept.len());
        }
    }

    #[test]
    fn empty_texts_are_never_duplicates() {
        let mut index = RougeIndex::new();
        assert_eq!(index.insert_unless_above("…", 0.7), None);
        assert_eq!(index.insert_unless_above("…", 0.7), None);
        assert_eq!(index.len(), 2);
    }
}
