//! Tokenisation, stemming and stop words shared by metrics and retrieval.

mod porter;
mod stop_words;

pub use porter::{Dialect, stem};
pub use stop_words::is_stop_word;

/// Lower-cases `text` and splits it into its runs of `[a-z0-9]`: the tokens of Google's `rouge_score`.
///
/// Lower-casing is Unicode's, as in Python, before the split: `K` (the Kelvin sign) becomes the letter `k`.
pub fn ascii_words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_ascii_letters_and_digits() {
        assert_eq!(
            ascii_words("The IL-2 (naïve) cells, 37\u{2009}°C"),
            ["the", "il", "2", "na", "ve", "cells", "37", "c"]
        );
        assert_eq!(ascii_words("\u{212a}inase"), ["kinase"]);
        assert!(ascii_words(" …— ").is_empty());
    }
}
