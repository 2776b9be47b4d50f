//! What two answers may differ in and still be the same.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words::unicode_words;

/// How answers are normalised before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalizer {
    /// As SQuAD 1.1's script: lower case; without punctuation, articles and superfluous white space.
    #[default]
    Squad,
    /// Lower case, white space collapsed.
    Lowercase,
    /// Lower case; the words of any script alone, without punctuation. Of scripts that put no space between words
    /// (Chinese, Japanese, Thai) every character is a word. Articles stay.
    Unicode,
    /// As they are, but for white space at both ends.
    None,
}

impl Normalizer {
    /// Normalises a text.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::Squad => normalize_answer(text),
            Self::Lowercase => collapse(&text.to_lowercase()),
            Self::Unicode => unicode_words(text).join(" "),
            Self::None => text.trim().to_owned(),
        }
    }

    /// The name in signatures.
    pub const fn signature(self) -> &'static str {
        match self {
            Self::Squad => "squad1.1",
            Self::Lowercase => "lowercase",
            Self::Unicode => "unicode",
            Self::None => "trim",
        }
    }
}

/// What Python takes for white space: Unicode's, and four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

fn collapse(text: &str) -> String {
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// SQuAD's answer normalisation: lower-case, delete ASCII punctuation, delete the words a/an/the, collapse white space,
/// in that order.
fn normalize_answer(text: &str) -> String {
    collapse(&delete_articles(&without_punctuation(&text.to_lowercase())))
}

/// A text without ASCII punctuation.
pub(crate) fn without_punctuation(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_punctuation()).collect()
}

/// Whether a word is one of those that SQuAD's normalisation deletes.
pub(crate) fn is_article(word: &str) -> bool {
    matches!(word, "a" | "an" | "the")
}

/// Replaces the whole words a/an/the by a space. A word is bounded as in Python's `\b`: by anything but letters,
/// digits, `_`.
fn delete_articles(text: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        out.push_str(if is_article(run) { " " } else { run });
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalisation_follows_squad() {
        for (input, expect) in [
            ("The  Cat, an\u{2009}owl.", "cat owl"),
            ("one\u{1f}two\u{85}three", "one two three"),
            ("U.S.", "us"),
            ("a-b", "ab"),         // punctuation goes first, so this is one word
            ("the_cat", "thecat"), // and the underscore is punctuation too
            ("An", ""),
            ("theory of a", "theory of"),
            ("É–a", "é–"), // a dash outside ASCII stays, and bounds the article
        ] {
            assert_eq!(normalize_answer(input), expect, "{input:?}");
        }
    }
}
