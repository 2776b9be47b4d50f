//! `pipe kinds`: the documentation that the parameter structs carry.

use std::io::{self, Write};

use pipe_engine::{diag::one_of, kind::DynKind};
use serde_json::{Value, json};

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, color_on_stdout, paint, style},
};

pub fn kinds(args: &cli::Kinds) -> Result<Exit, CliError> {
    let registry = pipe_stages::registry();
    let mut out = io::stdout().lock();
    if let Some(name) = &args.kind {
        let kind = registry.get(name).ok_or_else(|| CliError::NotFound {
            message: format!("there is no kind `{name}`"),
            help: one_of(name, "the kinds are", registry.iter().map(|kind| kind.name())),
        })?;
        match args.format {
            Format::Json => output::json(&kind.schema())?,
            Format::Text => document(kind.as_ref(), &mut out)?,
        }
        return Ok(Exit::Success);
    }
    match args.format {
        Format::Json => {
            let kinds: Vec<Value> = registry
                .iter()
                .map(|kind| json!({ "name": kind.name(), "version": kind.version(), "params": kind.schema() }))
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

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn document(kind: &dyn DynKind, out: &mut impl Write) -> io::Result<()> {
    let color = color_on_stdout();
    let schema = kind.schema();
    let schema = schema.as_value();
    writeln!(
        out,
        "{} (version {})\n\n{}\n",
        paint(kind.name(), style::BOLD, color),
        kind.version(),
        description(schema)
    )?;
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, parameter) in schema["properties"].as_object().into_iter().flatten() {
        let mut notes = vec![type_name(parameter, schema)];
        if required.contains(&name.as_str()) {
            notes.push("required".to_owned());
        } else if let Some(default) = parameter.get("default").filter(|default| !default.is_null()) {
            notes.push(format!("default {default}"));
        }
        if parameter["x-operational"] == true {
            notes.push("not part of the key".to_owned());
        }
        writeln!(out, "  {}  {}", paint(name, style::NEW, color), paint(notes.join(", "), style::DIM, color))?;
        for line in description(parameter).lines() {
            writeln!(out, "      {line}")?;
        }
    }
    Ok(())
}

/// A parameter's type in words.
fn type_name(schema: &Value, root: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        // A type that contains itself is called by its name.
        let recursive = |target: &Value| target.to_string().contains(name);
        let target =
            name.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).filter(|target| !recursive(target));
        let known = target.filter(|target| target["type"] != "object");
        return known
            .map_or_else(|| name.rsplit('/').next().unwrap_or_default().to_owned(), |target| type_name(target, root));
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    let several = |values: &[Value], each: &dyn Fn(&Value) -> String| {
        let mut names: Vec<String> = values.iter().map(each).filter(|name| name != "null").collect();
        names.dedup();
        names.join(" | ")
    };
    for key in ["anyOf", "oneOf"] {
        if let Some(options) = schema[key].as_array() {
            return several(options, &|option| type_name(option, root));
        }
    }
    if let Some(options) = schema["enum"].as_array() {
        return several(options, &Value::to_string);
    }
    let plain = |name: &str| match name {
        "array" => format!("[{}]", type_name(&schema["items"], root)),
        name => name.to_owned(),
    };
    match &schema["type"] {
        Value::String(name) => plain(name),
        Value::Array(names) => several(names, &|name| plain(name.as_str().unwrap_or_default())),
        _ => "any".to_owned(),
    }
}
