//! Texts of others as people may see them: nothing that a terminal obeys, and no credentials.

use std::{borrow::Cow, fmt::Write as _};

use serde_json::Value;

/// What stands for a credential.
const HIDDEN: &str = "***";
/// Names in the query of an address whose values open doors.
const SECRET_NAMES: [&str; 13] = [
    "token",
    "access_token",
    "auth",
    "api_key",
    "apikey",
    "api-key",
    "key",
    "password",
    "secret",
    "sig",
    "signature",
    "x-amz-signature",
    "x-amz-security-token",
];

/// The text without credentials, and with control characters spelt out (`\x1b`); line ends and tabs stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    match redact(text) {
        Cow::Borrowed(text) => escape(text),
        Cow::Owned(text) => Cow::Owned(escape(&text).into_owned()),
    }
}

/// Whether a terminal may take the character for a command, or turns the text around it.
pub fn is_hostile(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Control characters, and those that change the direction of text, as escapes: `\x1b`, `\u{202e}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\r' => out.push_str("\\r"),
            c if is_hostile(c) && c.is_ascii() => drop(write!(out, "\\x{:02x}", c as u32)),
            c if is_hostile(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Addresses without user names, passwords and tokens: `https://***@host/path?token=***`.
pub fn redact(text: &str) -> Cow<'_, str> {
    let secrets = credentials(text);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    for secret in secrets {
        out.push_str(&text[copied..secret.start]);
        out.push_str(HIDDEN);
        copied = secret.end;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The same in all texts of a value, for a file that people pass on.
pub fn redacted(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(redact(text).into_owned()),
        Value::Array(items) => Value::Array(items.iter().map(redacted).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(name, value)| (name.clone(), redacted(value))).collect()),
        other => other.clone(),
    }
}

/// The text in as many bytes, with credentials and control characters blotted out: for what places point into.
pub fn blot(text: &str) -> String {
    let mut out = text.to_owned();
    for secret in credentials(text) {
        out.replace_range(secret.clone(), &"*".repeat(secret.len()));
    }
    let blot = |c: char| if is_hostile(c) && c != '\r' { "?".repeat(c.len_utf8()) } else { c.to_string() };
    if out.contains(is_hostile) { out.chars().map(blot).collect() } else { out }
}

/// Where credentials stand, in order.
fn credentials(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        let start = from + at + 3;
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '|' | '\\');
        let end = start + text[start..].find(is_end).unwrap_or(text.len() - start);
        let address = &text[start..end];
        let authority = &address[..address.find(['/', '?', '#']).unwrap_or(address.len())];
        // The last one: a password may hold an `@` itself.
        if let Some(user) = authority.rfind('@').filter(|&length| length > 0) {
            found.push(start..start + user);
        }
        let mut rest = start + authority.len();
        while let Some(mark) = text[rest..end].find(['?', '&', '#']) {
            rest += mark + 1;
            let part = &text[rest..end];
            let part = &part[..part.find(['&', '#']).unwrap_or(part.len())];
            if let Some((name, value)) = part.split_once('=')
                && SECRET_NAMES.contains(&name.to_ascii_lowercase().as_str())
                && !value.is_empty()
            {
                found.push(rest + name.len() + 1..rest + part.len());
            }
        }
        from = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_left_out() {
        let check = |text: &str, expect: &str| assert_eq!(redact(text), expect);
        check("failed: https://user:pass@host/a/b.csv", "failed: https://***@host/a/b.csv");
        check("s3://key:p@ss@bucket/x and ftp://u@h", "s3://***@bucket/x and ftp://***@h");
        check(
            "https://h/x?token=abc&n=1&X-Amz-Signature=ff#sig=a",
            "https://h/x?token=***&n=1&X-Amz-Signature=***#sig=***",
        );
        check("`hf://token@host`, \"https://h/a@b?q=c@d\"", "`hf://***@host`, \"https://h/a@b?q=c@d\"");
        check("mail a@b.c, ://, https://@h", "mail a@b.c, ://, https://@h");
        assert_eq!(blot("path: https://u:ä@h/x"), "path: https://****@h/x");
    }

    #[test]
    fn terminals_have_nothing_to_obey() {
        let check = |text: &str, expect: &str| assert_eq!(escape(text), expect);
        check("plain\n\ttext ä", "plain\n\ttext ä");
        check("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07");
        check("\u{9b}2J\u{202e}abc\u{7f}\r", "\\u{9b}2J\\u{202e}abc\\x7f\\r");
        assert_eq!(blot("a\x1bb\u{9b}c\u{202e}d\r\n"), "a?b??c???d\r\n");
    }
}
