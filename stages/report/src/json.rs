//! Data inside the page: JSON that no text in it can end, or turn into markup.

use serde::Serialize;

use crate::text::hidden;

/// JSON for a `script` element that is not run. `<`, `>`, `&` and what cannot be seen stand only inside strings, where
/// they may be escaped.
pub(crate) fn embed(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let mut out = String::with_capacity(json.len() + json.len() / 64);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' => put!(out, "\\u{:04x}", c as u32),
            c if hidden(c) && c as u32 <= 0xffff => put!(out, "\\u{:04x}", c as u32),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// How many bytes a text takes there.
pub(crate) fn size(text: &str) -> usize {
    let of = |c: char| match c {
        '<' | '>' | '&' => 6,
        '"' | '\\' | '\n' | '\t' => 2,
        c if hidden(c) => 6,
        c => c.len_utf8(),
    };
    text.chars().map(of).sum::<usize>() + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_the_script_element() {
        let nasty = "</script><!--<script>\u{2028}&amp;\u{0}\"\\";
        let json = embed(&[nasty]).unwrap();
        assert!(!json.contains(['<', '>', '&', '\u{2028}', '\u{0}']), "{json}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [nasty]);
        assert_eq!(json.len(), size(nasty) - 1 + "[]".len());
    }
}
