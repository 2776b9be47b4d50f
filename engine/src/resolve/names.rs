//! Names of variants: readable, and usable as a file name and on a command line.

use std::collections::HashSet;

use pipe_cache::Digest;
use serde_json::Value;

use crate::spec::Factor;

/// Longest text of one level, in bytes.
const MAX_LEVEL: usize = 48;
/// Longest name, in bytes; file systems allow 255.
const MAX_NAME: usize = 160;
/// Digits of the digest that tells two equal names apart.
const DIGITS: usize = 6;

/// `factor=level` for each level of a factor, no two alike even where letter case is ignored.
pub fn level_names(factor: &Factor) -> Vec<String> {
    let mut taken = HashSet::new();
    let levels = factor.levels.iter().map(|level| {
        let text = match &level.value {
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        let mut name: String = text.chars().take(MAX_LEVEL + 1).map(plain).collect();
        if name.len() > MAX_LEVEL {
            name = with_digest(&name[..MAX_LEVEL - DIGITS - 1], &text);
        }
        // The kind of value tells `1` from `"1"`.
        let mut salt = format!("{}", level.value);
        while !taken.insert(name.to_lowercase()) {
            name = with_digest(name.split('~').next().unwrap_or(""), &salt);
            salt.push('.');
        }
        format!("{}={name}", factor.name)
    });
    levels.collect()
}

/// A variant's name from those of its levels; `baseline` if there are none.
pub fn join<'n>(levels: impl Iterator<Item = &'n str>) -> String {
    let mut name = String::new();
    for level in levels {
        if !name.is_empty() {
            name.push(',');
        }
        name.push_str(level);
    }
    if name.is_empty() {
        return super::variants::BASELINE.to_owned();
    }
    if name.len() > MAX_NAME {
        name = with_digest(&name[..MAX_NAME - DIGITS - 1], &name);
    }
    name
}

fn plain(c: char) -> char {
    if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-') { c } else { '-' }
}

fn with_digest(start: &str, whole: &str) -> String {
    let digest = Digest::of_bytes(whole.as_bytes()).to_string();
    format!("{start}~{}", &digest[..DIGITS])
}
