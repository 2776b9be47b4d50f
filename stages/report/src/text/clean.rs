//! Texts come from models, files and other people. What would be invisible, or would change how its neighbours are
//! read, is made visible here; what HTML means by `<` is the template's and [`crate::json`]'s business.

use std::borrow::Cow;

/// The text with control characters, and those that turn the direction of writing, as visible signs.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\u{0}'..='\u{1f}' if hidden(c) => out.extend(char::from_u32(0x2400 + c as u32)),
            '\u{7f}' => out.push('\u{2421}'),
            c if hidden(c) => put!(out, "⟨U+{:04X}⟩", c as u32),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a character is not seen, or changes how others are.
pub(crate) fn hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // C0, DEL and C1; line and paragraph separators; marks, embeddings, overrides and isolates of direction; the
        // byte order mark; characters that are none.
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{2028}'..='\u{202e}' | '\u{200e}' | '\u{200f}' => true,
        '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        c => (c as u32) & 0xfffe == 0xfffe,
    }
}

/// The beginning of a text of more than `most` characters, with an ellipsis; cleaned.
pub(crate) fn short(text: &str, most: usize) -> String {
    let cut = match text.char_indices().nth(most) {
        Some(_) => {
            let end = text.char_indices().nth(most.saturating_sub(1)).map_or(0, |(at, _)| at);
            format!("{}…", text[..end].trim_end())
        }
        None => return clean(text).into_owned(),
    };
    clean(&cut).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(clean("a\u{0}b\u{1b}[31m\r\n"), "a␀b␛[31m␍\n");
        assert_eq!(clean("\u{202e}evil\u{2028}"), "⟨U+202E⟩evil⟨U+2028⟩");
        assert_eq!(clean("\u{85}\u{7f}\u{ffff}"), "⟨U+0085⟩␡⟨U+FFFF⟩");
        assert!(matches!(clean("Ünïcode 漢字 👩‍👩‍👧 <b>&amp;"), Cow::Borrowed(_)));
    }

    #[test]
    fn short_texts_stay_and_long_ones_are_cut_between_characters() {
        assert_eq!(short("äöü", 3), "äöü");
        assert_eq!(short("äöüß", 3), "äö…");
        assert_eq!(short("two words", 5), "two…");
        assert_eq!(short("", 0), "");
        assert_eq!(short("x", 0), "…");
    }
}
