//! ROUGE-L as in Google's `rouge_score` (Lin 2004; sentence level).

use std::collections::HashMap;

use pipe_text::{Dialect, ascii_words, stem};

use crate::{f1::f_measure, lcs::lcs_len};

/// The tokens that ROUGE compares: lower-case runs of `[a-z0-9]`; with `stemmed`, those longer than 3 letters are
/// stemmed.
pub(crate) fn rouge_tokens(text: &str, stemmed: bool) -> Vec<String> {
    let mut words = ascii_words(text);
    if stemmed {
        for word in words.iter_mut().filter(|w| w.len() > 3) {
            *word = stem(word, Dialect::Nltk);
        }
    }
    words
}

/// The longest-common-subsequence F measure.
#[derive(Debug, Clone, Copy)]
pub struct RougeL {
    stemmed: bool,
}

impl RougeL {
    /// With or without NLTK's Porter stemmer (`rouge_score`'s `use_stemmer`).
    pub const fn new(stemmed: bool) -> Self {
        Self { stemmed }
    }

    /// 2PR/(P+R) with P = LCS/|prediction| and R = LCS/|reference|; 0 if either has no tokens.
    pub fn f(self, prediction: &str, reference: &str) -> f64 {
        let mut ids = HashMap::new();
        let mut tokens = |text| -> Vec<u32> {
            let words = rouge_tokens(text, self.stemmed);
            words
                .into_iter()
                .map(|w| {
                    let next = ids.len() as u32;
                    *ids.entry(w).or_insert(next)
                })
                .collect()
        };
        let (p, r) = (tokens(prediction), tokens(reference));
        f_measure(lcs_len(&p, &r), p.len(), r.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f_of_known_pairs() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        let plain = RougeL::new(false);
        close(plain.f("testing one two", "testing"), 0.5); // the example of rouge_score's own tests
        close(plain.f("", "testing"), 0.0);
        close(plain.f("a b c", "c b a"), 1.0 / 3.0);
        close(plain.f("studies of cells", "study of cell"), 1.0 / 3.0);
        close(RougeL::new(true).f("studies of cells", "study of cell"), 1.0);
    }
}
