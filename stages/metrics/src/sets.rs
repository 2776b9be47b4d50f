//! Answers that are lists, as sets of members.

use std::collections::BTreeSet;

use crate::{
    Normalizer,
    f1::f_measure,
    normalize::{is_article, without_punctuation},
    words::placed_words,
};

/// What of two sets is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Common {
    same: usize,
    predicted: usize,
    wanted: usize,
}

impl Common {
    /// Of the members of two answers.
    pub(crate) fn of(normalizer: Normalizer, prediction: &str, reference: &str) -> Self {
        let (prediction, reference) = (members(normalizer, prediction), members(normalizer, reference));
        Self { same: prediction.intersection(&reference).count(), predicted: prediction.len(), wanted: reference.len() }
    }

    /// The share of what is predicted that is wanted; 0 where nothing is predicted.
    pub(crate) fn precision(self) -> f64 {
        if self.predicted == 0 { 0.0 } else { self.same as f64 / self.predicted as f64 }
    }

    /// The share of what is wanted that is predicted; 0 where nothing is wanted.
    pub(crate) fn recall(self) -> f64 {
        if self.wanted == 0 { 0.0 } else { self.same as f64 / self.wanted as f64 }
    }

    /// The harmonic mean of both.
    pub(crate) fn f1(self) -> f64 {
        f_measure(self.same, self.predicted, self.wanted)
    }
}

/// The members of a list: what stands between commas, semicolons, line breaks, bullets and the word `and` (or `&`),
/// normalised; an article that stands alone is one, too: exams call choices `A`. What is blank then is none.
pub(crate) fn members(normalizer: Normalizer, text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut keep = |piece: &str| {
        let mut member = normalizer.apply(piece);
        if member.is_empty() {
            let bare = without_punctuation(&piece.to_lowercase());
            if is_article(bare.trim()) {
                bare.trim().clone_into(&mut member);
            }
        }
        if !member.is_empty() {
            found.insert(member);
        }
    };
    for piece in pieces(text) {
        let (piece, mut from) = (without_marker(piece), 0);
        for (begin, end, word) in placed_words(piece) {
            if word == "&" || word.eq_ignore_ascii_case("and") {
                keep(&piece[from..begin]);
                from = end;
            }
        }
        keep(&piece[from..]);
    }
    found
}

/// A text, split at its separators. A comma inside a number (`1,000`) is none.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut from = 0;
    let ends = text.char_indices().filter(|&(at, c)| match c {
        ';' | '\n' | '•' | '、' | '，' | '；' => true,
        ',' => !inside_number(text, at),
        _ => false,
    });
    let ends: Vec<(usize, usize)> = ends.map(|(at, c)| (at, at + c.len_utf8())).collect();
    let last = (text.len(), text.len());
    ends.into_iter().chain([last]).map(move |(at, behind)| &text[std::mem::replace(&mut from, behind)..at])
}

/// Whether the comma at `at` has a digit in front of it and three behind it, and no fourth.
fn inside_number(text: &str, at: usize) -> bool {
    let digits = text[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
    digits == 3 && text[..at].ends_with(|c: char| c.is_ascii_digit())
}

/// A line of a list without what marks it as one: `- `, `* `, `1. `, `2) `.
fn without_marker(piece: &str) -> &str {
    let piece = piece.trim();
    let Some((marker, rest)) = piece.split_once(char::is_whitespace) else { return piece };
    let number =
        marker.strip_suffix(['.', ')']).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    if number || matches!(marker, "-" | "*" | "–" | "·" | "+") { rest.trim_start() } else { piece }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        members(Normalizer::Squad, text).into_iter().collect()
    }

    #[test]
    fn members_stand_between_separators() {
        assert_eq!(list("Heparin, the aspirin; and Warfarin."), ["aspirin", "heparin", "warfarin"]);
        assert_eq!(list("- one\n* two\n3. three\n4) four"), ["four", "one", "three", "two"]);
        assert_eq!(list("A & B and C AND D"), ["a", "b", "c", "d"], "an article alone is a choice");
        assert_eq!(list("(A), the B"), ["a", "b"]);
        assert_eq!(list("1,000 or 1,2"), ["1000 or 1", "2"]);
        assert_eq!(list("肝、肾；心"), ["心", "肝", "肾"]);
        assert_eq!(list("sand, Andes, band"), ["andes", "band", "sand"], "whole words alone");
        assert_eq!(list(" , and ;\n"), [""; 0]);
        assert_eq!(list("x, X, x."), ["x"]);
        assert_eq!(members(Normalizer::None, "A, b and C"), ["A", "C", "b"].map(str::to_owned).into());
    }
}
