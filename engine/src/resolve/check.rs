//! Parameters against a kind's JSON Schema, so that everything that is wrong comes out at once and in words.
//!
//! This is a walk over the part of JSON Schema (2020-12) that schemars writes for parameter structs: types,
//! properties, required, enums, unions, bounds, items and references. What it does not know it lets pass: the kind's
//! own parser has the last word. It is stricter in one point: a parameter that the schema does not name is refused
//! even if the kind forgot `deny_unknown_fields`.

use std::{borrow::Cow, collections::HashSet, fmt::Write as _};

use serde_json::{Map, Value};

use super::words::{describe, expectation, list, type_hint, type_name};
use crate::{
    diag::{did_you_mean, list_names},
    kind::Synonym,
};

/// Something wrong with a parameter.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// A stable name.
    pub code: &'static str,
    /// Where, from the parameters' root.
    pub path: Vec<String>,
    /// Whether the name itself is at fault (an unknown parameter).
    pub at_name: bool,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Schemas may refer to themselves; values are finite, but a reference to a reference is followed only so far.
const MAX_DEPTH: usize = 200;

/// Unknown parameters of a stage for which the right ones are looked for.
const ADVISED: usize = 100;

/// How a number is written that stands at a path, where its text is known.
pub(crate) type Numeral<'n> = dyn Fn(&[String]) -> Option<String> + 'n;

/// Everything that is wrong with `value`.
pub(crate) fn check(
    schema: &Value,
    value: &Value,
    synonyms: &'static [Synonym],
    numeral: &Numeral<'_>,
) -> Vec<Problem> {
    let mut walk = Walk { synonyms, numeral, ..Walk::new(schema) };
    walk.value(schema, value, false);
    walk.problems
}

/// The problem of a parameter that is named although the kind has none of that name.
pub(crate) fn unknown_name(schema: &Value, name: &str, synonyms: &'static [Synonym]) -> Option<Problem> {
    let known = known_names(schema, schema);
    if known.contains(&name) {
        return None;
    }
    let mut walk = Walk { synonyms, path: vec![Cow::Borrowed(name)], ..Walk::new(schema) };
    walk.unknown(name, &known);
    walk.problems.pop()
}

/// Whether `value` fits a part of the schema.
pub(crate) fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut walk = Walk::new(root);
    walk.value(schema, value, false);
    walk.problems.is_empty()
}

/// Follows `$ref: "#/..."`.
pub(crate) fn follow<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Value> {
    root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
}

struct Walk<'s, 'v, 'n> {
    root: &'s Value,
    synonyms: &'static [Synonym],
    numeral: &'n Numeral<'n>,
    path: Vec<Cow<'v, str>>,
    depth: usize,
    problems: Vec<Problem>,
}

impl<'s, 'v> Walk<'s, 'v, '_> {
    fn new(root: &'s Value) -> Self {
        Self { root, synonyms: &[], numeral: &|_| None, path: Vec::new(), depth: 0, problems: Vec::new() }
    }

    /// What a value is; numbers as they are written.
    fn describe(&self, value: &Value) -> String {
        match self.written(value) {
            Some(numeral) => format!("the number `{numeral}`"),
            None => describe(value),
        }
    }

    fn written(&self, value: &Value) -> Option<String> {
        let path = || self.path.iter().map(ToString::to_string).collect::<Vec<_>>();
        value.is_number().then(|| (self.numeral)(&path()))?
    }

    fn report(&mut self, code: &'static str, message: String, help: Option<String>) {
        self.problems.push(Problem {
            code,
            path: self.path.iter().map(ToString::to_string).collect(),
            at_name: false,
            message,
            help,
        });
    }

    /// `temperature` or `lora.r`; the whole is `the parameters`.
    fn subject(&self) -> String {
        if self.path.is_empty() { "the parameters".to_owned() } else { format!("`{}`", self.path.join(".")) }
    }

    /// `part` is set where another schema of the same object decides which names are known.
    fn value(&mut self, schema: &'s Value, value: &'v Value, part: bool) {
        let Some(s) = schema.as_object() else { return };
        if self.depth > MAX_DEPTH {
            return;
        }
        self.depth += 1;
        self.value_inner(schema, s, value, part);
        self.depth -= 1;
    }

    fn value_inner(&mut self, schema: &'s Value, s: &'s Map<String, Value>, value: &'v Value, part: bool) {
        if let Some(expected) = s.get("type")
            && !has_type(expected, value)
        {
            let message = format!("{} must be {}, not {}", self.subject(), expectation(s), self.describe(value));
            let help = type_hint(&type_name(expected), value, self.written(value));
            return self.report("params::type", message, help);
        }
        if let Some(choices) = choices(self.root, schema) {
            return self.choice(&choices, value);
        }
        let own_properties = s.get("properties").and_then(Value::as_object).filter(|p| !p.is_empty());
        let decided = part;
        let part = part || own_properties.is_some();
        if let Some(target) = follow(self.root, schema) {
            self.value(target, value, part);
        }
        for sub in list(s.get("allOf")) {
            self.value(sub, value, part);
        }
        for union in ["anyOf", "oneOf"] {
            if let Some(branches) = s.get(union).and_then(Value::as_array) {
                self.union(branches, value, part);
            }
        }
        match value {
            Value::Number(n) => self.bounds(s, n),
            Value::String(text) => self.length(s, text.chars().count(), ("minLength", "maxLength"), "characters"),
            Value::Array(items) => {
                self.length(s, items.len(), ("minItems", "maxItems"), "items");
                let fixed = list(s.get("prefixItems"));
                for (i, item) in items.iter().enumerate() {
                    if let Some(sub) = fixed.get(i).or_else(|| s.get("items")) {
                        self.path.push(Cow::Owned(i.to_string()));
                        self.value(sub, item, false);
                        self.path.pop();
                    }
                }
                if s.get("uniqueItems") == Some(&Value::Bool(true))
                    && let Some(twice) = twice(items)
                {
                    let message = format!("{} holds {} twice", self.subject(), describe(twice));
                    self.report("params::repeated", message, None);
                }
            }
            Value::Object(object) => self.object(schema, s, own_properties, object, decided),
            _ => {}
        }
    }

    fn object(
        &mut self,
        schema: &'s Value,
        s: &'s Map<String, Value>,
        properties: Option<&'s Map<String, Value>>,
        object: &'v Map<String, Value>,
        decided: bool,
    ) {
        // An outer schema of the same object that has properties itself decides about unknown names, for all its parts.
        let decides = properties.is_some() && !decided;
        let mut known = None;
        let mut meant = Vec::new();
        for (name, value) in object {
            self.path.push(Cow::Borrowed(name));
            if let Some(sub) = properties.and_then(|p| p.get(name)) {
                self.value(sub, value, false);
            } else if let Some(extra) = s.get("additionalProperties").filter(|a| a.is_object()) {
                self.value(extra, value, false);
            } else if decides
                && s.get("additionalProperties") != Some(&Value::Bool(true))
                && !s.contains_key("patternProperties")
            {
                let known = known.get_or_insert_with(|| known_names(self.root, schema));
                if !known.contains(&name.as_str()) {
                    meant.extend(did_you_mean(name, known.iter().copied()));
                    self.unknown(name, known);
                }
            }
            self.path.pop();
        }
        for required in list(s.get("required")).iter().filter_map(Value::as_str) {
            // A misspelt name has been reported as such.
            if !object.contains_key(required) && !meant.contains(&required) {
                self.missing(required, properties.and_then(|p| p.get(required)));
            }
        }
    }

    fn missing(&mut self, name: &str, schema: Option<&'s Value>) {
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

    fn unknown(&mut self, name: &str, known: &[&'s str]) {
        let place = match self.path.len() {
            1 => "there is no parameter".to_owned(),
            n => format!("`{}` has no parameter", self.path[..n - 1].join(".")),
        };
        let meant = || {
            self.synonym(name, known)
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

    /// What a parameter of other programs is called here, beside the misspelt one or at the top.
    fn synonym(&self, name: &str, known: &[&str]) -> Option<String> {
        let told = |(parameter, value): (&str, &str)| match value {
            "" => format!("did you mean `{parameter}`?"),
            value => format!("did you mean `{parameter}: {value}`?"),
        };
        let here = Synonym::find(self.synonyms, name, |parameter| known.contains(&parameter));
        let top = || {
            let known = known_names(self.root, self.root);
            Synonym::find(self.synonyms, name, |parameter| known.contains(&parameter))
        };
        here.or_else(top).map(told)
    }

    fn choice(&mut self, choices: &[&'s Value], value: &Value) {
        if choices.contains(&value) {
            return;
        }
        let names: Vec<String> =
            choices.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let message = format!("{} cannot be {}", self.subject(), self.describe(value));
        let near = value.as_str().and_then(|v| did_you_mean(v, names.iter().copied()));
        let help = match near {
            Some(name) => format!("did you mean `{name}`? It is one of {}", list_names(&names)),
            None => format!("it is one of {}", list_names(&names)),
        };
        self.report("params::choice", message, Some(help));
    }

    /// Reports nothing if a branch fits; otherwise the problems of the branch that was probably meant.
    fn union(&mut self, branches: &'s [Value], value: &'v Value, part: bool) {
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

    fn bounds(&mut self, s: &'s Map<String, Value>, n: &serde_json::Number) {
        let Some(x) = n.as_f64() else { return };
        let bound = |key: &str| s.get(key).and_then(Value::as_f64);
        let below = bound("minimum").is_some_and(|m| x < m) || bound("exclusiveMinimum").is_some_and(|m| x <= m);
        let above = bound("maximum").is_some_and(|m| x > m) || bound("exclusiveMaximum").is_some_and(|m| x >= m);
        if below || above {
            let written = self.written(&Value::Number(n.clone())).unwrap_or_else(|| n.to_string());
            let message = format!("{} must be {}, not `{written}`", self.subject(), expectation(s));
            self.report("params::range", message, None);
        }
    }

    fn length(&mut self, s: &'s Map<String, Value>, length: usize, (min, max): (&str, &str), unit: &str) {
        let bound = |key: &str| s.get(key).and_then(Value::as_u64);
        let problem = match (bound(min), bound(max)) {
            (Some(min), _) if (length as u64) < min => format!("at least {min}"),
            (_, Some(max)) if length as u64 > max => format!("at most {max}"),
            _ => return,
        };
        let message = format!("{} must have {problem} {unit}, not {length}", self.subject());
        self.report("params::range", message, None);
    }
}

fn twice(items: &[Value]) -> Option<&Value> {
    let mut seen = HashSet::new();
    items.iter().find(|item| !seen.insert(item.to_string()))
}

fn choice_names(choices: &[&Value]) -> String {
    let names: Vec<String> = choices.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect();
    list_names(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

/// All names that an object of this schema may have, through its parts.
pub(crate) fn known_names<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s str> {
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

/// The values of an enumeration, however it is written; `None` if the schema is none.
fn choices<'s>(root: &'s Value, schema: &'s Value) -> Option<Vec<&'s Value>> {
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

fn has_type(expected: &Value, value: &Value) -> bool {
    let is = |t: &str| match t {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    };
    match expected {
        Value::String(t) => is(t),
        Value::Array(types) => types.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}
