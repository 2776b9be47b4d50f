//! `pipe kinds`: the documentation that the parameter structs carry.

use std::io::{self, Write};

use pipe_engine::{
    diag::one_of,
    kind::{Column, DynKind, PortType, usual_ports},
};
use serde_json::{Value, json};

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, color_on_stdout, paint, style},
};

pub(crate) fn kinds(args: &cli::Kinds) -> Result<Exit, CliError> {
    let registry = pipe_stages::registry();
    let mut out = output::stdout();
    if let Some(name) = &args.kind {
        let kind = registry.get(name).ok_or_else(|| CliError::NotFound {
            message: format!("there is no kind `{name}`"),
            help: one_of(name, "the kinds are", registry.iter().map(|kind| kind.name())),
        })?;
        match args.format {
            Format::Json => output::json(&described(kind.as_ref()))?,
            Format::Text => document(kind.as_ref(), &mut out)?,
        }
        return Ok(Exit::Success);
    }
    match args.format {
        Format::Json => {
            let kinds: Vec<Value> = registry
                .iter()
                .map(|kind| {
                    let params = described(kind.as_ref());
                    json!({ "name": kind.name(), "version": kind.version(), "params": params })
                })
                .collect();
            output::json(&kinds)?;
        }
        Format::Text => {
            let width = registry.iter().map(|kind| kind.name().len()).max().unwrap_or(0);
            for kind in registry.iter() {
                let schema = kind.schema();
                let about = description(schema.as_value());
                let first = about.split("\n\n").next().unwrap_or_default().replace('\n', " ");
                writeln!(out, "{:width$}  {first}", kind.name())?;
            }
        }
    }
    Ok(Exit::Success)
}

/// The schema of the parameters, with the ports beside it.
fn described(kind: &dyn DynKind) -> Value {
    let mut schema = kind.schema().to_value();
    let ports = usual_ports(kind).unwrap_or_default();
    schema["inputs"] = json!(ports.inputs);
    schema["outputs"] = json!(ports.outputs);
    schema
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn document(kind: &dyn DynKind, out: &mut impl Write) -> io::Result<()> {
    let color = color_on_stdout();
    let schema = kind.schema();
    let schema = schema.as_value();
    let title = paint(kind.name(), style::BOLD, color);
    writeln!(out, "{title} (version {})\n\n{}", kind.version(), description(schema))?;
    let ports = usual_ports(kind).unwrap_or_default();
    if !ports.inputs.is_empty() || ports.open_inputs {
        writeln!(out, "\n{}", paint("inputs", style::BOLD, color))?;
        for port in &ports.inputs {
            let needed = if port.required { ", required" } else { "" };
            port_lines(
                &port.name,
                &format!("{}{needed}", sort(port.accepts)),
                port.about,
                &port.columns,
                "optional",
                out,
            )?;
        }
        if ports.open_inputs {
            writeln!(out, "  Any others, under names of your own.")?;
        }
    }
    if !ports.outputs.is_empty() {
        writeln!(out, "\n{}", paint("outputs", style::BOLD, color))?;
    }
    for port in &ports.outputs {
        port_lines(&port.name, sort(port.produces), port.about, &port.columns, "not always", out)?;
        if let Some(input) = port.passes {
            writeln!(out, "      and the columns of `{input}`")?;
        }
    }
    writeln!(out, "\n{}", paint("parameters", style::BOLD, color))?;
    parameters(schema, schema, 1, out)
}

fn sort(port: PortType) -> &'static str {
    match port {
        PortType::Table => "table",
        PortType::Files => "files",
        PortType::Any => "table or files",
    }
}

fn port_lines(
    name: &str,
    notes: &str,
    about: &str,
    columns: &[Column],
    otherwise: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let color = color_on_stdout();
    writeln!(out, "  {}  {}", paint(name, style::NEW, color), paint(notes, style::DIM, color))?;
    if !about.is_empty() {
        writeln!(out, "      {about}")?;
    }
    for column in columns {
        let or = column.alternative.map_or_else(String::new, |other| format!(" or {other}"));
        let always = if column.always { String::new() } else { format!(", {otherwise}") };
        let notes = paint(format!("{}{always}", column.holds), style::DIM, color);
        writeln!(out, "      {}{or}  {notes}  {}", column.name, column.about)?;
    }
    Ok(())
}

/// The properties of an object, each with its own below it.
fn parameters(object: &Value, root: &Value, depth: usize, out: &mut impl Write) -> io::Result<()> {
    const DEPTH: usize = 4;
    let color = color_on_stdout();
    let indent = "    ".repeat(depth - 1) + "  ";
    let required: Vec<&str> = object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, parameter) in object["properties"].as_object().into_iter().flatten() {
        let mut notes = vec![words(parameter, root, 0)];
        if required.contains(&name.as_str()) {
            notes.push("required".to_owned());
        } else if let Some(default) = parameter.get("default").filter(|default| !default.is_null()) {
            notes.push(format!("default {default}"));
        }
        if parameter["x-operational"] == true {
            notes.push("not part of the key".to_owned());
        }
        let notes = paint(notes.join(", "), style::DIM, color);
        writeln!(out, "{indent}{}  {notes}", paint(name, style::NEW, color))?;
        for line in description(parameter).lines() {
            writeln!(out, "{indent}    {line}")?;
        }
        if depth < DEPTH {
            for nested in objects(parameter, root, 0) {
                parameters(nested, root, depth + 1, out)?;
            }
        }
    }
    Ok(())
}

/// What a reference leads to; the schema itself where it is none.
fn target<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let pointed = schema["$ref"].as_str().and_then(|name| root.pointer(name.strip_prefix('#')?));
    pointed.unwrap_or(schema)
}

/// The objects with properties of their own that a value is or holds.
fn objects<'a>(schema: &'a Value, root: &'a Value, depth: usize) -> Vec<&'a Value> {
    const DEPTH: usize = 4;
    let schema = target(schema, root);
    if depth > DEPTH {
        return Vec::new();
    }
    if schema["properties"].as_object().is_some_and(|properties| !properties.is_empty()) {
        return vec![schema];
    }
    let choices = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    let inside = ["items", "additionalProperties"].into_iter().filter_map(|key| schema.get(key));
    choices.chain(inside).flat_map(|part| objects(part, root, depth + 1)).collect()
}

/// What a value is, in the words of those who write pipelines.
fn words(schema: &Value, root: &Value, depth: usize) -> String {
    const DEPTH: usize = 6;
    let schema = target(schema, root);
    if depth > DEPTH {
        return "the same again".to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    }
    let several = |values: &[Value], each: &dyn Fn(&Value) -> String| {
        let mut names: Vec<String> = Vec::new();
        for name in values.iter().map(each).filter(|name| name != "null") {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        match names.pop() {
            Some(last) if names.is_empty() => last,
            Some(last) => format!("{} or {last}", names.join(", ")),
            None => "null".to_owned(),
        }
    };
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(options) = schema[key].as_array() {
            return several(options, &|option| words(option, root, depth + 1));
        }
    }
    if let Some(options) = schema["enum"].as_array() {
        return several(options, &|option| option.as_str().map_or_else(|| option.to_string(), str::to_owned));
    }
    let plain = |name: &str| match name {
        "array" => match &*words(&schema["items"], root, depth + 1) {
            one @ ("text" | "number" | "whole number") => format!("list of {one}s"),
            other => format!("list of {other}"),
        },
        "object" if schema["properties"].is_object() => "settings".to_owned(),
        "object" if schema["additionalProperties"].is_object() => {
            format!("map of names to {}", words(&schema["additionalProperties"], root, depth + 1))
        }
        "object" => "map".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        name => name.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => plain(name),
        Value::Array(names) => several(names, &|name| plain(name.as_str().unwrap_or_default())),
        _ => "anything".to_owned(),
    }
}
