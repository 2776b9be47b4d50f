//! BM25 in Lucene's form (Robertson and Zaragoza 2009; Kamphuis et al. 2020, "Which BM25 do you mean?").
//!
//! `score = Σ idf · tf / (tf + k1·(1 − b + b·dl/avgdl))` with `idf = ln(1 + (N − df + 0.5)/(df + 0.5))`, summed over
//! the query's terms (a term that stands twice in the query counts twice). The part of each term in each document is
//! computed once, at indexing.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::{
    analyzer::Analyzer,
    top::{Hit, top_k},
};

/// The two free parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25Params {
    /// Saturation of the term frequency, >= 0.
    pub k1: f32,
    /// Share of length normalisation, 0 to 1.
    pub b: f32,
}

/// Anserini's defaults.
impl Default for Bm25Params {
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4 }
    }
}

/// An inverted index with precomputed scores.
pub struct Bm25 {
    analyzer: Analyzer,
    terms: HashMap<String, u32>,
    /// `postings[starts[t]..starts[t + 1]]` are the (document, score) pairs of term t, in corpus order.
    starts: Vec<usize>,
    postings: Vec<(u32, f32)>,
    documents: usize,
}

/// The terms of one document with their frequencies, and its length in terms.
struct Counted {
    frequencies: Vec<(String, f32)>,
    length: usize,
}

impl Counted {
    fn new(mut words: Vec<String>) -> Self {
        let length = words.len();
        words.sort_unstable();
        let mut frequencies: Vec<(String, f32)> = Vec::new();
        for word in words {
            match frequencies.last_mut() {
                Some((last, tf)) if *last == word => *tf += 1.0,
                _ => frequencies.push((word, 1.0)),
            }
        }
        Self { frequencies, length }
    }
}

impl Bm25 {
    /// Indexes the corpus; analysis runs in parallel.
    pub fn new<S: AsRef<str> + Sync>(corpus: &[S], analyzer: Analyzer, params: Bm25Params) -> Self {
        let analyzed: Vec<Counted> =
            corpus.par_iter().map(|text| Counted::new(analyzer.terms(text.as_ref()))).collect();
        let total: usize = analyzed.iter().map(|d| d.length).sum();
        let average_length = total as f32 / corpus.len().max(1) as f32;

        let mut terms: HashMap<String, u32> = HashMap::new();
        let mut lists: Vec<Vec<(u32, f32)>> = Vec::new();
        for (document, counted) in analyzed.into_iter().enumerate() {
            let norm = params.k1 * (1.0 - params.b + params.b * counted.length as f32 / average_length);
            for (word, tf) in counted.frequencies {
                let next = lists.len() as u32;
                let term = *terms.entry(word).or_insert(next);
                if term == next {
                    lists.push(Vec::new());
                }
                lists[term as usize].push((document as u32, tf / (tf + norm)));
            }
        }
        let n = corpus.len() as f32;
        let mut starts = vec![0];
        let mut postings = Vec::new();
        for list in &lists {
            let df = list.len() as f32;
            let idf = (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
            postings.extend(list.iter().map(|&(document, weight)| (document, idf * weight)));
            starts.push(postings.len());
        }
        Self { analyzer, terms, starts, postings, documents: corpus.len() }
    }

    /// The best `k` passages that share a term with the query, best first; may be fewer than `k`.
    pub fn search(&self, query: &str, k: usize) -> Vec<Hit> {
        let mut scores = vec![0.0_f32; self.documents];
        let mut touched = Vec::new();
        for term in self.analyzer.terms(query) {
            let Some(&t) = self.terms.get(&term) else { continue };
            for &(document, score) in &self.postings[self.starts[t as usize]..self.starts[t as usize + 1]] {
                let sum = &mut scores[document as usize];
                if *sum == 0.0 {
                    touched.push(document);
                }
                *sum += score;
            }
        }
        top_k(touched.into_iter().map(|d| Hit { document: d as usize, score: scores[d as usize] }).collect(), k)
    }

    /// [`Self::search`] for many queries in parallel, in their order.
    pub fn search_all<S: AsRef<str> + Sync>(&self, queries: &[S], k: usize) -> Vec<Vec<Hit>> {
        queries.par_iter().map(|query| self.search(query.as_ref(), k)).collect()
    }

    /// Inverse document frequency of a term as the analyzer makes it; that of an unseen term where it is not in the
    /// corpus.
    pub fn idf(&self, term: &str) -> f32 {
        let df = self.terms.get(term).map_or(0, |&t| self.starts[t as usize + 1] - self.starts[t as usize]) as f32;
        (1.0 + (self.documents as f32 - df + 0.5) / (df + 0.5)).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzer::{Stemmer, StopWords};

    const CORPUS: [&str; 4] =
        ["liver enzyme liver", "kidney enzyme", "the heart", "enzyme of the liver and the kidney and more words"];

    fn index(params: Bm25Params) -> Bm25 {
        Bm25::new(&CORPUS, Analyzer { stemmer: Stemmer::None, stop_words: StopWords::None }, params)
    }

    #[test]
    fn scores_are_those_of_the_formula() {
        let hits = index(Bm25Params { k1: 1.5, b: 0.75 }).search("liver", 10);
        let average = 17.0_f32 / 4.0;
        let idf = (1.0_f32 + (4.0 - 2.0 + 0.5) / 2.5).ln();
        let expect = |tf: f32, length: f32| idf * tf / (tf + 1.5 * (0.25 + 0.75 * length / average));
        assert_eq!(hits.iter().map(|h| h.document).collect::<Vec<_>>(), [0, 3]);
        assert!(
            (hits[0].score - expect(2.0, 3.0)).abs() < 1e-6 && (hits[1].score - expect(1.0, 10.0)).abs() < 1e-6,
            "{hits:?}"
        );
    }

    #[test]
    fn ties_are_in_corpus_order_and_unknown_terms_match_nothing() {
        let same = Bm25::new(&["a x", "b x", "c x"], Analyzer::default(), Bm25Params::default());
        assert_eq!(same.search("x", 2).iter().map(|h| h.document).collect::<Vec<_>>(), [0, 1]);
        assert!(same.search("zebra", 5).is_empty());
        assert!(Bm25::new::<&str>(&[], Analyzer::default(), Bm25Params::default()).search("x", 5).is_empty());
    }
}
