//! Numbers in JSON that a 64-bit type would change. The parser hands out what became of them; here they are read as
//! written.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    numbers,
    options::{ReadOptions, Wanted},
};

/// Fewer characters than this are kept whatever they are: 15 digits and a point.
const SHORT: usize = 16;
/// The parser's own limit; what is nested deeper was refused by it.
const MAX_DEPTH: usize = 128;

/// The members of an object in order, also those of one name.
pub(crate) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A member's name, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A number that would not survive.
pub(crate) struct Lost<'a> {
    /// Its text.
    pub written: &'a str,
    /// The column, outermost first: `meta.tags`.
    pub column: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// The first number of a row, in a column whose type is inferred, that would not survive. The row has been parsed
/// before.
pub(crate) fn lost_number<'a>(row: &'a str, options: &ReadOptions) -> Option<Lost<'a>> {
    if !may_hold_one(row.as_bytes()) {
        return None;
    }
    let Members(members) = serde_json::from_str(row).ok()?;
    let inferred = members.into_iter().filter(|(name, _)| options.wanted(name) == Wanted::Infer);
    inferred.into_iter().find_map(|(name, value)| in_value(value.get(), &name, 0))
}

fn in_value<'a>(value: &'a str, column: &str, depth: usize) -> Option<Lost<'a>> {
    if depth > MAX_DEPTH {
        return None;
    }
    match value.as_bytes().first()? {
        b'{' => {
            let Members(members) = serde_json::from_str(value).ok()?;
            members.into_iter().find_map(|(name, value)| in_value(value.get(), &format!("{column}.{name}"), depth + 1))
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
            items.into_iter().find_map(|item| in_value(item.get(), column, depth + 1))
        }
        b'-' | b'0'..=b'9' => {
            let message = problem(value)?;
            Some(Lost { written: value, column: column.to_owned(), message })
        }
        _ => None,
    }
}

fn problem(written: &str) -> Option<String> {
    let advice = "declare the column as `float`, `string` or `json`";
    if !written.contains(['.', 'e', 'E']) {
        return written.parse::<i64>().is_err().then(|| too_wide(written));
    }
    let kept = written.parse().is_ok_and(|value| numbers::keeps(written, value));
    (!kept).then(|| format!("{written} is more than a 64-bit float holds; {advice}"))
}

/// What is said of a whole number that is none of 64 bits with a sign.
pub(crate) fn too_wide(written: impl fmt::Display) -> String {
    format!("{written} does not fit 64 bits with a sign; declare the column as `float`, `string` or `json`")
}

/// Whether the text has as many digits in succession as a double may change, or a power of three digits below one.
fn may_hold_one(text: &[u8]) -> bool {
    let numeric = |b: &u8| b.is_ascii_digit() || *b == b'.';
    // A run of that length covers one of these places.
    let long = (0..text.len()).step_by(SHORT).any(|at| {
        numeric(&text[at]) && {
            let before = text[..at].iter().rev().take_while(|b| numeric(b)).take(SHORT).count();
            let after = text[at..].iter().take_while(|b| numeric(b)).take(SHORT).count();
            before + after >= SHORT
        }
    });
    let tiny = |mark: &[u8]| {
        memchr::memmem::find_iter(text, mark)
            .any(|at| text[at + 2..].iter().take_while(|b| b.is_ascii_digit()).count() > 2)
    };
    long || tiny(b"e-") || tiny(b"E-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_would_be_changed_are_found() {
        let check = |row: &str, expect: Option<&str>| {
            let found =
                lost_number(row, &ReadOptions::default()).map(|lost| format!("{}: {}", lost.column, lost.written));
            assert_eq!(found.as_deref(), expect, "{row}");
        };
        check(r#"{"a": 9223372036854775807, "b": -9223372036854775808}"#, None);
        check(r#"{"a": 1, "b": -9223372036854775809}"#, Some("b: -9223372036854775809"));
        check(
            r#"{"a": {"b": [1, {"c": 123456789012345678901234567890}]}}"#,
            Some("a.b.c: 123456789012345678901234567890"),
        );
        check(r#"{"a": "123456789012345678901234567890", "b": 3.141592653589793238}"#, None);
        check(r#"{"a": 12345678901234567.89}"#, Some("a: 12345678901234567.89"));
        check(r#"{"a": 1e-400}"#, Some("a: 1e-400"));
        check(r#"{"a": 1e-300, "b": 100000000000000000000.0, "c": 5e-324}"#, None);
    }
}
