//! Parameters against a kind's JSON Schema, so that everything that is wrong comes out at once and in words.
//!
//! This is a walk over the part of JSON Schema (2020-12) that schemars writes for parameter structs: types,
//! properties, required, enums, unions, bounds, items and references. What it does not know it lets pass: the kind's
//! own parser has the last word. It is stricter in one point: a parameter that the schema does not name is refused
//! even if the kind forgot `deny_unknown_fields`.

mod names;
mod plain;
mod union;

use std::{borrow::Cow, collections::HashSet};

use serde_json::{Map, Value};

pub(crate) use self::plain::Plain;
use self::{names::known_names, union::choices};
use super::phrases::{describe, expectation, list, type_hint, type_name};
use crate::{diag::did_you_mean, kind::Synonym};

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
    walk.unknown(name, None, &known);
    walk.problems.pop()
}

/// Whether `value` fits a part of the schema.
pub(crate) fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let mut walk = Walk::new(root);
    walk.value(schema, value, false);
    walk.problems.is_empty()
}

/// References that are followed one after the other, where a schema is looked at without a value.
pub(crate) const MAX_REFERENCES: usize = 8;

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
                    self.unknown(name, Some(value), known);
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
