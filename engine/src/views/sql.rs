//! The text of views.

use std::fmt::Write as _;

use indexmap::IndexMap;
use pipe_cache::{Column, Digest};
use serde_json::Value;

use super::{
    Names, Object, PipelineViews, Row, View,
    names::{comment, file, literal, quoted},
};

/// Schemas and catalogs that DuckDB has itself.
const RESERVED: [&str; 6] = ["main", "temp", "system", "memory", "information_schema", "pg_catalog"];

pub(super) fn write(pipelines: &[PipelineViews]) -> String {
    let mut out = String::new();
    let one = pipelines.len() == 1;
    let mut schemas = Names::of(RESERVED);
    for pipeline in pipelines {
        let name = comment(&pipeline.name);
        let schema = (!one).then(|| quoted(&schemas.free(&pipeline.name)));
        let _ = writeln!(
            out,
            "-- Results of the pipeline {name} for DuckDB: a view for every output of every stage, over all variants.\n\
             -- `pipe sql {name}` prints it anew. SHOW ALL TABLES lists the views."
        );
        for variant in &pipeline.unknown {
            let _ = writeln!(out, "-- Not known: arm and factors of {}. Run the pipeline again.", comment(variant));
        }
        out.push('\n');
        if let Some(schema) = &schema {
            let _ = writeln!(out, "CREATE SCHEMA IF NOT EXISTS {schema};\n");
        }
        let mut names = Names::default();
        for view in &pipeline.views {
            let name = quoted(&names.free(&view.name));
            let name = schema.as_ref().map_or_else(|| name.clone(), |schema| format!("{schema}.{name}"));
            let _ = writeln!(out, "CREATE OR REPLACE VIEW {name} AS");
            body(&mut out, view, &pipeline.factors);
        }
    }
    out
}

/// The rows of tables that have the same columns, by table.
type Alike<'v> = IndexMap<Digest, Vec<&'v Row>>;

/// Tables of the same columns are one scan, joined with what their variants are; DuckDB then opens one of them to know
/// the columns of all, and a table that variants share is named once.
fn body(out: &mut String, view: &View, factors: &[String]) {
    let mut alike: Vec<(&[Column], Alike<'_>)> = Vec::new();
    for row in &view.rows {
        let columns = &view.objects[&row.object].columns[..];
        let place = alike.iter().position(|(of, _)| *of == columns).unwrap_or(alike.len());
        if place == alike.len() {
            alike.push((columns, IndexMap::new()));
        }
        alike[place].1.entry(row.object).or_default().push(row);
    }
    let mut taken = Names::default();
    view.objects.values().for_each(|object| taken.add_columns(&object.columns));
    // The columns of the table keep their names.
    let head: Vec<String> = ["variant", "arm", "draw", "trial"]
        .into_iter()
        .chain(factors.iter().map(String::as_str))
        .chain(["key"])
        .map(|name| taken.free(name))
        .collect();
    let (file_name, object_name) = (taken.free("file"), taken.free("object"));
    let types: Vec<&str> = factors.iter().map(|name| sql_type(view, name)).collect();
    let groups: Vec<&[Column]> = alike.iter().map(|(columns, _)| *columns).collect();
    for (place, (columns, objects)) in alike.iter().enumerate() {
        if place > 0 {
            out.push_str("UNION ALL BY NAME\n");
        }
        let own = own_columns(columns, &groups);
        let _ = writeln!(
            out,
            "SELECT v.* EXCLUDE ({object}), t.* EXCLUDE ({file}){own}\nFROM read_parquet([",
            object = quoted(&object_name),
            file = quoted(&file_name),
        );
        let paths = objects.keys().map(|object| {
            let Object { path, .. } = &view.objects[object];
            format!("    {}", file(path))
        });
        let _ = writeln!(out, "{}\n], filename = {}) AS t", paths.collect::<Vec<_>>().join(",\n"), literal(&file_name));
        out.push_str("JOIN (VALUES\n");
        let rows = objects.values().flatten().enumerate().map(|(i, row)| self::row(row, factors, &types, i == 0));
        let _ = writeln!(out, "{}", rows.collect::<Vec<_>>().join(",\n"));
        let names = head.iter().chain([&object_name]).map(|name| quoted(name));
        let _ = writeln!(
            out,
            ") AS v({})\nON v.{} = parse_filename(t.{}, true)",
            names.collect::<Vec<_>>().join(", "),
            quoted(&object_name),
            quoted(&file_name),
        );
    }
    out.truncate(out.trim_end().len());
    out.push_str(";\n\n");
}

/// What a variant is, and where its rows are. The first row of a list says the types of all.
fn row(row: &Row, factors: &[String], types: &[&str], first: bool) -> String {
    let variant = &row.variant;
    let text = |text: Option<&String>| text.map_or_else(|| "NULL".to_owned(), |text| literal(text));
    let typed = |cell: String, of: &str| if first { format!("{cell}::{of}") } else { cell };
    let told = [Some(&variant.variant), variant.arm.as_ref(), variant.draw.as_ref(), variant.trial.as_ref()];
    let mut cells: Vec<String> = told.map(|cell| typed(text(cell), "VARCHAR")).into();
    for (name, of) in factors.iter().zip(types) {
        cells.push(typed(value(variant.factors.get(name), of), of));
    }
    cells.extend([literal(&row.key.to_string()), literal(&row.object.to_string())]);
    format!("    ({})", cells.join(", "))
}

/// The type of a factor, as a gathered table has it.
fn sql_type(view: &View, factor: &str) -> &'static str {
    let values = || view.rows.iter().filter_map(|row| row.variant.factors.get(factor)).filter(|v| !v.is_null());
    if values().all(Value::is_i64) {
        "BIGINT"
    } else if values().all(Value::is_number) {
        "DOUBLE"
    } else if values().all(Value::is_boolean) {
        "BOOLEAN"
    } else {
        "VARCHAR"
    }
}

fn value(value: Option<&Value>, of: &str) -> String {
    match value {
        None | Some(Value::Null) => "NULL".to_owned(),
        Some(Value::String(text)) => literal(text),
        Some(other) if of == "VARCHAR" => literal(&other.to_string()),
        // Negative numbers bind less tightly than `::`.
        Some(other) => format!("({other})"),
    }
}

/// What is done about columns that have other types elsewhere in the view: numbers go together, anything else is text.
fn own_columns(columns: &[Column], groups: &[&[Column]]) -> String {
    let type_of = |group: &[Column], name: &str| {
        let same = |column: &&Column| column.name.eq_ignore_ascii_case(name);
        group.iter().find(same).map(|column| column.data_type.clone())
    };
    let mut replaced = Vec::new();
    for Column { name, data_type, .. } in columns {
        let others = groups.iter().filter_map(|group| type_of(group, name)).filter(|of| of != "Null");
        let unlike = others.clone().any(|of| of != *data_type && !(is_number(&of) && is_number(data_type)));
        let name = quoted(name);
        if data_type == "Null" && others.count() > 0 {
            replaced.push(format!("NULL AS {name}"));
        } else if unlike {
            replaced.push(format!("CAST({name} AS VARCHAR) AS {name}"));
        }
    }
    if replaced.is_empty() { String::new() } else { format!(" REPLACE ({})", replaced.join(", ")) }
}

fn is_number(of: &str) -> bool {
    ["Int", "UInt", "Float", "Decimal"].iter().any(|start| of.starts_with(start)) && !of.starts_with("Interval")
}
