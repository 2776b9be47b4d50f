//! Which label an answer means.

use crate::normalize::Normalizer;

/// The label that `prediction` gives: the one it equals after normalisation, else the one that stands first in it as whole words (of
/// two that begin at the same word, the longer). `None` where there is none.
pub fn match_label<'a, S: AsRef<str>>(normalizer: Normalizer, prediction: &str, labels: &'a [S]) -> Option<&'a str> {
    let prediction = normalizer.apply(prediction);
    let normalized = || labels.iter().map(|label| (label.as_ref(), normalizer.apply(label.as_ref())));
    if let Some((label, _)) = normalized().find(|(_, text)| *text == prediction) {
        return Some(label);
    }
    let found = normalized().filter_map(|(label, text)| Some((find_words(&prediction, &text)?, text.len(), label)));
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
