//! How text becomes index terms.

use pipe_text::{Dialect, is_stop_word, stem};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

/// What happens to word endings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stemmer {
    /// Porter's stemmer, in Lucene's dialect.
    #[default]
    Porter,
    /// Words stay as they are.
    None,
}

/// Which words are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopWords {
    /// Lucene's 33 English ones.
    #[default]
    English,
    /// None.
    None,
}

/// Splits at Unicode's word boundaries (UAX #29), strips the English possessive, lower-cases, drops stop words, stems:
/// the steps of Lucene's `EnglishAnalyzer`. The default is that of the BM25 baselines of Anserini.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Analyzer {
    /// See [`Stemmer`].
    pub stemmer: Stemmer,
    /// See [`StopWords`].
    pub stop_words: StopWords,
}

impl Analyzer {
    /// The terms of `text`, in order.
    pub fn terms(self, text: &str) -> Vec<String> {
        let mut terms = Vec::new();
        each_word(text, |word| terms.extend(self.term(word)));
        terms
    }

    /// The term of a lower-cased word, unless it is left out.
    pub(crate) fn term(self, word: &str) -> Option<String> {
        let word = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")).unwrap_or(word);
        if self.stop_words == StopWords::English && is_stop_word(word) {
            return None;
        }
        Some(match self.stemmer {
            Stemmer::None => word.to_owned(),
            Stemmer::Porter => stem(word, Dialect::Martin),
        })
    }
}

/// Calls `word` with every lower-cased word of `text`, in order.
pub(crate) fn each_word(text: &str, word: impl FnMut(&str)) {
    text.to_lowercase().unicode_words().for_each(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_lower_cased_stopped_and_stemmed() {
        assert_eq!(Analyzer::default().terms("The inhibitors of Crohn's TNF-α"), ["inhibitor", "crohn", "tnf", "α"]);
        let plain = Analyzer { stemmer: Stemmer::None, stop_words: StopWords::None };
        assert_eq!(plain.terms("The inhibitors"), ["the", "inhibitors"]);
    }
}
