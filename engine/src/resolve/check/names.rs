//! Names of parameters: those that are missing, and those that are unknown.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    super::phrases::{expectation, list},
    Walk, follow,
};
use crate::{
    diag::{did_you_mean, list_names},
    kind::{Meant, Synonym},
};

/// Unknown parameters of a stage for which the right ones are looked for.
const ADVISED: usize = 100;

impl<'s> Walk<'s, '_, '_> {
    pub(super) fn missing(&mut self, name: &str, schema: Option<&'s Value>) {
        let mut words = String::new();
        if let Some(schema) = schema {
            let target = follow(self.root, schema).unwrap_or(schema);
            if let Some(s) = target.as_object().filter(|s| s.contains_key("type")) {
                words = format!(", {}", expectation(s));
            }
            let docs = schema.get("description").or_else(|| target.get("description")).and_then(Value::as_str);
            if let Some(line) = docs.and_then(|d| d.lines().next()) {
                let _ = write!(words, ": {line}");
            }
        }
        let full = self.path.iter().map(AsRef::as_ref).chain([name]).collect::<Vec<_>>().join(".");
        self.report(
            "params::missing",
            format!("the parameter `{full}` is missing"),
            Some(format!("add `{name}`{words}")),
        );
    }

    /// A parameter that there is not; `value` is what it was given.
    pub(super) fn unknown(&mut self, name: &str, value: Option<&Value>, known: &[&'s str]) {
        let place = match self.path.len() {
            1 => "there is no parameter".to_owned(),
            n => format!("`{}` has no parameter", self.path[..n - 1].join(".")),
        };
        let meant = || {
            self.synonym(name, value, known)
                .or_else(|| did_you_mean(name, known.iter().copied()).map(|n| format!("did you mean `{n}`?")))
                .or_else(|| {
                    elsewhere(self.root, name)
                        .filter(|path| *path != self.path.join("."))
                        .map(|path| format!("did you mean `{path}`?"))
                })
                .or_else(|| (!known.is_empty()).then(|| format!("parameters: {}", list_names(known))))
        };
        // Help for the first of very many is enough.
        let help = if self.problems.len() < ADVISED { meant() } else { None };
        self.report("params::unknown", format!("{place} `{name}`"), help);
        if let Some(problem) = self.problems.last_mut() {
            problem.at_name = true;
        }
    }

    /// What a parameter of other programs is called here, beside the misspelt one or at the top; or why there is
    /// none.
    fn synonym(&self, name: &str, value: Option<&Value>, known: &[&str]) -> Option<String> {
        let given = match value {
            Some(Value::String(text)) if text.len() <= 40 && !text.contains('\n') => Some(text.clone()),
            Some(value @ Value::Number(_)) => self.written(value).or_else(|| Some(value.to_string())),
            Some(Value::Bool(yes)) => Some(yes.to_string()),
            _ => None,
        };
        let find = |known: &[&str]| {
            Synonym::find(self.synonyms, name, given.as_deref(), |parameter| known.contains(&parameter))
        };
        let told = |meant: Meant| {
            let because = if meant.because.is_empty() { String::new() } else { format!(" {}", meant.because) };
            match &*meant.value {
                "" => format!("did you mean `{}`?{because}", meant.parameter),
                value => format!("did you mean `{}: {value}`?{because}", meant.parameter),
            }
        };
        let meant = find(known).or_else(|| find(&known_names(self.root, self.root))).map(told);
        meant.or_else(|| Synonym::reason(self.synonyms, name).map(str::to_owned))
    }
}

/// All names that an object of this schema may have, through its parts.
pub(super) fn known_names<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s str> {
    fn collect<'s>(root: &'s Value, schema: &'s Value, depth: usize, names: &mut Vec<&'s str>) {
        if depth > 20 {
            return;
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            names.extend(properties.keys().map(String::as_str));
        }
        if let Some(target) = follow(root, schema) {
            collect(root, target, depth + 1, names);
        }
        for part in ["allOf", "anyOf", "oneOf"] {
            for sub in list(schema.get(part)) {
                collect(root, sub, depth + 1, names);
            }
        }
    }
    let mut names = Vec::new();
    collect(root, schema, 0, &mut names);
    names
}

/// Where else in the schema a parameter of that very name is: `lora.r` for `r`.
fn elsewhere(root: &Value, name: &str) -> Option<String> {
    fn find(root: &Value, schema: &Value, name: &str, depth: usize) -> Option<String> {
        let target = follow(root, schema).unwrap_or(schema);
        let branches = ["anyOf", "oneOf", "allOf"].into_iter().flat_map(|k| list(target.get(k)));
        let properties = target.get("properties").and_then(Value::as_object);
        if depth > 0 && properties.is_some_and(|p| p.contains_key(name)) {
            return Some(name.to_owned());
        }
        if depth > 4 {
            return None;
        }
        let mut nested = properties.into_iter().flatten();
        nested
            .find_map(|(field, sub)| Some(format!("{field}.{}", find(root, sub, name, depth + 1)?)))
            .or_else(|| branches.into_iter().find_map(|b| find(root, b, name, depth + 1)))
    }
    find(root, root, name, 0)
}
