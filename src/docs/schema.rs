//! Parameters out of a JSON Schema, in the words of those who write pipelines.

use serde_json::Value;

use super::{ParamDoc, one_line};

/// How deep parameters inside parameters are listed.
const DEPTH: usize = 4;

pub(super) fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// A value as JSON; lists with room between their items, so that a line can end there.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// The properties of an object, each with its own inside it.
pub(super) fn parameters(object: &Value, root: &Value, depth: usize) -> Vec<ParamDoc> {
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // One of several forms, `{ steps: 100 }` or `{ epochs: 3 }`: what is said of the form is said of its one key.
    let is_form = object["properties"].as_object().is_some_and(|properties| properties.len() == 1);
    let one = |(name, parameter): (&String, &Value)| {
        let mut notes = vec![words(parameter, root)];
        let form = is_form && description(parameter).is_empty() && !description(object).is_empty();
        if form {
            // Others may stand in its place.
        } else if required.contains(&name.as_str()) {
            notes.push("required".to_owned());
        } else if let Some(default) = parameter.get("default").filter(|default| !default.is_null()) {
            // The parameters inside it name their own.
            notes.extend(
                default
                    .as_object()
                    .is_none_or(serde_json::Map::is_empty)
                    .then(|| format!("default {}", spaced(default))),
            );
        }
        if parameter["x-operational"] == true {
            notes.push("not part of the key".to_owned());
        }
        let pair = |variable: &Value| {
            let text = |key: &str| variable[key].as_str().map(one_line);
            Some((text("name")?, text("about")?))
        };
        let nested = if depth < DEPTH { objects(parameter, root, 0) } else { Vec::new() };
        ParamDoc {
            name: name.clone(),
            notes: notes.join(", "),
            about: description(if form { object } else { parameter }).to_owned(),
            choices: choices(parameter, root, 0),
            variables: parameter["x-variables"].as_array().into_iter().flatten().filter_map(pair).collect(),
            nested: nested.into_iter().flat_map(|nested| parameters(nested, root, depth + 1)).collect(),
        }
    };
    object["properties"].as_object().into_iter().flatten().map(one).collect()
}

/// What a reference leads to; the schema itself where it is none.
fn target<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let pointed = schema["$ref"].as_str().and_then(|name| root.pointer(name.strip_prefix('#')?));
    pointed.unwrap_or(schema)
}

/// The ways a value may be given, and what it may hold.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    let choices = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    choices.chain(["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key)))
}

/// The objects with properties of their own that a value is or holds.
fn objects<'a>(schema: &'a Value, root: &'a Value, depth: usize) -> Vec<&'a Value> {
    let schema = target(schema, root);
    if depth > DEPTH {
        return Vec::new();
    }
    if schema["properties"].as_object().is_some_and(|properties| !properties.is_empty()) {
        return vec![schema];
    }
    parts(schema).flat_map(|part| objects(part, root, depth + 1)).collect()
}

/// The words that a value may be or hold, with what is said of each.
fn choices(schema: &Value, root: &Value, depth: usize) -> Vec<(String, String)> {
    let schema = target(schema, root);
    if depth > DEPTH || schema["properties"].is_object() {
        return Vec::new();
    }
    let about = one_line(description(schema));
    match &schema["const"] {
        Value::String(name) if !about.is_empty() => vec![(name.clone(), about)],
        _ => parts(schema).flat_map(|part| choices(part, root, depth + 1)).collect(),
    }
}

/// What a value is.
fn words(schema: &Value, root: &Value) -> String {
    words_within(schema, root, &mut Vec::new())
}

/// What a value is, inside definitions of these names.
fn words_within<'a>(schema: &'a Value, root: &'a Value, within: &mut Vec<&'a str>) -> String {
    let Some(name) = schema["$ref"].as_str() else { return unnamed(schema, root, within) };
    if within.contains(&name) {
        return "the same again".to_owned();
    }
    within.push(name);
    let words = unnamed(target(schema, root), root, within);
    within.pop();
    words
}

fn unnamed<'a>(schema: &'a Value, root: &'a Value, within: &mut Vec<&'a str>) -> String {
    if let Some(value) = schema.get("const") {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(options) = schema[key].as_array() {
            return either(options.iter().map(|option| words_within(option, root, within)));
        }
    }
    if let Some(options) = schema["enum"].as_array() {
        return either(options.iter().map(|o| o.as_str().map_or_else(|| o.to_string(), str::to_owned)));
    }
    let mut plain = |name: &str| match name {
        "array" => match &*words_within(&schema["items"], root, within) {
            one @ ("text" | "number" | "whole number") => format!("list of {one}s"),
            other => format!("list of {other}"),
        },
        "object" if schema["properties"].is_object() => "settings".to_owned(),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map of names to {}", words_within(&schema["additionalProperties"], root, within))
        }
        "object" => "map".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        name => name.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => plain(name),
        Value::Array(names) => either(names.iter().map(|name| plain(name.as_str().unwrap_or_default()))),
        _ => "anything".to_owned(),
    }
}

/// `a, b or c`, each once.
fn either(all: impl Iterator<Item = String>) -> String {
    let mut names: Vec<String> = Vec::new();
    for name in all.filter(|name| name != "null") {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.pop() {
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} or {last}", names.join(", ")),
        None => "null".to_owned(),
    }
}
