//! A plain evaluator of JSON Schema: yes or no, for the keywords that our schemas use; any other keyword fails the
//! test.

use serde_json::Value;

/// Whether `value` is valid under the whole schema.
pub(crate) fn is_valid(root: &Value, value: &Value) -> bool {
    valid(root, root, value)
}

fn valid(root: &Value, schema: &Value, value: &Value) -> bool {
    let Some(keywords) = schema.as_object() else { return schema != &Value::Bool(false) };
    let get = |key: &str| keywords.get(key);
    keywords.iter().all(|(keyword, k)| match keyword.as_str() {
        "$ref" => valid(root, root.pointer(&k.as_str().unwrap()[1..]).expect("references lead somewhere"), value),
        "type" => match k {
            Value::Array(types) => types.iter().any(|t| has_type(t.as_str().unwrap(), value)),
            one => has_type(one.as_str().unwrap(), value),
        },
        "const" => k == value,
        "enum" => k.as_array().unwrap().contains(value),
        "allOf" => k.as_array().unwrap().iter().all(|s| valid(root, s, value)),
        "anyOf" => k.as_array().unwrap().iter().any(|s| valid(root, s, value)),
        "oneOf" => k.as_array().unwrap().iter().filter(|s| valid(root, s, value)).count() == 1,
        "if" => !valid(root, k, value) || valid(root, get("then").unwrap(), value),
        "pattern" => value.as_str().is_none_or(|text| regex::Regex::new(k.as_str().unwrap()).unwrap().is_match(text)),
        "minimum" => value.as_f64().is_none_or(|x| x >= k.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|x| x <= k.as_f64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|v| valid(root, k, v))),
        "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= k.as_u64().unwrap()),
        "minProperties" => value.as_object().is_none_or(|map| map.len() as u64 >= k.as_u64().unwrap()),
        "required" => value
            .as_object()
            .is_none_or(|map| k.as_array().unwrap().iter().all(|n| map.contains_key(n.as_str().unwrap()))),
        "properties" => {
            value.as_object().is_none_or(|map| map.iter().all(|(n, v)| k.get(n).is_none_or(|s| valid(root, s, v))))
        }
        "propertyNames" => {
            value.as_object().is_none_or(|map| map.keys().all(|n| valid(root, k, &Value::String(n.clone()))))
        }
        "additionalProperties" => value.as_object().is_none_or(|map| {
            let listed = |name: &str| get("properties").is_some_and(|p| p.get(name).is_some());
            map.iter().filter(|(n, _)| !listed(n)).all(|(_, v)| valid(root, k, v))
        }),
        "then" | "$schema" | "$defs" | "definitions" | "title" | "description" | "default" | "examples" | "format"
        | "x-operational" | "x-path" | "x-path-of" | "x-words" | "x-folder" => true,
        other => panic!("the evaluator does not know `{other}`"),
    })
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("`{other}` is no type"),
    }
}
