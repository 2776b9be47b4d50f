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

/// Whether a character is of a script that puts no spaces between words, and so is taken for a word by itself: Thai,
/// Lao, Burmese, Khmer, Chinese, Japanese. Punctuation of such scripts is not.
pub fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{2fdf}'
        | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}' | '\u{3038}'..='\u{303c}'
        | '\u{3040}'..='\u{312f}' | '\u{31a0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3fffd}')
}

/// The words of a text as white space separates them; a character of a script that puts no spaces between words is a
/// word by itself ([`is_unspaced`]).
pub fn written_words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().flat_map(|word| {
        let begins = word.char_indices().scan(true, |after_whole, (at, c)| {
            let whole = is_unspaced(c);
            Some((std::mem::replace(after_whole, whole) || whole).then_some(at))
        });
        let begins: Vec<usize> = begins.flatten().collect();
        let ends: Vec<usize> = begins.iter().skip(1).copied().chain([word.len()]).collect();
        begins.into_iter().zip(ends).map(|(begin, end)| &word[begin..end])
    })
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

    #[test]
    fn characters_of_scripts_without_spaces_are_words() {
        let words = |text| written_words(text).collect::<Vec<_>>();
        assert_eq!(words(" What  is IL-2? "), ["What", "is", "IL-2?"]);
        assert_eq!(words("什么是GDP？ok"), ["什", "么", "是", "GDP？ok"]);
        assert_eq!(words("B12は水。ok"), ["B12", "は", "水", "。ok"]);
        assert!(words(" ").is_empty());
    }

    #[test]
    fn scripts_without_spaces_are_told_from_others() {
        for c in "水火ひらカタ々〇ไทยລາວမြန်မာខ្មែរ㐀𠀀".chars() {
            assert!(is_unspaced(c), "{c} {:x}", u32::from(c));
        }
        for c in "aäяعאह한ㄱ1。、「」！ ".chars() {
            assert!(!is_unspaced(c), "{c} {:x}", u32::from(c));
        }
    }
}
