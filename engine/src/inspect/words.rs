//! Which words of a text changed.

use serde::Serialize;
use similar::{Algorithm, ChangeTag, TextDiff};

/// Texts that are longer together are compared line by line.
const BY_WORDS: usize = 64 * 1024;
/// Words shown on either side of a change.
const AROUND: usize = 4;

/// A piece of two texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", content = "text", rename_all = "snake_case")]
pub enum Piece {
    /// In both.
    Same(String),
    /// Only in the first.
    Removed(String),
    /// Only in the second.
    Added(String),
    /// Left out: it is in both, and far from any change.
    Gap,
}

/// The pieces of which two texts are made. What stands between two changes, and is but white space, counts as changed.
pub fn words(old: &str, new: &str) -> Vec<Piece> {
    let mut config = TextDiff::configure();
    config.algorithm(Algorithm::Patience);
    let by_words = old.len() + new.len() <= BY_WORDS;
    let diff = if by_words { config.diff_words(old, new) } else { config.diff_lines(old, new) };
    // Removed and added text of the change that is being gathered, and what may still be part of it.
    let (mut pieces, mut removed, mut added, mut space) = (Vec::new(), String::new(), String::new(), String::new());
    let mut close = |removed: &mut String, added: &mut String, space: &mut String, same: &str| {
        for (text, piece) in [(removed, Piece::Removed as fn(String) -> Piece), (added, Piece::Added)] {
            if !text.is_empty() {
                pieces.push(piece(std::mem::take(text)));
            }
        }
        let same = std::mem::take(space) + same;
        match pieces.last_mut() {
            Some(Piece::Same(text)) => *text += &same,
            _ if same.is_empty() => {}
            _ => pieces.push(Piece::Same(same)),
        }
    };
    for change in diff.iter_all_changes() {
        let text = change.value();
        match change.tag() {
            ChangeTag::Equal if text.trim().is_empty() && !(removed.is_empty() && added.is_empty()) => space += text,
            ChangeTag::Equal => close(&mut removed, &mut added, &mut space, text),
            tag => {
                let between = std::mem::take(&mut space);
                if !between.is_empty() {
                    removed += &between;
                    added += &between;
                }
                if tag == ChangeTag::Delete { removed += text } else { added += text }
            }
        }
    }
    close(&mut removed, &mut added, &mut space, "");
    pieces
}

/// The same, with what is far from any change left out.
pub fn shortened(pieces: Vec<Piece>) -> Vec<Piece> {
    let last = pieces.len().saturating_sub(1);
    let mut short = Vec::with_capacity(pieces.len());
    for (i, piece) in pieces.into_iter().enumerate() {
        let Piece::Same(text) = piece else {
            short.push(piece);
            continue;
        };
        let words: Vec<&str> = text.split_inclusive(char::is_whitespace).collect();
        // White space behind a change is no word.
        let blank = words.iter().take_while(|word| word.trim().is_empty()).count();
        // A change stands before it, after it, or both.
        let (before, after) = (if i == 0 { 0 } else { blank + AROUND }, if i == last { 0 } else { AROUND });
        if last == 0 || words.len() <= before + after + 1 {
            short.push(Piece::Same(text));
            continue;
        }
        if before > 0 {
            short.push(Piece::Same(words[..before].concat()));
        }
        short.push(Piece::Gap);
        if after > 0 {
            short.push(Piece::Same(words[words.len() - after..].concat()));
        }
    }
    short
}

/// `the [-old-]{+new+} text`.
pub fn marked(pieces: &[Piece]) -> String {
    let mark = |piece: &Piece| match piece {
        Piece::Same(text) => text.clone(),
        Piece::Removed(text) => format!("[-{text}-]"),
        Piece::Added(text) => format!("{{+{text}+}}"),
        Piece::Gap => "… ".to_owned(),
    };
    pieces.iter().map(mark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(old: &str, new: &str) -> String {
        marked(&shortened(words(old, new)))
    }

    #[test]
    fn the_words_that_differ_are_marked() {
        assert_eq!(told("the old text", "the new text"), "the [-old-]{+new+} text");
        assert_eq!(told("a b", "a b"), "a b");
        assert_eq!(told("", "new"), "{+new+}");
        assert_eq!(told("one two", "one two three"), "one two{+ three+}");
        assert_eq!(told("in the north", "in a south"), "in [-the north-]{+a south+}", "one change, not two");
    }

    #[test]
    fn what_is_far_from_a_change_is_left_out() {
        let many = (0..40).map(|n| format!("w{n} ")).collect::<Vec<_>>().concat();
        let (old, new) = (format!("{many}old {many}"), format!("{many}new {many}"));
        assert_eq!(told(&old, &new), "… w36 w37 w38 w39 [-old-]{+new+} w0 w1 w2 w3 … ");
    }

    #[test]
    fn both_texts_can_be_put_together_again() {
        let texts = ["", "a", "a b c", "c b a", "a  b\n c", "ä ö\tü", "b c d", " a", "a "];
        for old in texts {
            for new in texts {
                let (mut before, mut after) = (String::new(), String::new());
                for piece in words(old, new) {
                    match piece {
                        Piece::Same(text) => {
                            before += &text;
                            after += &text;
                        }
                        Piece::Removed(text) => before += &text,
                        Piece::Added(text) => after += &text,
                        Piece::Gap => unreachable!("nothing is left out here"),
                    }
                }
                assert_eq!((&*before, &*after), (old, new));
            }
        }
    }
}
