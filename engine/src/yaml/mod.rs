//! YAML 1.2 as a tree in which every key and value knows its place in the file.
//!
//! What is accepted: one document, the core schema (`yes`, `on` and `2024-01-02` are strings, `0o17` and `0x1f` are
//! integers), anchors and aliases, merge keys (`<<: *defaults`; a key that is written out wins), and the `!!str`-style
//! core tags. What is refused, with its place: a second document, other tags, a key that is not a scalar, the same key
//! twice, integers beyond 64 bits, `.nan` and `.inf` (JSON has neither), tabs as indentation. A byte order mark and
//! CRLF line ends are fine.
//!
//! Hostile files are refused within milliseconds by the budgets below: events are counted while they are read, and an
//! alias is charged with the size of what it stands for before
//! anything is copied.

mod advice;
mod mapping;
mod parse;
mod scalar;

use serde_json::{Map, Number, Value};

use crate::diag::Span;

pub use parse::{parse, parse_at};

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// Most keys and values of a file, the beginnings and ends of lists and mappings counted.
pub const MAX_VALUES: usize = 2_000_000;
/// Deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;
/// Most that anchors and aliases of a file may stand for, together, as [`Tree::size`] counts.
pub const MAX_ALIASED: usize = 100_000;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Where it is written; for an alias, where the anchor is.
    pub span: Span,
    /// What it is.
    pub data: Data,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A 64-bit integer or a finite float, and how it is written: `3.10`, `1e-4`.
    Number(Number, Box<str>),
    /// Text.
    String(String),
    /// A sequence.
    List(Vec<Tree>),
    /// A mapping, in file order, without duplicates.
    Map(Vec<Entry>),
    /// Something that has been reported already; whoever meets it stays quiet.
    Invalid,
}

/// One `key: value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key's text; `1:` and `true:` are the texts `1` and `true`.
    pub key: String,
    /// Where the key is.
    pub key_span: Span,
    /// The value.
    pub value: Tree,
}

impl Tree {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.data {
            Data::String(s) => Some(s),
            _ => None,
        }
    }

    /// The text of a number, as it is written.
    pub fn numeral(&self) -> Option<&str> {
        match &self.data {
            Data::Number(_, written) => Some(written),
            _ => None,
        }
    }

    /// The entries, if it is a mapping.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.data {
            Data::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The entry of that key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.as_map()?.iter().find(|e| e.key == key)
    }

    /// What it is, for messages: `the number 3`, `a list`.
    pub fn describe(&self) -> String {
        match &self.data {
            Data::Null => "nothing".to_owned(),
            Data::Bool(b) => format!("`{b}`"),
            Data::Number(_, written) => format!("the number `{}`", shorten(written)),
            Data::String(s) => format!("the text `{}`", shorten(s)),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
            Data::Invalid => "something unreadable".to_owned(),
        }
    }

    /// Whether part of it has been reported as unreadable.
    pub fn has_invalid(&self) -> bool {
        match &self.data {
            Data::Invalid => true,
            Data::List(items) => items.iter().any(Tree::has_invalid),
            Data::Map(entries) => entries.iter().any(|e| e.value.has_invalid()),
            _ => false,
        }
    }

    /// What it costs to copy: 1 for each value, and for each 64 bytes of text.
    pub fn size(&self) -> usize {
        1 + match &self.data {
            Data::String(text) => text.len() / 64,
            Data::List(items) => items.iter().map(Self::size).sum(),
            Data::Map(entries) => entries.iter().map(|e| e.key.len() / 64 + e.value.size()).sum(),
            _ => 0,
        }
    }

    /// The value without its places.
    pub fn to_json(&self) -> Value {
        match &self.data {
            Data::Null | Data::Invalid => Value::Null,
            Data::Bool(b) => Value::Bool(*b),
            Data::Number(n, _) => Value::Number(n.clone()),
            Data::String(s) => Value::String(s.clone()),
            Data::List(items) => Value::Array(items.iter().map(Tree::to_json).collect()),
            Data::Map(entries) => {
                Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect::<Map<_, _>>())
            }
        }
    }
}

/// At most 40 characters of a text, on one line.
pub fn shorten(text: &str) -> String {
    const SHOWN: usize = 40;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN + 1).collect();
    if line.chars().count() > SHOWN { line.chars().take(SHOWN).chain(['…']).collect() } else { line }
}
