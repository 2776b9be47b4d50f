//! JSON files that notice their own damage: the first field, `check`, is the digest of all bytes behind it.
//!
//! They stay plain JSON for other programs; a single flipped bit in a digest or a name is noticed all the same.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::hash::Digest;

const PREFIX: &[u8] = b"{\"check\":\"";
const AFTER: &[u8] = b"\",";

/// Why bytes are not a checked JSON file of the expected type.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Damaged, with the reason.
    Damaged(String),
    /// Whole, but of that format, which is newer than `newest`.
    Future(u32),
}

/// The bytes of a checked JSON file. `value` must be a struct or map with at least one field.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    let body = serde_json::to_vec_pretty(value).expect("plain data serialises to JSON");
    let rest = &body[1..];
    let check = Digest::of_bytes(rest).to_string();
    [PREFIX, check.as_bytes(), AFTER, rest, b"\n"].concat()
}

/// Reads a checked JSON file whose `format` field is at most `newest`.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], newest: u32) -> Result<T, Broken> {
    // A newer version may check itself in another way, so its format is looked for in any JSON that is not in this
    // form.
    let format = |json: &[u8]| {
        let format = serde_json::from_slice::<Format>(json).ok()?.format;
        Some(format).filter(|f| *f > newest)
    };
    let rest = match split(bytes) {
        Some((check, rest)) if Digest::of_bytes(rest) == check => rest,
        None if bytes.is_empty() => return Err(Broken::Damaged("it is empty".to_owned())),
        other => {
            let future = if other.is_none() { format(bytes) } else { None };
            let damaged = || Broken::Damaged("its bytes do not match the check at its beginning".to_owned());
            return Err(future.map_or_else(damaged, Broken::Future));
        }
    };
    let body = [b"{", rest].concat();
    if let Some(future) = format(&body) {
        return Err(Broken::Future(future));
    }
    serde_json::from_slice(&body).map_err(|e| Broken::Damaged(format!("it is not as this version writes it: {e}")))
}

/// Of any version's file.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

fn split(bytes: &[u8]) -> Option<(Digest, &[u8])> {
    let rest = bytes.strip_prefix(PREFIX)?;
    let (hex, rest) = rest.split_at_checked(64)?;
    let rest = rest.strip_prefix(AFTER)?.strip_suffix(b"\n")?;
    Some((std::str::from_utf8(hex).ok()?.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn is_json_and_reads_back() {
        let value = json!({"format": 1, "b": [1, 2]});
        let bytes = encode(&value);
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["b"], json!([1, 2]));
        assert_eq!(decode::<Value>(&bytes, 1).unwrap(), value);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = encode(&json!({"format": 1, "digest": "abc"}));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut broken = bytes.clone();
                broken[at] ^= 1 << bit;
                // A flip of letter case in the check's hexadecimal digits leaves the same check.
                if !broken.eq_ignore_ascii_case(&bytes) || at >= 10 + 64 {
                    assert!(decode::<Value>(&broken, 1).is_err(), "byte {at} bit {bit}");
                }
            }
        }
        assert!(decode::<Value>(&bytes[..bytes.len() / 2], 1).is_err());
    }

    #[test]
    fn the_future_is_told_from_damage() {
        assert_eq!(decode::<Value>(&encode(&json!({"format": 7})), 1), Err(Broken::Future(7)));
        assert_eq!(decode::<Value>(br#"{"seal": 1, "format": 9}"#, 1), Err(Broken::Future(9)));
        assert!(matches!(decode::<Value>(b"garbage", 1), Err(Broken::Damaged(_))));
        let flipped =
            String::from_utf8(encode(&json!({"format": 1}))).unwrap().replace("\"format\": 1", "\"format\": 3");
        assert!(
            matches!(decode::<Value>(flipped.as_bytes(), 1), Err(Broken::Damaged(_))),
            "a flipped bit is no future"
        );
    }
}
