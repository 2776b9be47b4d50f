//! Words for values and schemas, for messages about parameters.

use serde_json::{Map, Value};

use crate::yaml::shorten;

/// The items of a JSON array; none if it is no array.
pub(crate) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What a value is: `` the text `abc` ``, `a list`.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(b) => format!("`{b}`"),
        Value::Number(n) => format!("the number `{n}`"),
        Value::String(s) => format!("the text `{}`", shorten(s)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}

/// The type that is expected, `null` aside.
pub(crate) fn type_name(expected: &Value) -> String {
    match expected {
        Value::String(t) => t.clone(),
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).find(|t| *t != "null").unwrap_or("null").to_owned()
        }
        _ => String::new(),
    }
}

/// What a schema asks for: `a whole number from 1 to 9`.
pub(crate) fn expectation(schema: &Map<String, Value>) -> String {
    let words = |t: &str| match t {
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a mapping",
        "null" => "nothing",
        _ => "something else",
    };
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(t)) => vec![t],
        Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        _ if schema.contains_key("properties") => vec!["object"],
        _ if schema.contains_key("enum") || schema.contains_key("const") => vec!["string"],
        _ => Vec::new(),
    };
    if types.is_empty() {
        return "something else".to_owned();
    }
    let mut text = types.iter().map(|t| words(t)).collect::<Vec<_>>().join(" or ");
    // `2` for the `2.0` that schemars writes.
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let range = match (bound("minimum"), bound("exclusiveMinimum"), bound("maximum"), bound("exclusiveMaximum")) {
        (Some(min), _, Some(max), _) => format!(" from {min} to {max}"),
        (Some(min), _, None, Some(max)) => format!(" from {min} to below {max}"),
        (None, Some(min), Some(max), _) => format!(" above {min}, up to {max}"),
        (None, Some(min), None, Some(max)) => format!(" between {min} and {max}, neither included"),
        (Some(min), _, None, None) => format!(", {min} or more"),
        (None, Some(min), None, None) => format!(" above {min}"),
        (None, None, Some(max), _) => format!(" up to {max}"),
        (None, None, None, Some(max)) => format!(" below {max}"),
        (None, None, None, None) => String::new(),
    };
    text.push_str(&range);
    text
}

/// What to do about a value of the wrong type, where that is known. `written` is how a number is written.
pub(crate) fn type_hint(expected: &str, given: &Value, written: Option<String>) -> Option<String> {
    match (expected, given) {
        ("integer" | "number", Value::String(s)) if s.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
            Some(format!("write {} without quotes", s.trim()))
        }
        ("integer" | "number", Value::String(s)) if s.replace('_', "").parse::<f64>().is_ok() => {
            Some(format!("YAML knows no `_` in numbers: write {}", s.replace('_', "")))
        }
        ("integer", Value::Number(n)) => {
            let x = n.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 1e15)?;
            Some(format!("write `{x:.0}`"))
        }
        ("boolean", Value::String(s)) => match s.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`; in YAML 1.2 anything else is a text".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`; in YAML 1.2 anything else is a text".to_owned()),
            _ => None,
        },
        ("string", Value::Number(_) | Value::Bool(_)) => {
            Some(format!("quote it: \"{}\"", written.unwrap_or_else(|| given.to_string())))
        }
        ("array", Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
            Some(format!("write a list: [{}]", written.unwrap_or_else(|| given.to_string())))
        }
        _ => None,
    }
}
