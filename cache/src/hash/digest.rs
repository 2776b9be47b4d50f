//! Digests: 32 blake3 bytes, and a hasher whose encoding is unambiguous.
//!
//! Every field that enters a [`Hasher`] is preceded by a one-byte type tag and, where its size varies, by its length,
//! so that no two different sequences of fields give the same bytes (`"ab","c"` is not `"a","bc"`). The encoding is
//! part of the store's format: changing it changes every key.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A 256-bit blake3 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of plain bytes, without any framing (equal to `b3sum`).
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Wraps 32 bytes that already are a digest.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal digits: what people are shown.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest (64 hexadecimal digits)")]
pub struct ParseDigestError(String);

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(s).map(|h| Self(*h.as_bytes())).map_err(|_| ParseDigestError(s.to_owned()))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Builds a digest out of typed, self-delimiting fields. `domain` keeps digests of different things apart.
#[derive(Clone)]
pub struct Hasher {
    hasher: blake3::Hasher,
    /// What is not hashed yet: fields are a few bytes each, and blake3 takes kilobytes at a time.
    pending: Vec<u8>,
}

/// Bytes that are gathered at least before they are hashed.
const GATHERED: usize = 4096;

impl Hasher {
    /// A hasher for one kind of thing, for example `"pipe.key.v1"`.
    pub fn new(domain: &str) -> Self {
        let mut hasher = Self { hasher: blake3::Hasher::new(), pending: Vec::new() };
        hasher.str(domain);
        hasher
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) -> &mut Self {
        self.pending.push(tag);
        self.add(bytes)
    }

    fn add(&mut self, bytes: &[u8]) -> &mut Self {
        if bytes.len() < GATHERED {
            self.pending.extend_from_slice(bytes);
        }
        if bytes.len() >= GATHERED || self.pending.len() >= GATHERED {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
        if bytes.len() >= GATHERED {
            self.hasher.update(bytes);
        }
        self
    }

    /// A number.
    pub fn u64(&mut self, n: u64) -> &mut Self {
        self.tagged(b'u', &n.to_le_bytes())
    }

    /// Bytes, framed by their length.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.tagged(b'b', &(bytes.len() as u64).to_le_bytes());
        self.add(bytes)
    }

    /// A text, framed by its length.
    pub fn str(&mut self, text: &str) -> &mut Self {
        self.tagged(b's', &(text.len() as u64).to_le_bytes());
        self.add(text.as_bytes())
    }

    /// Another digest.
    pub fn digest(&mut self, digest: &Digest) -> &mut Self {
        self.tagged(b'd', &digest.0)
    }

    /// A JSON value in canonical form: object keys sorted, integers and floats told apart (`1` is not `1.0`).
    pub fn json(&mut self, value: &serde_json::Value) -> &mut Self {
        use serde_json::Value;
        match value {
            Value::Null => self.tagged(b'n', &[]),
            Value::Bool(b) => self.tagged(b't', &[u8::from(*b)]),
            Value::Number(n) => match (n.as_u64(), n.as_i64()) {
                (Some(u), _) => self.u64(u),
                (None, Some(i)) => self.tagged(b'i', &i.to_le_bytes()),
                (None, None) => self.tagged(b'f', &n.as_f64().unwrap_or(f64::NAN).to_bits().to_le_bytes()),
            },
            Value::String(s) => self.str(s),
            Value::Array(items) => {
                self.tagged(b'[', &(items.len() as u64).to_le_bytes());
                for item in items {
                    self.json(item);
                }
                self
            }
            Value::Object(map) => {
                self.tagged(b'{', &(map.len() as u64).to_le_bytes());
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(k, _)| *k);
                for (key, item) in entries {
                    self.str(key).json(item);
                }
                self
            }
        }
    }

    /// The digest of all fields so far.
    pub fn finish(&self) -> Digest {
        if self.pending.is_empty() {
            return Digest(*self.hasher.finalize().as_bytes());
        }
        if self.hasher.count() == 0 {
            return Digest(*blake3::hash(&self.pending).as_bytes());
        }
        let mut hasher = self.hasher.clone();
        Digest(*hasher.update(&self.pending).finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(f: impl FnOnce(&mut Hasher)) -> Digest {
        let mut h = Hasher::new("test");
        f(&mut h);
        h.finish()
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        assert_ne!(
            of(|h| {
                h.str("ab").str("c");
            }),
            of(|h| {
                h.str("a").str("bc");
            })
        );
        assert_ne!(
            of(|h| {
                h.str("a");
            }),
            of(|h| {
                h.bytes(b"a");
            })
        );
        assert_ne!(
            of(|h| {
                h.json(&json!([1, [2]]));
            }),
            of(|h| {
                h.json(&json!([[1], 2]));
            })
        );
    }

    #[test]
    fn json_ignores_key_order_but_not_number_type() {
        assert_eq!(
            of(|h| {
                h.json(&json!({"a": 1, "b": 2}));
            }),
            of(|h| {
                h.json(&json!({"b": 2, "a": 1}));
            })
        );
        assert_ne!(
            of(|h| {
                h.json(&json!(1));
            }),
            of(|h| {
                h.json(&json!(1.0));
            })
        );
        assert_ne!(
            of(|h| {
                h.json(&json!("1"));
            }),
            of(|h| {
                h.json(&json!(1));
            })
        );
    }

    #[test]
    fn hex_round_trips() {
        let d = Digest::of_bytes(b"x");
        assert_eq!(d.to_string().parse::<Digest>().unwrap(), d);
        assert!("xyz".parse::<Digest>().is_err());
    }
}
