//! Words in texts.

use pipe_text::{ascii_words, is_stop_word, is_unspaced};

/// The first word of `text` at which the words of `wanted` stand one after the other; `None` too where `wanted` has no
/// words.
pub(crate) fn find_words(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted): (Vec<_>, Vec<_>) = (text.split_whitespace().collect(), wanted.split_whitespace().collect());
    if wanted.is_empty() {
        return None;
    }
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// The words of `text`, as white space separates them, with the places of their first byte and of the byte behind them.
pub(crate) fn placed_words(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    // A word is a part of the text, so the difference of the addresses is its place.
    text.split_whitespace().map(move |word| {
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        (at, at + word.len(), word)
    })
}

/// The lower-cased words of a text of any script: its runs of letters and digits; characters of scripts that put no
/// space between words (Chinese, Japanese, Thai) are words by themselves.
pub(crate) fn unicode_words(text: &str) -> Vec<String> {
    if text.is_ascii() {
        return ascii_words(text); // the same, and sooner
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() && !is_unspaced(c) {
            word.extend(c.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            words.push(c.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The words of a text that carry content: those that are no stop words, or all where there are no others.
pub fn content_words(text: &str) -> Vec<String> {
    with_content(unicode_words(text))
}

/// Those of the words of a text that carry content, or all.
pub(crate) fn with_content(words: Vec<String>) -> Vec<String> {
    let content: Vec<String> = words.iter().filter(|word| !is_stop_word(word)).cloned().collect();
    if content.is_empty() { words } else { content }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_script_are_told_apart() {
        let check = |text: &str, expect: &[&str]| assert_eq!(unicode_words(text), expect, "{text}");
        check("Don't stop; ÄRZTE 5%", &["don", "t", "stop", "ärzte", "5"]);
        check("什么是GDP？", &["什", "么", "是", "gdp"]);
        check("ไทย GDP", &["ไ", "ท", "ย", "gdp"]);
        check("Don't stop; 5%_x", &["don", "t", "stop", "5", "x"]);
        check(" … ", &[]);
        assert_eq!(content_words("What is the rate of it?"), ["what", "rate"]);
        assert_eq!(content_words("Is it?"), ["is", "it"]);
    }
}
