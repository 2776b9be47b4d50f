//! Names of variants: readable, and usable as a file name and on a command line.

use std::collections::HashSet;

use pipe_cache::Digest;
use serde_json::Value;

use crate::{diag::redact, spec::Factor};

/// The name of the variant in which no factor differs from `vars`, and of a bundle's level that is none of its own.
pub(crate) const BASELINE: &str = "baseline";
/// Longest text of one level, in bytes.
const MAX_LEVEL: usize = 48;
/// Longest name, in bytes; file systems allow 255.
const MAX_NAME: usize = 160;
/// Digits of the digest that tells two equal names apart.
const DIGITS: usize = 6;

/// `factor=level` for each level of a factor, no two alike even where letter case is ignored.
pub(crate) fn level_names(factor: &Factor) -> Vec<String> {
    let mut taken = HashSet::new();
    let levels = factor.levels.iter().map(|level| {
        let mut name = value_name(&level.value);
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

/// Longest name of a trial, in bytes: it stands behind that of a variant.
const MAX_TRIAL: usize = 64;

/// A trial's name from what it sets.
pub(crate) fn trial(settings: &[String]) -> String {
    let name = settings.join(",");
    if name.len() > MAX_TRIAL { with_digest(&name[..MAX_TRIAL - DIGITS - 1], &name) } else { name }
}

/// A value as a part of a name.
pub(crate) fn value_name(value: &Value) -> String {
    let text = match value {
        Value::String(s) => s.clone(),
        other => other.to_string(),
    };
    let text = redact(&text);
    let name: String = text.chars().take(MAX_LEVEL + 1).map(plain).collect();
    if name.len() > MAX_LEVEL { with_digest(&name[..MAX_LEVEL - DIGITS - 1], &text) } else { name }
}

/// A variant's name from those of its levels; `baseline` if there are none.
pub(crate) fn join<'n>(levels: impl Iterator<Item = &'n str>) -> String {
    let mut name = String::new();
    for level in levels {
        if !name.is_empty() {
            name.push(',');
        }
        name.push_str(level);
    }
    if name.is_empty() {
        return BASELINE.to_owned();
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        diag::{Span, TextId},
        spec::{Level, Role},
    };

    fn names(values: &[Value]) -> Vec<String> {
        let span = Span::new(TextId::default(), 0, 0);
        let levels = values.iter().map(|v| Level { value: v.clone(), span, settings: Vec::new() }).collect();
        level_names(&Factor { name: "m".to_owned(), span, role: Role::Ablate, bundle: false, levels })
    }

    #[test]
    fn levels_become_file_names() {
        let check = |value: Value, expect: &str| assert_eq!(names(std::slice::from_ref(&value)), [expect], "{value}");
        check(json!("models/nano"), "m=models-nano");
        check(json!("a b,c=d"), "m=a-b-c-d");
        check(json!(".."), "m=..");
        check(json!(null), "m=null");
        check(json!(true), "m=true");
        check(json!(0.5), "m=0.5");
        check(json!(1e-9), "m=1e-9");
        check(json!("größe"), "m=gr--e");
        check(json!(""), "m=");
        check(json!([1, 2]), "m=-1-2-");
        check(json!({"r": 8}), "m=--r--8-");
    }

    #[test]
    fn long_levels_are_cut_and_stay_apart() {
        let all = names(&[json!("x".repeat(300)), json!("x".repeat(301)), json!("é".repeat(300))]);
        assert!(all.iter().all(|n| n.len() == "m=".len() + MAX_LEVEL), "{all:?}");
        assert_ne!(all[0], all[1]);
    }

    #[test]
    fn names_that_would_be_equal_are_told_apart() {
        let all = names(&[json!("x/y"), json!("x y"), json!("X-Y"), json!(1), json!("1")]);
        let lower: HashSet<String> = all.iter().map(|n| n.to_lowercase()).collect();
        assert_eq!(lower.len(), all.len(), "{all:?}");
        assert_eq!((all[0].as_str(), all[3].as_str()), ("m=x-y", "m=1"));
        assert!(all[1].starts_with("m=x-y~"), "{all:?}");
    }
}
