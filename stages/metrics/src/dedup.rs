//! Near-duplicate search by ROUGE-L: is any kept text closer than a threshold?
//!
//! The naive way compares each new text with every kept one. Here an inverted index over tokens proposes the few that
//! can reach the threshold at all, and only those are compared. A pair of n and m tokens with F > t has an LCS, hence a
//! multiset overlap o, of more than t(n+m)/2. With the tokens of every text in one order, rarest first, the first that
//! both share is then among the first n - o + 1 of the one and the first m - o + 1 of the other (the prefix filter
//! of Chaudhuri et al. 2006 and the positional one of Xiao et al. 2008): an entry of the index says where in
//! its text the token stands, and is passed over where that is too late, without a look at the text. What is too late
//! for the shortest partner is no entry. Of what is left most has one token in common, by chance: a mask of 64 bits for
//! each text bounds the overlap from above (the bitmap filter of Sandes et al. 2017), before anything is compared.

use std::collections::HashMap;

use crate::{lcs::lcs_len, rouge::rouge_tokens};

/// Kept texts, searchable for near-duplicates. Whether a text is one depends only on the texts inserted before it.
#[derive(Debug)]
pub struct RougeIndex {
    /// F above which a text is a near-duplicate.
    threshold: f64,
    vocabulary: HashMap<String, u32>,
    /// The tokens of all texts, one after the other.
    tokens: Vec<u32>,
    texts: Vec<Kept>,
    /// The n-th occurrence of a token in a text, as a number: what is new, hence rare at first, has the largest.
    occurrences: HashMap<(u32, u32), u32>,
    /// occurrence -> the texts that have it among their first, in insertion order
    postings: Vec<Vec<Entry>>,
    queries: u64,
}

/// A text of the index.
#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Where its tokens begin.
    begins: usize,
    /// The query for which it was last looked at, so that it is compared once.
    seen_by: u64,
}

/// An occurrence in a text.
#[derive(Debug, Clone, Copy)]
struct Entry {
    text: u32,
    /// Tokens of the text.
    length: u32,
    /// Occurrences in the text that come before this one, rarest first.
    before: u32,
    /// The text's, so that most of them are passed over without a look elsewhere.
    mask: u64,
}

/// A word that no inserted text has; numbers below it stand for occurrences that none has.
const UNKNOWN: u32 = u32::MAX;

/// The numbers of the occurrences in a text, the largest first. The n-th occurrence of a word is (word, n).
fn occurrences(ids: &[u32], mut number: impl FnMut((u32, u32)) -> u32) -> Vec<u32> {
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let same = sorted.chunk_by(|a, b| a == b);
    let all = same.flat_map(|same| (0..same.len() as u32).map(|nth| (same[0], nth)));
    let mut ordered: Vec<u32> = all.map(&mut number).collect();
    ordered.sort_unstable_by(|a, b| b.cmp(a));
    ordered
}

/// The overlap that F > `threshold` takes of two texts of `together` tokens; a little less than exact, so that rounding
/// misses none.
fn enough(threshold: f64, together: f64) -> usize {
    (threshold * together / 2.0 - 1e-9) as usize + 1 // rounds towards 0, and what is below that is 0
}

/// The fewest tokens of a partner of a text of `n`: F = 2·LCS/(n+m) > t and LCS <= min(n, m) give m > t·n/(2-t).
fn shortest_partner(threshold: f64, n: usize) -> f64 {
    threshold * n as f64 / (2.0 - threshold)
}

/// A bit for each occurrence: each bit in which two masks differ is at least one occurrence that one text has alone.
fn mask(occurrences: &[u32]) -> u64 {
    // The number's high bits, spread by a multiplication: neighbours, which were new together, get different bits.
    occurrences.iter().fold(0, |mask, &o| mask | (1 << (o.wrapping_mul(0x9e37_79b9) >> 26)))
}

impl RougeIndex {
    /// An empty index, to find texts whose unstemmed ROUGE-L F exceeds `threshold`.
    pub fn new(threshold: f64) -> Self {
        Self {
            threshold,
            vocabulary: HashMap::new(),
            tokens: Vec::new(),
            texts: Vec::new(),
            occurrences: HashMap::new(),
            postings: Vec::new(),
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
        self.numbers(rouge_tokens(text, false))
    }

    fn numbers(&mut self, tokens: Vec<String>) -> Vec<u32> {
        let mut ids = Vec::with_capacity(tokens.len());
        for token in tokens {
            let next = self.vocabulary.len() as u32;
            ids.push(*self.vocabulary.entry(token).or_insert(next));
        }
        ids
    }

    /// The occurrences in a text, rarest first: those met last before those met first.
    fn ordered(&mut self, ids: &[u32]) -> Vec<u32> {
        occurrences(ids, |occurrence| {
            let next = self.occurrences.len() as u32;
            let number = *self.occurrences.entry(occurrence).or_insert(next);
            if number == next {
                self.postings.push(Vec::new());
            }
            number
        })
    }

    /// The first inserted text whose F with `text` exceeds the threshold, with that F.
    pub fn find(&mut self, text: &str) -> Option<(usize, f64)> {
        let query = self.ids(text);
        let probes = self.ordered(&query);
        self.first(&query, &probes)
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
        let mut unknown = UNKNOWN;
        let probes = occurrences(query, |occurrence| {
            self.occurrences.get(&occurrence).copied().unwrap_or_else(|| {
                unknown -= 1;
                unknown
            })
        });
        self.visit(query, &probes, open, |index, other, f| {
            found(index, other, f);
            false
        })
    }

    /// Inserts `text`, unless an inserted one exceeds the threshold; then that one and the F are returned.
    pub fn insert_unless_found(&mut self, text: &str) -> Option<(usize, f64)> {
        let ids = self.ids(text);
        let ordered = self.ordered(&ids);
        let found = self.first(&ids, &ordered);
        if found.is_none() {
            self.push(&ids, &ordered);
        }
        found
    }

    /// Inserts `text` without a search (the seeds).
    pub fn insert(&mut self, text: &str) {
        self.insert_tokens(rouge_tokens(text, false));
    }

    /// Inserts a text of these tokens, which need not be ROUGE's.
    pub(crate) fn insert_tokens(&mut self, tokens: Vec<String>) {
        let ids = self.numbers(tokens);
        let ordered = self.ordered(&ids);
        self.push(&ids, &ordered);
    }

    fn push(&mut self, ids: &[u32], ordered: &[u32]) {
        let (text, n) = (self.texts.len() as u32, ids.len());
        let least = enough(self.threshold, n as f64 + shortest_partner(self.threshold, n));
        let mask = mask(ordered);
        for (before, &occurrence) in ordered.iter().enumerate().take((n + 1).saturating_sub(least)) {
            let entry = Entry { text, length: n as u32, before: before as u32, mask };
            self.postings[occurrence as usize].push(entry);
        }
        self.texts.push(Kept { begins: self.tokens.len(), seen_by: 0 });
        self.tokens.extend_from_slice(ids);
    }

    fn first(&mut self, query: &[u32], probes: &[u32]) -> Option<(usize, f64)> {
        let mut first = None;
        self.visit(
            query,
            probes,
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
        probes: &[u32],
        open: impl Fn(usize) -> bool,
        mut found: impl FnMut(usize, &[u32], f64) -> bool,
    ) -> usize {
        let (n, threshold) = (query.len(), self.threshold);
        if n == 0 {
            return 0;
        }
        self.queries += 1;
        let shortest = shortest_partner(threshold, n);
        let longest = if threshold > 0.0 { (2.0 - threshold) * n as f64 / threshold } else { f64::INFINITY };
        let mask = mask(probes);

        let (mut wanted_before, mut compared) = (usize::MAX, 0);
        for (before, &occurrence) in probes.iter().enumerate() {
            if before + enough(threshold, n as f64 + shortest) > n {
                break; // for longer texts even more would have to come behind
            }
            let Some(entries) = self.postings.get_mut(occurrence as usize) else { continue };
            let mut closed = 0;
            for entry in entries.iter() {
                let (index, m) = (entry.text as usize, f64::from(entry.length));
                if wanted_before <= index {
                    break; // postings are in insertion order
                }
                let overlap = enough(threshold, n as f64 + m);
                if before + overlap > n || entry.before as usize + overlap > entry.length as usize {
                    continue;
                }
                let apart = (mask ^ entry.mask).count_ones() as usize;
                if m < shortest || m > longest || n + (entry.length as usize) < apart + 2 * overlap {
                    continue;
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
                let other = &self.tokens[kept.begins..][..entry.length as usize];
                compared += 1;
                let common = lcs_len(query, other);
                let f = 2.0 * common as f64 / (n as f64 + m);
                if f > threshold && found(index, other, f) {
                    wanted_before = index;
                }
            }
            if 2 * closed > entries.len() {
                entries.retain(|entry| open(entry.text as usize));
            }
        }
        compared
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
            let mut index = RougeIndex::new(threshold);
            let mut kept: Vec<String> = Vec::new();
            for q in questions(300) {
                let naive = kept.iter().position(|k| rouge.f(&q, k) > threshold);
                let found = index.insert_unless_found(&q);
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
        let mut index = RougeIndex::new(0.7);
        assert_eq!(index.insert_unless_found("…"), None);
        assert_eq!(index.insert_unless_found("…"), None);
        assert_eq!(index.len(), 2);
    }
}
