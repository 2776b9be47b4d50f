//! Enumerations and unions: which of them was meant, and what is wrong with that one.

use std::borrow::Cow;

use serde_json::Value;

use super::{super::phrases::expectation, Problem, Walk, follow};
use crate::{
    diag::{did_you_mean, list_names},
    kind::Synonym,
};

impl<'s, 'v> Walk<'s, 'v, '_> {
    pub(super) fn choice(&mut self, choices: &[&'s Value], value: &Value) {
        if choices.contains(&value) {
            return;
        }
        let names: Vec<String> =
            choices.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let message = format!("{} cannot be {}", self.subject(), self.describe(value));
        let near = value.as_str().and_then(|v| {
            let elsewhere = Synonym::find(self.synonyms, v, None, |ours| names.contains(&ours));
            elsewhere.map(|meant| meant.parameter).or_else(|| did_you_mean(v, names.iter().copied()))
        });
        let help = match near {
            Some(name) => format!("did you mean `{name}`? It is one of {}", list_names(&names)),
            None => format!("it is one of {}", list_names(&names)),
        };
        self.report("params::choice", message, Some(help));
    }

    /// Reports nothing if a branch fits; otherwise the problems of the branch that was probably meant.
    pub(super) fn union(&mut self, branches: &'s [Value], value: &'v Value, part: bool) {
        let mut tried = Vec::new();
        for branch in branches {
            let before = self.problems.len();
            self.value(branch, value, part);
            let problems = self.problems.split_off(before);
            if problems.is_empty() {
                return;
            }
            tried.push((branch, problems));
        }
        tried.retain(|(branch, _)| !is_null(branch));
        if let Some(both) = self.exclusive(tried.iter().map(|(branch, _)| *branch), value) {
            let message = format!("{} takes one of {}, not more", self.subject(), list_names(&both));
            return self.report("params::exclusive", message, Some("keep one of them".to_owned()));
        }
        if tried.len() > 1
            && let Some((tag, choices)) = self.tags(tried.iter().map(|(branch, _)| *branch), value)
        {
            if let Some(given) = value.get(tag) {
                self.path.push(Cow::Owned(tag.to_owned()));
                self.choice(&choices, given);
                self.path.pop();
            } else {
                self.missing(tag, None);
                if let Some(problem) = self.problems.last_mut() {
                    problem.help = Some(format!("add `{tag}`, one of {}", choice_names(&choices)));
                }
            }
            return;
        }
        let meant = |branch: &Value| self.meant(branch, value);
        if let Some(i) = tried.iter().position(|(branch, _)| meant(branch)) {
            tried.swap(0, i);
            tried.truncate(1);
        }
        // A branch of the right type says more than one of another type.
        let depth = self.path.len();
        let right_type =
            |problems: &[Problem]| !problems.iter().any(|p| p.code == "params::type" && p.path.len() == depth);
        if tried.len() > 1 && tried.iter().any(|(_, p)| right_type(p)) {
            tried.retain(|(_, p)| right_type(p));
        }
        if tried.len() > 1 && tried.iter().all(|(_, p)| !right_type(p)) {
            let mut expected: Vec<String> = tried.iter().map(|(b, _)| self.expects(b)).collect();
            expected.dedup();
            let message = format!("{} must be {}, not {}", self.subject(), expected.join(" or "), self.describe(value));
            return self.report("params::type", message, None);
        }
        if let Some((_, problems)) = tried.into_iter().min_by_key(|(_, problems)| problems.len()) {
            self.problems.extend(problems);
        }
    }

    /// The fields of an object each of which is all that another branch has: `epochs` and `steps`.
    fn exclusive(&self, branches: impl Iterator<Item = &'s Value>, value: &'v Value) -> Option<Vec<&'s str>> {
        let object = value.as_object()?;
        let only = branches.filter_map(|branch| {
            let properties = follow(self.root, branch).unwrap_or(branch).get("properties")?.as_object()?;
            let (name, _) = properties.iter().next().filter(|_| properties.len() == 1)?;
            object.contains_key(name).then_some(name.as_str())
        });
        let mut only: Vec<&str> = only.collect();
        only.dedup();
        (only.len() > 1).then_some(only)
    }

    /// The field by which all branches tell themselves apart and its constants, if the object has none of these.
    fn tags(&self, branches: impl Iterator<Item = &'s Value>, value: &Value) -> Option<(&'s str, Vec<&'s Value>)> {
        let object = value.as_object()?;
        let mut tag = None;
        let mut choices = Vec::new();
        for branch in branches {
            let properties = follow(self.root, branch).unwrap_or(branch).get("properties")?.as_object()?;
            let (name, constant) = properties.iter().find_map(|(name, s)| Some((name.as_str(), s.get("const")?)))?;
            if *tag.get_or_insert(name) != name || object.get(name) == Some(constant) {
                return None;
            }
            choices.push(constant);
        }
        Some((tag?, choices))
    }

    /// Whether an object says itself which branch it is: by a constant field, or by its only field.
    fn meant(&self, branch: &Value, value: &Value) -> bool {
        let branch = follow(self.root, branch).unwrap_or(branch);
        let (Some(properties), Some(object)) = (branch.get("properties").and_then(Value::as_object), value.as_object())
        else {
            return false;
        };
        let mut constants = properties.iter().filter_map(|(name, s)| Some((name, s.get("const")?))).peekable();
        if constants.peek().is_some() {
            return constants.all(|(name, constant)| object.get(name) == Some(constant));
        }
        properties.len() == 1 && object.len() == 1 && object.keys().eq(properties.keys())
    }

    fn expects(&self, branch: &Value) -> String {
        let target = follow(self.root, branch).unwrap_or(branch);
        target.as_object().map_or_else(|| "something else".to_owned(), expectation)
    }
}

fn choice_names(choices: &[&Value]) -> String {
    let names: Vec<String> = choices.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect();
    list_names(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The values of an enumeration, however it is written; `None` if the schema is none.
pub(super) fn choices<'s>(root: &'s Value, schema: &'s Value) -> Option<Vec<&'s Value>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Some(values.iter().collect());
    }
    if let Some(value) = schema.get("const") {
        return Some(vec![value]);
    }
    let branches = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)?;
    let mut all = Vec::new();
    for branch in branches {
        let target = follow(root, branch).unwrap_or(branch);
        // `const` or `enum` directly, so that this does not run in circles.
        match (target.get("const"), target.get("enum").and_then(Value::as_array)) {
            (Some(value), _) => all.push(value),
            (None, Some(values)) => all.extend(values),
            (None, None) => return None,
        }
    }
    Some(all)
}

fn is_null(branch: &Value) -> bool {
    branch.get("type").and_then(Value::as_str) == Some("null") || branch.get("const") == Some(&Value::Null)
}
