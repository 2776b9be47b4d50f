//! The part of the parameters that enters a stage's key: everything but what carries `x-operational` in the kind's
//! schema.

use serde_json::Value;

use super::{
    check::{fits, follow},
    phrases::list,
};

const MARK: &str = "x-operational";

/// Whether any parameter of the schema is operational; if not, [`semantic`] is the identity.
pub(crate) fn any_operational(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => map.get(MARK) == Some(&Value::Bool(true)) || map.values().any(any_operational),
        Value::Array(items) => items.iter().any(any_operational),
        _ => false,
    }
}

/// `value` without its operational parameters, at every depth.
pub(crate) fn semantic(root: &Value, schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.iter().filter_map(|(name, field)| match property(root, schema, name, value) {
                Some(sub) if is_operational(root, sub) => None,
                Some(sub) => Some((name.clone(), semantic(root, sub, field))),
                None => Some((name.clone(), field.clone())),
            });
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
        assert!(!any_operational(&serde_json::to_value(schema_for!(Plain)).unwrap()));
    }
}
