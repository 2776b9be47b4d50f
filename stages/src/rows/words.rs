//! Words and normal forms of short texts, for filters and for choosing demonstrations.

/// The lower-cased words of a text: its runs of letters and digits of any script.
pub(crate) fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Lower-cased, with single spaces, and without `.`, `?`, `!`, `:`, `;` and `,` at the end: what makes two texts the
/// same.
pub(crate) fn normalised(text: &str) -> String {
    let lower = text.to_lowercase();
    let joined = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    joined.trim_end_matches(['.', '?', '!', ':', ';', ',', ' ']).to_owned()
}

/// The beginning of a text, up to the end of its `most`-th word; words are what white space separates.
pub(crate) fn first_words(text: &str, most: usize) -> &str {
    let Some(last) = text.split_whitespace().take(most).last() else { return "" };
    // The word is a part of the text, so the difference of the addresses is its place.
    &text[..last.as_ptr() as usize - text.as_ptr() as usize + last.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_up_to_case_space_and_final_punctuation() {
        assert_eq!(normalised(" What  is\nIL-2? "), "what is il-2");
        assert_eq!(normalised("what is il-2"), "what is il-2");
        assert_ne!(normalised("What is C++?"), normalised("What is C?"));
        assert_ne!(normalised("what is IL2"), normalised("what is IL-2"));
        assert_eq!(words("Don't stop; ÄRZTE 5%"), ["don", "t", "stop", "ärzte", "5"]);
    }

    #[test]
    fn a_beginning_ends_with_a_word() {
        assert_eq!(first_words(" one two\n three ", 2), " one two");
        assert_eq!(first_words("one two", 9), "one two");
        assert_eq!((first_words("one", 0), first_words("  ", 3)), ("", ""));
    }
}
