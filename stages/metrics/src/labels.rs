//! Which label an answer means.

use crate::normalize::{Normalizer, is_article, without_punctuation};

/// The label that `prediction` gives: the one it equals after normalisation, else the one that stands first in it as whole words (of
/// two that begin at the same word, the longer). `None` where there is none.
///
/// Articles stay, for `A` is a label of many exams; inside a longer answer such a label must stand in its own case.
pub fn match_label<'a, S: AsRef<str>>(normalizer: Normalizer, prediction: &str, labels: &'a [S]) -> Option<&'a str> {
    let plain = normalizer.with_articles(prediction);
    let cased = without_punctuation(prediction);
    let normalized = || labels.iter().map(|label| (label.as_ref(), normalizer.with_articles(label.as_ref())));
    if let Some((label, _)) = normalized().find(|(_, text)| !text.is_empty() && *text == plain) {
        return Some(label);
    }
    let find = |label: &str, text: &str| {
        if is_article(text) { find_words(&cased, &without_punctuation(label)) } else { find_words(&plain, text) }
    };
    let found = normalized().filter_map(|(label, text)| Some((find(label, &text)?, text.len(), label)));
    found.min_by_key(|&(at, length, _)| (at, std::cmp::Reverse(length))).map(|(_, _, label)| label)
}

/// The first word of `text` at which the words of `wanted` stand one after the other; `None` too where `wanted` has no words.
pub(crate) fn find_words(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted): (Vec<_>, Vec<_>) = (text.split_whitespace().collect(), wanted.split_whitespace().collect());
    if wanted.is_empty() {
        return None;
    }
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_are_labels_too() {
        let labels = ["A", "B", "C", "D"];
        for (prediction, expect) in [
            ("A", Some("A")),
            ("a.", Some("A")),
            ("The answer is A.", Some("A")),
            ("(A) because of B", Some("A")),
            ("It is a case of B", Some("B")),
            ("", None),
            ("the", None),
        ] {
            assert_eq!(match_label(Normalizer::Squad, prediction, &labels), expect, "{prediction}");
        }
        assert_eq!(match_label(Normalizer::Squad, "", &["!"]), None, "nothing is not a label of punctuation");
    }

    #[test]
    fn labels_are_found_in_answers() {
        let labels = ["yes", "no", "maybe", "not sure", "not"];
        for (prediction, expect) in [
            ("Yes.", Some("yes")),
            ("The answer is no, not yes", Some("no")),
            ("Not sure, maybe", Some("not sure")),
            ("I know nothing", None),
            ("", None),
        ] {
            assert_eq!(match_label(Normalizer::Squad, prediction, &labels), expect, "{prediction}");
        }
        assert_eq!(match_label(Normalizer::None, "Yes", &labels), None, "case counts here");
    }
}
