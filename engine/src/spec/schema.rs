//! The JSON Schema of pipeline files, made from the kinds, so that editors complete and check them.
//!
//! It is written in draft-07, which every editor knows. A stage's `params` are chosen by its `kind` with `if`/`then`.
//! Wherever a kind wants something other than a free text, a `"${variable}"` is accepted too. Checks that need more
//! than one place in the file (names of stages, ports, values behind variables) are `pipe plan`'s.

use serde_json::{Map, Value, json};

use crate::kind::{Column, DynKind, Ports, Registry, usual_ports};

/// A whole `${variable}`, which keeps its type.
const VARIABLE: &str = r"^\$\{[^{}]+\}$";
/// A text with a `${variable}` in it.
const INTERPOLATED: &str = r"\$\{[^{}]+\}";
const NAME: &str = "^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$";

/// The schema of a pipeline file with these kinds.
pub fn pipeline_schema(registry: &Registry) -> Value {
    let mut definitions = Map::new();
    let mut kinds = Vec::new();
    let mut choose = Vec::new();
    for kind in registry.iter() {
        let name = kind.name();
        let mut params = add_params(name, kind.schema().to_value(), &mut definitions);
        let mut entry = json!({ "const": name });
        let ports = documented(kind.as_ref());
        if let Some(docs) = params.get("description").and_then(Value::as_str) {
            entry["description"] = json!(format!("{docs}{}", outputs(&ports)));
        }
        kinds.push(entry);
        let mut then = json!({ "properties": { "params": { "$ref": format!("#/definitions/{name}") } } });
        let inputs: Map<String, Value> = (ports.inputs.iter())
            .map(|port| {
                (port.name.to_string(), json!({ "description": format!("{}{}", port.about, listed(&port.columns)) }))
            })
            .collect();
        if !inputs.is_empty() {
            then["properties"]["inputs"] = json!({ "properties": inputs });
        }
        if params.get("required").and_then(Value::as_array).is_some_and(|r| !r.is_empty()) {
            then["required"] = json!(["params"]);
        }
        choose.push(json!({
            "if": { "properties": { "kind": { "const": name } }, "required": ["kind"] },
            "then": then
        }));
        if let Some(example) = registry.example(name).and_then(|example| example.params(name)) {
            params["examples"] = json!([example]);
        }
        definitions.insert(name.to_owned(), params);
    }
    definitions.insert("stage".to_owned(), stage(kinds, choose));
    definitions.insert("factors".to_owned(), factors());
    definitions.insert(
        "variable".to_owned(),
        json!({ "type": "string", "pattern": VARIABLE, "description": "The value of a variable, with its type." }),
    );
    definitions.insert("interpolated".to_owned(), json!({ "type": "string", "pattern": INTERPOLATED }));
    refs_alone(json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Pipeline",
        "description": "A pipeline of stages, run once for each variant of an ablation; shared work is done once.",
        "type": "object",
        "properties": {
            "pipeline": { "type": "string", "pattern": NAME, "description": "The pipeline's name; results are kept \
            under it." },
            "about": { "type": "string", "description": "What it is for, in one line." },
            "include": {
                "description": "Files that share `vars` and `stages`, relative to this one.",
                "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
            },
            "vars": {
                "description": "Variables for `${name}`, with the values of the baseline.",
                "type": ["object", "null"],
                "propertyNames": { "pattern": NAME }
            },
            "ablate": { "description": "Each factor alone, around the baseline in \
                                        `vars`.", "$ref": "#/definitions/factors" },
            "matrix": { "description": "Every combination of these factors.", "$ref": "#/definitions/factors" },
            "replicate": { "description": "Every variant again for each of these \
                                           values.", "$ref": "#/definitions/factors" },
            "stages": {
                "description": "The stages, by name.",
                "type": ["object", "null"],
                "propertyNames": { "pattern": NAME },
                "additionalProperties": { "$ref": "#/definitions/stage" }
            }
        },
        "additionalProperties": false,
        "definitions": definitions
    }))
}

fn factors() -> Value {
    json!({
        "type": ["object", "null"],
        "propertyNames": { "pattern": NAME },
        "additionalProperties": {
            "anyOf": [
                { "description": "Values of the variable of that name.", "type": "array", "minItems": 1 },
                {
                    "description": "Named levels, each of which sets several variables.",
                    "type": "object",
                    "minProperties": 1,
                    "additionalProperties": { "type": "object", "minProperties": 1 }
                }
            ]
        }
    })
}

/// The ports that a kind has something to say of.
fn documented(kind: &dyn DynKind) -> Ports {
    let mut ports = usual_ports(kind).unwrap_or_default();
    ports.inputs.retain(|port| !port.about.is_empty());
    ports.outputs.retain(|port| !port.about.is_empty());
    ports
}

fn outputs(ports: &Ports) -> String {
    let one =
        |port: &crate::kind::OutputPort| format!("\n\nOutput `{}`: {}{}", port.name, port.about, listed(&port.columns));
    ports.outputs.iter().map(one).collect()
}

/// The columns of a port in one sentence.
fn listed(columns: &[Column]) -> String {
    let name = |column: &Column| {
        let or = column.or_others("`");
        format!("`{}`{or}{}", column.name, if column.always { "" } else { " (optional)" })
    };
    let names: Vec<String> = columns.iter().map(name).collect();
    if names.is_empty() { String::new() } else { format!(" Columns: {}.", names.join(", ")) }
}

fn stage(kinds: Vec<Value>, choose: Vec<Value>) -> Value {
    let duration =
        json!({ "type": "string", "pattern": r"^\s*([0-9.]+\s*(ms|s|m|min|h|d)\s*)+$", "examples": ["30s", "1h30m"] });
    let mut backoff = duration.clone();
    backoff["description"] = json!("The wait before the first retry; it doubles each time. Default `1s`.");
    let mut time = duration.clone();
    time["description"] = json!("How long it may take. Workers that end sooner do not begin it.");
    let mut timeout = duration;
    timeout["description"] = json!("The longest time the stage may run.");
    let mut stage = json!({
        "type": "object",
        "oneOf": [{ "required": ["kind"] }, { "required": ["like"], "properties": { "override": { "const": false } } }],
        "properties": {
            "kind": { "description": "What the stage does." },
            "like": {
                "description": "Another stage, also an included one: this one has its kind, inputs, parameters and \
                                resources, but for those \
                                that it names itself. A parameter that is a mapping is replaced whole; `null` takes an \
                                input or a parameter away.",
                "type": "string"
            },
            "about": { "type": "string", "description": "What it is for, in one line." },
            "inputs": {
                "description": "Port to stage: `stage`, `stage.output`, or `stage[*]`, which gathers all variants. \
                                `null` leaves a port out.",
                "type": ["object", "null"],
                "additionalProperties": { "type": ["string", "null"] }
            },
            "params": { "description": "The kind's parameters.", "type": ["object", "null"] },
            "resources": {
                "description": "What the stage takes of the machine while it runs.",
                "type": ["object", "null"],
                "properties": {
                    "cpu": { "type": "integer", "minimum": 0, "default": 1, "description": "Slots of those that \
                    `--jobs` gives." },
                    "gpu": { "type": "integer", "minimum": 0, "default": 0, "description": "GPUs." },
                    "memory": {
                        "type": "string",
                        "pattern": r"^\s*[0-9.]+\s*([KkMmGgTt]([Ii]?[Bb])?|[Bb])\s*$",
                        "examples": ["4GB", "512MiB"],
                        "description": "Memory, with its unit."
                    },
                    "time": time,
                    "class": {
                        "type": "string",
                        "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
                        "examples": ["a100"],
                        "description": "The class of machines that it wants. Of several workers, those take it that \
                                        offer the class (`--class`); where there is one process, it says nothing."
                    }
                },
                "additionalProperties": false
            },
            "retries": { "type": "integer", "minimum": 0, "default": 0, "description": "Further attempts after a \
            passing failure." },
            "backoff": backoff,
            "timeout": timeout,
            "override": { "type": "boolean", "description": "Replaces the stage of that name in an included file." }
        },
        "additionalProperties": false
    });
    if !kinds.is_empty() {
        stage["properties"]["kind"]["oneOf"] = Value::Array(kinds);
        stage["allOf"] = Value::Array(choose);
    }
    stage
}

/// Moves a kind's own definitions under names of the kind, opens every value to variables, and gives the rest.
fn add_params(kind: &str, mut schema: Value, definitions: &mut Map<String, Value>) -> Value {
    for_editors(&mut schema);
    rename_refs(kind, &mut schema);
    let own = schema.as_object_mut().and_then(|s| s.remove("$defs"));
    if let Some(Value::Object(own)) = own {
        for (name, mut definition) in own {
            open_inside(&mut definition);
            definitions.insert(format!("{kind}.{name}"), definition);
        }
    }
    if let Some(s) = schema.as_object_mut() {
        s.remove("$schema");
        s.remove("title");
    }
    open_inside(&mut schema);
    schema
}

/// Leaves out what is marked for the engine alone; the words of a command line may be numbers.
fn for_editors(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.shift_remove("x-words").is_some() {
                // Of a list, or of a map.
                for inside in ["items", "additionalProperties"] {
                    if let Some(Value::Object(word)) = map.get_mut(inside) {
                        word.insert("type".to_owned(), json!(["string", "number", "boolean"]));
                    }
                }
            }
            for mark in ["x-path", "x-path-of", "x-folder"] {
                map.shift_remove(mark);
            }
            if let Some(Value::Array(variables)) = map.shift_remove("x-variables") {
                let about = map.get("description").and_then(Value::as_str).unwrap_or_default();
                map.insert("description".to_owned(), json!(format!("{about}{}", in_words(&variables))));
            }
            map.values_mut().for_each(for_editors);
        }
        Value::Array(items) => items.iter_mut().for_each(for_editors),
        _ => {}
    }
}

/// The variables that a template may use, as a list.
fn in_words(variables: &[Value]) -> String {
    let one = |variable: &Value| {
        Some(format!("\n- `{}`: {}", variable["name"].as_str()?, variable["about"].as_str().unwrap_or_default()))
    };
    format!("\n\nIt may use{}", variables.iter().filter_map(one).collect::<String>())
}

fn rename_refs(kind: &str, schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get_mut("$ref") {
                if target == "#" {
                    *target = format!("#/definitions/{kind}");
                } else if let Some(name) = target.strip_prefix("#/$defs/") {
                    *target = format!("#/definitions/{kind}.{name}");
                }
            }
            map.values_mut().for_each(|v| rename_refs(kind, v));
        }
        Value::Array(items) => items.iter_mut().for_each(|v| rename_refs(kind, v)),
        _ => {}
    }
}

/// Opens the values below a schema, not the schema itself.
fn open_inside(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    for (key, sub) in map.iter_mut() {
        match key.as_str() {
            "properties" => sub.as_object_mut().into_iter().flatten().for_each(|(_, v)| open(v)),
            "items" | "additionalProperties" => open(sub),
            "prefixItems" => sub.as_array_mut().into_iter().flatten().for_each(open),
            "allOf" | "anyOf" | "oneOf" => sub.as_array_mut().into_iter().flatten().for_each(open_inside),
            _ => {}
        }
    }
}

/// Lets a value also be a variable.
fn open(schema: &mut Value) {
    open_inside(schema);
    let Some(map) = schema.as_object_mut() else { return };
    // The field that tells the branches of a union apart stays as it is: without it no branch could be chosen.
    if map.is_empty() || map.contains_key("const") {
        return;
    }
    let types = |t: &str| match map.get("type") {
        Some(Value::String(only)) => only == t,
        Some(Value::Array(some)) => some.iter().any(|s| s == t),
        _ => false,
    };
    let restricted = ["enum", "pattern", "minLength", "maxLength", "format"].iter().any(|k| map.contains_key(*k));
    if types("string") && !restricted {
        return;
    }
    let also = if types("string") { "interpolated" } else { "variable" };
    let mut outer = Map::new();
    for key in ["description", "default", "title", "examples", "x-operational"] {
        if let Some(value) = map.shift_remove(key) {
            outer.insert(key.to_owned(), value);
        }
    }
    outer.insert("anyOf".to_owned(), json!([map.clone(), { "$ref": format!("#/definitions/{also}") }]));
    *map = outer;
}

/// Draft-07 ignores what stands next to a `$ref`; put it into an `allOf` of its own.
fn refs_alone(mut schema: Value) -> Value {
    fn walk(schema: &mut Value) {
        match schema {
            Value::Object(map) => {
                if map.len() > 1
                    && let Some(target) = map.get("$ref").filter(|r| r.is_string()).cloned()
                {
                    map.shift_remove("$ref");
                    map.insert("allOf".to_owned(), json!([{ "$ref": target }]));
                }
                map.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut schema);
    schema
}
