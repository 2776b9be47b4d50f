//! Reading tables: what comes out, and what is said when it cannot be read.

mod compressed;
mod exact;
mod mistakes;
mod mutations;
mod nested;
mod peers;
mod printed;
mod shapes;
mod types;

use std::{fs, path::PathBuf};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef, json::LineDelimitedWriter};
use pipe_engine::kind::StageError;
use pipe_stages::tabular::{Declared, Format, Header, ReadOptions, Sink, TabularError, read};
use tempfile::TempDir;

/// Keeps what is read; counts how often reading began.
#[derive(Default)]
struct Kept {
    schema: Option<SchemaRef>,
    batches: Vec<RecordBatch>,
    begun: usize,
}

impl Sink for Kept {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        *self = Self { schema: Some(schema.clone()), batches: Vec::new(), begun: self.begun + 1 };
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        self.batches.push(batch.clone());
        Ok(())
    }
}

impl Kept {
    fn table(&self) -> RecordBatch {
        concat_batches(self.schema.as_ref().unwrap(), &self.batches).unwrap()
    }

    /// `name: type` of every column, then the rows as JSON lines.
    fn text(&self) -> String {
        let table = self.table();
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| format!("{}: {}\n", field.name(), field.data_type()));
        let out = columns.collect::<Vec<_>>().concat();
        let mut rows = Vec::new();
        LineDelimitedWriter::new(&mut rows).write(&table).unwrap();
        out + &String::from_utf8(rows).unwrap()
    }
}

struct Files {
    dir: TempDir,
    paths: Vec<PathBuf>,
}

impl Files {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files
            .iter()
            .map(|(name, bytes)| {
                let path = dir.path().join(name);
                fs::write(&path, bytes).unwrap();
                path
            })
            .collect();
        Self { dir, paths }
    }

    fn read(&self, options: &ReadOptions) -> Result<Kept, TabularError> {
        let mut kept = Kept::default();
        let format = Format::of(&self.paths[0]).unwrap();
        read(&self.paths, format, options, &mut kept)?;
        Ok(kept)
    }

    /// The message and the help, with the folder taken out.
    fn error(&self, options: &ReadOptions) -> String {
        let Err(error) = self.read(options) else { panic!("read without an error") };
        let help = error.help(Declared::Schema).map_or_else(String::new, |help| format!(" [{help}]"));
        format!("{error}{help}").replace(&format!("{}/", self.dir.path().display()), "")
    }
}

#[expect(clippy::needless_pass_by_value, reason = "callers write the value in place")]
fn options(json: serde_json::Value) -> ReadOptions {
    let mut options = ReadOptions::default();
    for (name, value) in json.as_object().unwrap() {
        match name.as_str() {
            "columns" => options.columns = serde_json::from_value(value.clone()).unwrap(),
            "rename" => options.rename = serde_json::from_value(value.clone()).unwrap(),
            "schema" => options.schema = serde_json::from_value(value.clone()).unwrap(),
            "id" => options.id = serde_json::from_value(value.clone()).unwrap(),
            "limit" => options.limit = serde_json::from_value(value.clone()).unwrap(),
            "rows_at" => options.rows_at = serde_json::from_value(value.clone()).unwrap(),
            "quote" => options.quote = value.as_str().map(|quote| quote.as_bytes()[0]),
            "delimiter" => options.delimiter = value.as_str().map(|delimiter| delimiter.as_bytes()[0]),
            "nulls" => options.nulls = serde_json::from_value(value.clone()).unwrap(),
            "header" if value.is_boolean() => options.header = Header::Absent,
            "header" => options.header = Header::Named(serde_json::from_value(value.clone()).unwrap()),
            "chunking" => options.chunking = Some(serde_json::from_value(value.clone()).unwrap()),
            "whole_files" => options.whole_files = serde_json::from_value(value.clone()).unwrap(),
            other => panic!("no option {other}"),
        }
    }
    options
}

fn check(files: &[(&str, &str)], given: serde_json::Value, expect: &str) {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let text = Files::new(&files).read(&options(given)).unwrap_or_else(|e| panic!("{e}")).text();
    let trimmed: Vec<&str> = expect.trim().lines().map(str::trim).collect();
    assert_eq!(text.trim(), trimmed.join("\n"));
}

macro_rules! json {
    ($($t:tt)*) => { serde_json::json!({ $($t)* }) };
}
use json;

/// The error of one file.
fn error_of(name: &str, bytes: &[u8], given: serde_json::Value) -> String {
    Files::new(&[(name, bytes)]).error(&options(given))
}

/// Rows enough for several blocks on every thread, with the odd one at the very end.
fn long(odd: &str) -> Vec<u8> {
    let words = "word ".repeat(100_000);
    let rows =
        (0..40 * rayon::current_num_threads()).map(|i| format!("{{\"id\": {i}, \"text\": \"{words}\", \"x\": {i}}}\n"));
    (rows.collect::<Vec<_>>().concat() + odd + "\n").into_bytes()
}
