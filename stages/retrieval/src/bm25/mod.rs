//! BM25 in Lucene's form (Robertson and Zaragoza 2009; Kamphuis et al. 2020, "Which BM25 do you mean?").
//!
//! `score = Σ idf · tf / (tf + k1·(1 − b + b·dl/avgdl))` with `idf = ln(1 + (N − df + 0.5)/(df + 0.5))`, summed over
//! the query's terms (a term that stands twice in the query counts twice). The part of each term in each document is
//! computed once, at indexing.
//!
//! The corpus is read once, in portions ([`Bm25Builder`]); an index is one run of words, in memory or mapped from a
//! file ([`layout`]), and read where it lies.

mod build;
mod layout;
mod postings;
mod search;
mod words;

use std::{io, path::Path};

pub use build::Bm25Builder;
use layout::Layout;
use words::Storage;
pub use words::{FileWords, WriteWords};

use crate::analyzer::Analyzer;

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
    words: Storage,
    layout: Layout,
}

impl Bm25 {
    /// Indexes the corpus; analysis runs in parallel.
    pub fn new<S: AsRef<str> + Sync>(corpus: &[S], analyzer: Analyzer, params: Bm25Params) -> Self {
        let mut builder = Bm25Builder::new(analyzer);
        builder.add(corpus);
        builder.into_memory(params)
    }

    fn of(analyzer: Analyzer, words: Storage) -> io::Result<Self> {
        let layout = Layout::read(words.words())?;
        Ok(Self { analyzer, words, layout })
    }

    /// Maps the index in a file that [`Bm25Builder::write`] has written. Nobody may change it meanwhile.
    ///
    /// # Errors
    /// The file cannot be read, or is no such index.
    pub fn open(path: &Path, analyzer: Analyzer) -> io::Result<Self> {
        Self::of(analyzer, Storage::map(path)?)
    }

    /// The number of documents.
    pub fn documents(&self) -> usize {
        self.layout.documents
    }

    /// The number of different terms.
    pub fn terms(&self) -> usize {
        self.layout.terms
    }

    /// Inverse document frequency of a term as the analyzer makes it; that of an unseen term where it is not in the
    /// corpus.
    pub fn idf(&self, term: &str) -> f32 {
        let found = self.layout.find(self.words.words(), term);
        let df = found.map_or(0, |postings| postings.len() / 2);
        idf(self.layout.documents, df)
    }
}

fn idf(documents: usize, df: usize) -> f32 {
    let (n, df) = (documents as f32, df as f32);
    (1.0 + (n - df + 0.5) / (df + 0.5)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analyzer::{Stemmer, StopWords},
        top::{Hit, top_k},
    };

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

    /// What the formula gives, document by document and term by term of the query: to the bit.
    #[test]
    fn windows_find_what_a_plain_loop_finds() {
        let mut state = 3_u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % n
        };
        let corpus: Vec<String> = (0..70_000)
            .map(|_| (0..below(9)).fold(String::new(), |text, _| text + &format!("w{} ", below(40) * below(40))))
            .collect();
        let (analyzer, params) = (Analyzer::default(), Bm25Params::default());
        let index = Bm25::new(&corpus, analyzer, params);
        let terms: Vec<Vec<String>> = corpus.iter().map(|text| analyzer.terms(text)).collect();
        let average = terms.iter().map(Vec::len).sum::<usize>() as f32 / corpus.len() as f32;
        for query in ["w0 w12 w0 w7", "w1521", "w35 w640 w2 none"] {
            let words = analyzer.terms(query);
            let idfs: Vec<f32> = words
                .iter()
                .map(|word| idf(corpus.len(), terms.iter().filter(|text| text.contains(word)).count()))
                .collect();
            let score = |text: &Vec<String>| {
                let mut sum = 0.0;
                for (word, idf) in words.iter().zip(&idfs) {
                    let tf = text.iter().filter(|term| *term == word).count() as f32;
                    let norm = params.k1 * (1.0 - params.b + params.b * text.len() as f32 / average);
                    if tf > 0.0 {
                        sum += idf * (tf / (tf + norm));
                    }
                }
                sum
            };
            let hits = terms.iter().enumerate().map(|(document, text)| Hit { document, score: score(text) });
            let hits: Vec<Hit> = hits.filter(|hit| hit.score > 0.0).collect();
            for k in [1, 10, 100_000] {
                assert_eq!(index.search(query, k), top_k(hits.clone(), k), "{query} {k}");
            }
        }
    }
}
