//! The smallest parameters that a kind takes: what its ports are where nothing special is asked for.

use serde_json::{Map, Value, json};

use super::{DynKind, Ports};

/// The ports of a stage with the smallest parameters; `None` where none could be made up.
pub fn usual_ports(kind: &dyn DynKind) -> Option<Ports> {
    let schema = kind.schema().to_value();
    let params = kind.parse(&smallest(&schema, &schema, 0)).ok()?.0;
    Some(kind.ports(&params))
}

/// The smallest value that a schema describes: required properties, first choices.
fn smallest(schema: &Value, root: &Value, depth: usize) -> Value {
    const DEPTH: usize = 8;
    if depth > DEPTH {
        return Value::Null;
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    if let Some(target) = schema["$ref"].as_str().and_then(|target| root.pointer(target.strip_prefix('#')?)) {
        return smallest(target, root, depth + 1);
    }
    for key in ["enum", "oneOf", "anyOf"] {
        if let Some(first) = schema[key].as_array().and_then(|choices| choices.first()) {
            return if key == "enum" { first.clone() } else { smallest(first, root, depth + 1) };
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let property = |name: &str| (name.to_owned(), smallest(&schema["properties"][name], root, depth + 1));
            Value::Object(required.map(property).collect::<Map<_, _>>())
        }
        Some("array") => json!([]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        Some("boolean") => json!(false),
        Some("string") => json!("x"),
        _ => Value::Null,
    }
}
