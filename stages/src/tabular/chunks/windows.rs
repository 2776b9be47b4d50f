//! Cuts a text into overlapping pieces that end, where they can, with a paragraph, a sentence or a word.

use std::ops::Range;

use pipe_text::is_unspaced;

use super::{ChunkUnit, Chunking};

/// One word or character, and how good a place to end is behind it.
struct Token {
    start: usize,
    end: usize,
    ends: Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Ends {
    /// Nothing: the next character belongs to the same word.
    Nothing,
    Word,
    Sentence,
    Paragraph,
}

/// What ends at the end of `before`, with `after` behind it.
fn ends(before: &str, after: &str) -> Ends {
    let space = &after[..after.len() - after.trim_start().len()];
    let at_end = space.len() == after.len();
    let inside = space.is_empty() && !at_end && !before.ends_with(char::is_whitespace);
    let ideographic = before.ends_with(['。', '！', '？']);
    if inside && !ideographic && !before.ends_with(is_unspaced) && !after.starts_with(is_unspaced) {
        return Ends::Nothing;
    }
    let blank_line = space.matches('\n').count() > 1;
    let closed = before.trim_end_matches(['"', '\'', ')', ']', '”', '’', '»']);
    match () {
        () if at_end || blank_line => Ends::Paragraph,
        () if ideographic || (!space.is_empty() && closed.ends_with(['.', '!', '?', '…'])) => Ends::Sentence,
        () => Ends::Word,
    }
}

fn tokens(text: &str, unit: ChunkUnit) -> Vec<Token> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    let mut in_word = false;
    for (at, c) in text.char_indices() {
        let here = at..at + c.len_utf8();
        let whole = unit == ChunkUnit::Characters || is_unspaced(c);
        match spans.last_mut() {
            _ if unit == ChunkUnit::Words && c.is_whitespace() => in_word = false,
            // What ends a sentence belongs to the word or character in front of it.
            Some(last) if !whole && last.end == at && (in_word || !c.is_alphanumeric()) => {
                last.end = here.end;
            }
            _ => {
                spans.push(here);
                in_word = !whole;
            }
        }
    }
    let token = |span: Range<usize>| {
        let ends = ends(&text[..span.end], &text[span.end..]);
        Token { start: span.start, end: span.end, ends }
    };
    spans.into_iter().map(token).collect()
}

/// Where the chunks of a text are in it, without the white space around them.
pub(super) fn windows(text: &str, chunking: Chunking) -> Vec<Range<usize>> {
    let tokens = tokens(text, chunking.unit);
    let mut found = Vec::new();
    let mut start = 0;
    while start < tokens.len() {
        let most = (start + chunking.size).min(tokens.len());
        let end = if most == tokens.len() {
            most
        } else {
            // Behind what is repeated there must be something new.
            let least = start + (chunking.size / 2).max(chunking.overlap + 1).min(chunking.size);
            (least..=most).max_by_key(|&end| (tokens[end - 1].ends, end)).unwrap_or(most)
        };
        let range = tokens[start].start..tokens[end - 1].end;
        let inner = text[range].trim();
        let from = inner.as_ptr() as usize - text.as_ptr() as usize;
        let inner = from..from + inner.len();
        // Of white space nothing is left, and what is repeated alone is nothing new.
        if found.last().map_or(0, |last: &Range<usize>| last.end) < inner.end && !inner.is_empty() {
            found.push(inner);
        }
        if end == tokens.len() {
            break;
        }
        // What is repeated begins with a word.
        let again = end.saturating_sub(chunking.overlap).max(start + 1);
        let begins = |&at: &usize| tokens[at - 1].ends > Ends::Nothing;
        start = (again..end).find(begins).unwrap_or(end);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, size: usize, overlap: usize, unit: ChunkUnit, expect: &[&str]) {
        let found: Vec<&str> =
            windows(text, Chunking { size, overlap, unit }).into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, expect, "{text:?} {size} {overlap}");
    }

    #[test]
    fn words_overlap() {
        let words = ChunkUnit::Words;
        check("a b c d e f g", 4, 1, words, &["a b c d", "d e f g"]);
        check("a b c d e f g h", 4, 2, words, &["a b c d", "c d e f", "e f g h"]);
        check("a b c", 4, 1, words, &["a b c"]);
        check("a b c d", 4, 3, words, &["a b c d"]);
        check("a b c d e", 1, 0, words, &["a", "b", "c", "d", "e"]);
        check("a b c d e", 3, 2, words, &["a b c", "b c d", "c d e"]);
        check(" \n ", 4, 1, words, &[]);
        check("", 4, 1, words, &[]);
    }

    #[test]
    fn chunks_end_with_a_paragraph_or_else_a_sentence() {
        let words = ChunkUnit::Words;
        check(
            "One two three.\n\nFour five. Six seven eight.",
            5,
            0,
            words,
            &["One two three.", "Four five. Six seven eight."],
        );
        check("One two three. Four five six seven", 5, 0, words, &["One two three.", "Four five six seven"]);
        check("He said \"one.\" Two three four", 4, 0, words, &["He said \"one.\"", "Two three four"]);
        // Not before the middle.
        check("One. Two three four five six", 4, 0, words, &["One. Two three four", "five six"]);
    }

    #[test]
    fn characters_do_not_cut_words_that_fit() {
        let characters = ChunkUnit::Characters;
        check("one two three four", 9, 0, characters, &["one two", "three", "four"]);
        check("one two three four", 9, 3, characters, &["one two", "three", "four"]);
        check("abcdefghij", 4, 1, characters, &["abcd", "efgh", "ij"]);
    }

    #[test]
    fn scripts_without_spaces_are_counted_by_characters() {
        check("水は低きに流れる。山は高い。", 9, 0, ChunkUnit::Words, &["水は低きに流れる。", "山は高い。"]);
        check("水 abc火", 2, 0, ChunkUnit::Words, &["水 abc", "火"]);
        check("ไทยดี", 3, 0, ChunkUnit::Words, &["ไทย", "ดี"]);
        check("한국 사람", 1, 0, ChunkUnit::Words, &["한국", "사람"]);
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_longer_whatever_the_text() {
        use proptest::{prelude::*, test_runner::Config};
        let text = "[a-c水。.\"  \n\n]{0,80}";
        let unit = prop_oneof![Just(ChunkUnit::Words), Just(ChunkUnit::Characters)];
        let config = Config { failure_persistence: None, ..Config::default() };
        proptest!(config, |(text in text, size in 1usize..9, overlap in 0usize..8, unit in unit)| {
            let overlap = overlap.min(size - 1);
            let found = windows(&text, Chunking { size, overlap, unit });
            let mut covered = 0;
            for at in found {
                prop_assert!(text[covered.min(at.start)..at.start].trim().is_empty(), "a gap in front of {at:?}");
                prop_assert!(at.end > covered, "nothing new in {at:?}");
                prop_assert!(tokens(&text[at.clone()], unit).len() <= size);
                covered = at.end;
            }
            prop_assert!(text[covered..].trim().is_empty());
        });
    }
}
