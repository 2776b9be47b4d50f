//! The part of the parameters that enters a stage's key: everything but what carries `x-operational` in the kind's
//! schema.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{
    check::{MAX_REFERENCES, fits, follow},
    phrases::list,
};

const MARK: &str = "x-operational";

/// What a kind's schema says of operational parameters, worked out once: of most parameters the name alone tells
/// whether they belong to the key, in every one of many thousand stages.
pub(crate) struct Semantics {
    any: bool,
    top: HashMap<String, Part>,
}

/// What of a parameter at the top enters the key.
enum Part {
    Nothing,
    Whole,
    /// To be looked at.
    Some,
}

impl Semantics {
    /// Of the parameters that `schema` describes.
    pub(crate) fn of(schema: &Value) -> Self {
        let part = |sub: &Value| match () {
            () if is_operational(schema, sub) => Part::Nothing,
            () if reaches_operational(schema, sub, MAX_REFERENCES) => Part::Some,
            () => Part::Whole,
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let top = properties.into_iter().flatten().map(|(name, sub)| (name.clone(), part(sub))).collect();
        Self { any: any_operational(schema), top }
    }

    /// The part of the parameters that enters the key; `None` where that is all of them.
    pub(crate) fn part(&self, schema: &Value, value: &Value) -> Option<Value> {
        if !self.any {
            return None;
        }
        let Value::Object(object) = value else { return Some(semantic(schema, schema, value)) };
        let mut kept = Map::with_capacity(object.len());
        for (name, field) in object {
            let part = match self.top.get(name) {
                Some(Part::Nothing) => None,
                Some(Part::Whole) => Some(field.clone()),
                Some(Part::Some) | None => member(schema, schema, name, field, value),
            };
            kept.extend(part.map(|part| (name.clone(), part)));
        }
        Some(Value::Object(kept))
    }
}

/// Whether any parameter of the schema is operational; if not, [`semantic`] is the identity.
fn any_operational(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.get(MARK) == Some(&Value::Bool(true)) || map.values().any(any_operational),
        Value::Array(items) => items.iter().any(any_operational),
        _ => false,
    }
}

/// As [`any_operational`], through references; what is too deep to tell counts.
fn reaches_operational(root: &Value, schema: &Value, references: usize) -> bool {
    match schema {
        Value::Object(map) => {
            let through = || match follow(root, schema) {
                Some(target) => references == 0 || reaches_operational(root, target, references - 1),
                None => map.contains_key("$ref"),
            };
            map.get(MARK) == Some(&Value::Bool(true))
                || map.values().any(|sub| reaches_operational(root, sub, references))
                || through()
        }
        Value::Array(items) => items.iter().any(|item| reaches_operational(root, item, references)),
        _ => false,
    }
}

/// What of an object's field enters the key.
fn member(root: &Value, schema: &Value, name: &str, field: &Value, object: &Value) -> Option<Value> {
    match property(root, schema, name, object) {
        Some(sub) if is_operational(root, sub) => None,
        Some(sub) => Some(semantic(root, sub, field)),
        None => Some(field.clone()),
    }
}

/// `value` without its operational parameters, at every depth.
fn semantic(root: &Value, schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object
                .iter()
                .filter_map(|(name, field)| Some((name.clone(), member(root, schema, name, field, value)?)));
            Value::Object(kept.collect())
        }
        Value::Array(items) => {
            let item =
                |i: usize| find(root, schema, value, &|s| list(s.get("prefixItems")).get(i).or_else(|| s.get("items")));
            let kept =
                items.iter().enumerate().map(|(i, v)| item(i).map_or_else(|| v.clone(), |s| semantic(root, s, v)));
            Value::Array(kept.collect())
        }
        other => other.clone(),
    }
}

fn is_operational(root: &Value, schema: &Value) -> bool {
    let marked = |s: &Value| s.get(MARK) == Some(&Value::Bool(true));
    marked(schema) || follow(root, schema).is_some_and(marked)
}

/// The schema of an object's field.
pub(crate) fn property<'s>(root: &'s Value, schema: &'s Value, name: &str, object: &Value) -> Option<&'s Value> {
    find(root, schema, object, &|s| s.get("properties").and_then(|p| p.get(name)))
        .or_else(|| find(root, schema, object, &|s| s.get("additionalProperties").filter(|a| a.is_object())))
}

/// The schema of a list's items.
pub(crate) fn items<'s>(root: &'s Value, schema: &'s Value, list: &Value) -> Option<&'s Value> {
    find(root, schema, list, &|s| s.get("items"))
}

/// The first answer of `get` among a schema and its parts; of a union's branches, those that fit the value come first.
fn find<'s>(
    root: &'s Value,
    schema: &'s Value,
    value: &Value,
    get: &dyn Fn(&'s Value) -> Option<&'s Value>,
) -> Option<&'s Value> {
    if let Some(found) = get(schema) {
        return Some(found);
    }
    if let Some(found) = follow(root, schema).and_then(|target| find(root, target, value, get)) {
        return Some(found);
    }
    if let Some(found) = list(schema.get("allOf")).iter().find_map(|s| find(root, s, value, get)) {
        return Some(found);
    }
    let branches: Vec<&Value> = ["oneOf", "anyOf"].into_iter().flat_map(|k| list(schema.get(k))).collect();
    let (fitting, others): (Vec<_>, Vec<_>) = branches.into_iter().partition(|s| fits(root, s, value));
    fitting.into_iter().chain(others).find_map(|s| find(root, s, value, get))
}

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};
    use serde::{Deserialize, Serialize};
    use serde_json::json;

    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Params {
        count: u32,
        #[schemars(extend("x-operational" = true))]
        batch: u32,
        inner: Option<Inner>,
        list: Vec<Inner>,
        method: Method,
        #[serde(flatten)]
        flat: Flat,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Inner {
        keep: bool,
        #[schemars(extend("x-operational" = true))]
        device: Option<Device>,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    enum Device {
        Cpu,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "snake_case")]
    enum Method {
        /// Here `threads` does not matter.
        A {
            #[schemars(extend("x-operational" = true))]
            threads: u32,
        },
        /// Here it does.
        B { threads: u32 },
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Flat {
        seed: u32,
        #[schemars(extend("x-operational" = true))]
        workers: u32,
    }

    #[test]
    fn operational_parameters_leave_the_key() {
        let schema = serde_json::to_value(schema_for!(Params)).unwrap();
        assert!(any_operational(&schema));
        let inner = json!({"keep": true, "device": "Cpu"});
        let check = |method: Value, kept: Value| {
            let value = json!({"count": 1, "batch": 8, "inner": inner, "list": [inner, inner], "method": method,
                               "seed": 1, "workers": 4});
            let expect = json!({"count": 1, "inner": {"keep": true}, "list": [{"keep": true}, {"keep": true}],
                                "method": kept, "seed": 1});
            assert_eq!(semantic(&schema, &schema, &value), expect);
            assert_eq!(Semantics::of(&schema).part(&schema, &value), Some(expect));
        };
        check(json!({"kind": "a", "threads": 2}), json!({"kind": "a"}));
        check(json!({"kind": "b", "threads": 2}), json!({"kind": "b", "threads": 2}));
    }

    #[test]
    fn plain_schemas_have_none() {
        #[derive(JsonSchema)]
        #[expect(dead_code, reason = "only its schema is used")]
        struct Plain {
            count: u32,
        }
        let schema = serde_json::to_value(schema_for!(Plain)).unwrap();
        assert!(!any_operational(&schema));
        assert_eq!(Semantics::of(&schema).part(&schema, &json!({"count": 1})), None);
    }
}
