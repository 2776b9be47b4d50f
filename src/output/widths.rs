//! Texts and the columns that they take on a terminal.

use pipe_engine::diag::{escape, redact};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::OWN;

/// How wide a text is on a terminal, our own colours left out.
pub(crate) fn visible_width(text: &str) -> usize {
    let mut parts = text.split(OWN);
    let first = parts.next().unwrap_or_default().width();
    first + parts.map(|part| part.split_once('m').map_or(part, |(_, text)| text).width()).sum::<usize>()
}

/// How wide a text is on a terminal.
pub(crate) fn wide(text: &str) -> usize {
    text.width()
}

/// The text, cut to so many columns.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    let (mut cut, mut width) = (String::new(), 0);
    for c in text.chars() {
        let more = c.width().unwrap_or(0);
        if width + more > columns {
            // The mark takes a column, too.
            while width + 1 > columns
                && let Some(last) = cut.pop()
            {
                width -= last.width().unwrap_or(0);
            }
            cut.extend((columns > 0).then_some('…'));
            break;
        }
        cut.push(c);
        width += more;
    }
    cut
}

/// The text in one line of at most so many columns, fit to be shown.
pub(crate) fn clip(text: &str, columns: usize) -> String {
    // Before anything is cut off: a credential is known by what stands behind it.
    let line: String = redact(text).chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c }).collect();
    cut(&escape(&line), columns)
}

/// The name, cut in its middle: the beginnings of labels are stages, their ends tell variants apart.
pub(crate) fn fold(name: &str, columns: usize) -> String {
    if wide(name) <= columns {
        return name.to_owned();
    }
    let mut end = String::new();
    for c in name.chars().rev() {
        if wide(&end) + wide(c.encode_utf8(&mut [0; 4])) > columns / 2 {
            break;
        }
        end.insert(0, c);
    }
    let begin = cut(name, columns.saturating_sub(wide(&end)));
    begin + &end
}

/// Lines of a text broken between words, so that they take at most so many columns where their words allow. What is
/// broken off stands further to the right than the beginning of its line.
pub(crate) fn broken(text: &str, columns: usize) -> String {
    let mut broken = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if visible_width(line.trim_end()) <= columns {
            broken.push_str(line);
            continue;
        }
        let own = line.len() - line.trim_start_matches(' ').len();
        let indent = (own + 4).min(columns / 2);
        let (mut width, mut is_start) = (0, true);
        for word in line.split_inclusive(' ') {
            let more = visible_width(word.trim_end());
            // What fits into no line is left to the terminal.
            if !is_start && more > 0 && width + more > columns && indent + more <= columns {
                broken.truncate(broken.trim_end_matches(' ').len());
                broken.push('\n');
                broken.extend(std::iter::repeat_n(' ', indent));
                width = indent;
            }
            is_start &= word.trim().is_empty();
            broken.push_str(word);
            width += visible_width(word);
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::{super::paint, *};

    #[test]
    fn texts_are_cut_by_columns() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("日本語", 6), "日本語");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn names_are_cut_in_their_middle() {
        assert_eq!(fold("answers@n=5", 11), "answers@n=5");
        assert_eq!(fold("answers@n=5", 9), "answ…@n=5");
        assert_eq!(fold("answers@n=5", 1), "…");
        assert!((0..12).all(|columns| wide(&fold("日本語@日本語", columns)) <= columns));
    }

    #[test]
    fn lines_are_broken_between_words() {
        let check = |text: &str, columns, expect: &str| assert_eq!(broken(text, columns), expect, "{text}");
        check("  one two three four\nfive\n", 14, "  one two\n      three\n      four\nfive\n");
        check("one two three\n", 13, "one two three\n");
        check("averylongword and\n", 6, "averylongword\n   and\n");
        check("✓ averylongword and\n", 14, "✓ averylongword\n    and\n");
        check("no line end here", 8, "no line\n    end\n    here");
        check("日本語 日本語 日本語", 13, "日本語 日本語\n    日本語");
        let painted = paint("one two", "2", true);
        check(&format!("{painted} three"), 13, &format!("{painted} three"));
    }
}
