//! JSON as other programs write it: with a byte order mark (Windows), with `NaN` and `Infinity` (Python's `json`).

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// A `T`, whose error says where in the document it is.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_path_to_error::Error<serde_json::Error>> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&plain(text)))
}

/// The text without byte order mark, and with `null` for numbers that JSON has none of.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    const NO_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !NO_NUMBERS.iter().any(|word| text.contains(word)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut in_string, mut escaped) = (text, false, false);
    while let Some(c) = rest.chars().next() {
        if !in_string && let Some(word) = NO_NUMBERS.iter().find(|word| rest.starts_with(**word)) {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && c == '\\' && !escaped;
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out.into()
}

/// A token's id; what is negative (-1, "none") or null is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id(pub Option<u32>);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Id;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a token id")
            }

            fn visit_u64<E: serde::de::Error>(self, id: u64) -> Result<Id, E> {
                u32::try_from(id).map(|id| Id(Some(id))).map_err(|_| E::custom(format!("{id} is no token id")))
            }

            fn visit_i64<E: serde::de::Error>(self, id: i64) -> Result<Id, E> {
                if id < 0 { Ok(Id(None)) } else { self.visit_u64(id.unsigned_abs()) }
            }

            fn visit_f64<E: serde::de::Error>(self, id: f64) -> Result<Id, E> {
                if id.fract() == 0.0 && id.abs() < 1e15 {
                    self.visit_i64(id as i64)
                } else {
                    Err(E::custom("not whole"))
                }
            }

            fn visit_unit<E: serde::de::Error>(self) -> Result<Id, E> {
                Ok(Id(None))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_writes_is_read() {
        for (text, expect) in [
            ("\u{feff}{\"a\": 1}", "{\"a\": 1}"),
            (r#"{"a": NaN, "b": [-Infinity, Infinity]}"#, r#"{"a": null, "b": [null, null]}"#),
            (r#"{"NaN": "Infinity \" NaN", "b": NaN}"#, r#"{"NaN": "Infinity \" NaN", "b": null}"#),
            (r#"{"a": "\\", "b": NaN}"#, r#"{"a": "\\", "b": null}"#),
        ] {
            assert_eq!(plain(text), expect);
        }
        let ids: Vec<Id> = parse("[3, -1, null, 4.0]").unwrap();
        assert_eq!(ids.iter().map(|id| id.0).collect::<Vec<_>>(), [Some(3), None, None, Some(4)]);
        assert!(parse::<Vec<Id>>("[4294967296]").is_err() && parse::<Id>("1.5").is_err());
    }
}
