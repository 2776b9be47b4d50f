//! ROUGE-L as in Google's `rouge_score` (Lin 2004; sentence level).

use std::collections::HashMap;

use pipe_text::{Dialect, ascii_words, stem};

use crate::{f1::f_measure, lcs::lcs_len, words::unicode_words};

/// What is compared of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tokens {
    /// Lower-case runs of `[a-z0-9]`.
    Ascii,
    /// Those, stemmed if they are longer than 3 letters.
    Stemmed,
    /// Words of any script.
    Unicode,
}

/// The longest-common-subsequence F measure.
#[derive(Debug, Clone, Copy)]
pub struct RougeL(Tokens);

impl RougeL {
    /// With the tokens of `rouge_score`, which knows ASCII alone, and with or without NLTK's Porter stemmer
    /// (`use_stemmer`).
    pub const fn new(stemmed: bool) -> Self {
        Self(if stemmed { Tokens::Stemmed } else { Tokens::Ascii })
    }

    /// Over the words of any script, unstemmed; of texts in ASCII it is the same.
    pub const fn unicode() -> Self {
        Self(Tokens::Unicode)
    }

    fn tokens(self, text: &str) -> Vec<String> {
        let stemmed = |word: String| if word.len() > 3 { stem(&word, Dialect::Nltk) } else { word };
        match self.0 {
            Tokens::Ascii => ascii_words(text),
            Tokens::Stemmed => ascii_words(text).into_iter().map(stemmed).collect(),
            Tokens::Unicode => unicode_words(text),
        }
    }

    /// 2PR/(P+R) with P = LCS/|prediction| and R = LCS/|reference|; 0 if either has no tokens.
    pub fn f(self, prediction: &str, reference: &str) -> f64 {
        let mut ids = HashMap::new();
        let mut tokens = |text| -> Vec<u32> {
            self.tokens(text)
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
        // What other scripts have in common in ASCII is not all that they say.
        close(plain.f("Что такое GDP?", "Когда измерили GDP?"), 1.0);
        close(RougeL::unicode().f("Что такое GDP?", "Когда измерили GDP?"), 1.0 / 3.0);
        close(RougeL::unicode().f("Testing, one-two", "testing one two three"), 6.0 / 7.0);
    }
}
