//! What pandas, polars, DuckDB and pyarrow read of the same files (`peers/read.py` records it), and where pipe reads
//! something else, why.

use std::collections::BTreeMap;

use arrow::{array::RecordBatch, datatypes::DataType, json::WriterBuilder};
use pipe_stages::tabular::ReadOptions;
use serde::Deserialize;
use serde_json::Value;

use super::Files;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    file: String,
    text: Option<String>,
    base64: Option<String>,
    /// The reading, or the error's text.
    pipe: Value,
    /// Tools that read something else, with the reason for which pipe does not do as they do.
    #[serde(default)]
    differs: BTreeMap<String, String>,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        match (&self.text, &self.base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(encoded)) => decode(encoded),
            _ => panic!("{}: one of `text` and `base64`", self.name),
        }
    }

    fn reading(&self) -> Value {
        let files = Files::new(&[(&self.file, &self.bytes())]);
        match files.read(&ReadOptions::default()) {
            Ok(kept) => reading(&kept.table()),
            Err(_) => serde_json::json!({ "error": files.error(&ReadOptions::default()) }),
        }
    }
}

/// Base64 without its rarer forms (RFC 4648).
fn decode(encoded: &str) -> Vec<u8> {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sixes = encoded.trim_end_matches('=').chars().map(|c| format!("{:06b}", ALPHABET.find(c).unwrap()));
    let bits = sixes.collect::<Vec<_>>().concat();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

/// A type as pipe's pipelines name it.
fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::Boolean => "bool".into(),
        DataType::Int64 => "int".into(),
        DataType::Float64 => "float".into(),
        DataType::Utf8 => "string".into(),
        DataType::List(item) => format!("[{}]", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| format!("{}: {}", field.name(), type_name(field.data_type())));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn reading(table: &RecordBatch) -> Value {
    let schema = table.schema();
    let columns: Vec<_> = schema.fields().iter().map(|f| vec![f.name().clone(), type_name(f.data_type())]).collect();
    let mut lines = Vec::new();
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow::json::writer::LineDelimited>(&mut lines);
    writer.write(table).unwrap();
    writer.finish().unwrap();
    let rows = String::from_utf8(lines).unwrap();
    let rows: Vec<Value> = rows
        .lines()
        .map(|line| {
            let row: serde_json::Map<String, Value> = serde_json::from_str(line).unwrap();
            row.into_iter().map(|(_, value)| value).collect()
        })
        .collect();
    serde_json::json!({ "columns": columns, "rows": rows })
}

/// Errors are alike whatever they say; a float is the number that it is, however written.
fn agree(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) if a.contains_key("error") || b.contains_key("error") => {
            a.contains_key("error") && b.contains_key("error")
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| agree(a, b)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agree(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

#[test]
fn readings_are_those_of_other_tools_or_differ_for_a_reason() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("peers/cases.json")).unwrap();
    let readings: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(include_str!("peers/readings.json")).unwrap();
    assert_eq!(readings.len(), cases.len() + 1, "the tools read every case");
    let mut wrong = Vec::new();
    for case in &cases {
        let found = case.reading();
        let expected = match (&case.pipe, &found) {
            (Value::String(part), found) => found["error"].as_str().is_some_and(|error| error.contains(part)),
            (pipe, found) => pipe == found,
        };
        if !expected {
            wrong.push(format!("{}: pipe reads {found}", case.name));
        }
        for (tool, reading) in &readings[&case.name] {
            match (agree(&found, reading), case.differs.get(tool)) {
                (true, Some(reason)) => wrong.push(format!("{}: {tool} does not differ ({reason})", case.name)),
                (false, None) => wrong.push(format!("{}: {tool} differs: {reading}", case.name)),
                (_, reason) => assert!(reason.is_none_or(|reason| reason.len() > 10), "{}: {tool}", case.name),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
