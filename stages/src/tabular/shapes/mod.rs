//! Rows as collections of examples have them, in the columns that stages read.

mod conversations;
mod lm_eval;
mod squad;

use std::path::{Path, PathBuf};

use arrow::{
    array::{ArrayRef, AsArray, ListArray, RecordBatch, StringArray, StructArray},
    datatypes::{Field, Schema, SchemaRef},
};
use pipe_engine::kind::StageError;
use std::sync::Arc;

use super::{
    drive::read_as_is,
    error::TabularError,
    open::Format,
    options::{ReadOptions, Shape, Turns},
    output::{Output, Sink},
    row_format::Built,
};

/// Reads rows of a shape; selection, new names, ids and the limit are those of the rows as they become.
pub(super) fn read_shaped(
    files: &[PathBuf],
    format: Format,
    options: &ReadOptions,
    shape: Shape,
    sink: &mut dyn Sink,
) -> Result<u64, TabularError> {
    let explodes = shape == Shape::Squad && matches!(format, Format::Json | Format::Jsonl);
    let inner = ReadOptions {
        columns: None,
        rename: std::collections::BTreeMap::new(),
        id: None,
        limit: options.limit.filter(|_| !explodes),
        shape: None,
        left_out: if shape == Shape::LmEval { lm_eval::LEFT_OUT } else { &[] },
        rows_under: (shape == Shape::Squad).then_some("data"),
        ..options.clone()
    };
    let mut shaped = Shaped { shape, files, options, sink, output: None, file: PathBuf::new(), lines: Vec::new() };
    // Whether rows are of the shape is told by their types: by those of all rows, however many are looked at at first.
    read_as_is(files, format, &inner, &mut shaped, usize::MAX)?;
    Ok(shaped.output.map_or(0, |output| output.rows()))
}

/// Turns rows into what stages read, on their way out.
struct Shaped<'a> {
    shape: Shape,
    files: &'a [PathBuf],
    options: &'a ReadOptions,
    sink: &'a mut dyn Sink,
    output: Option<Output>,
    /// Where the next rows are from.
    file: PathBuf,
    lines: Vec<u64>,
}

impl Shaped<'_> {
    fn fit(&self, batch: &RecordBatch, rows_before: u64) -> Result<RecordBatch, Misfit> {
        match self.shape {
            Shape::Alpaca => {
                text_column(batch, "instruction")?;
                text_column(batch, "output")?;
                Ok(batch.clone())
            }
            Shape::Sharegpt | Shape::Messages => conversations::fit(batch, self.options.turns, rows_before),
            Shape::Squad => squad::fit(batch, rows_before),
            Shape::LmEval => lm_eval::fit(batch, &self.file),
        }
    }

    fn error(&self, path: &Path, misfit: Misfit) -> TabularError {
        let path = path.to_owned();
        let what = format!("the rows are not of the shape `{}`: {}", self.shape.name(), misfit.message);
        TabularError::Foreign { path, what, help: misfit.help }
    }
}

impl Sink for Shaped<'_> {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        let none = RecordBatch::new_empty(schema.clone());
        let first = self.files.first().map_or(Path::new(""), PathBuf::as_path);
        let shaped = self.fit(&none, 0).map_err(|misfit| self.error(first, misfit))?;
        let output = Output::new(shaped.schema_ref(), self.files, self.options)?;
        self.sink.begin(output.schema())?;
        self.output = Some(output);
        Ok(())
    }

    fn at(&mut self, file: &Path, lines: &[u64]) {
        (self.file, self.lines) = (file.to_owned(), lines.to_vec());
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        let rows = self.output.as_ref().map_or(0, Output::rows);
        let read = batch.num_rows();
        let explodes = self.shape == Shape::Squad && batch.column_by_name("paragraphs").is_some();
        let mut batch = self.fit(batch, rows).map_err(|misfit| self.error(&self.file, misfit))?;
        // Where a row becomes several, they have no lines.
        let mut lines = std::mem::take(&mut self.lines);
        if explodes || lines.len() != read {
            lines.clear();
        }
        let left = self.options.limit.map_or(usize::MAX, |limit| (limit.saturating_sub(rows)) as usize);
        if batch.num_rows() > left {
            batch = batch.slice(0, left);
            lines.truncate(left);
        }
        let output = self.output.as_mut().ok_or_else(|| StageError::contract("rows before their schema"))?;
        let built = Built { batch, path: self.file.clone(), lines };
        let rows = output.selected(&built)?;
        self.sink.at(&built.path, &built.lines);
        self.sink.write(&rows)
    }
}

/// Why rows are not of a shape.
struct Misfit {
    message: String,
    help: String,
}

impl Misfit {
    fn new(message: String, help: &str) -> Self {
        Self { message, help: help.to_owned() }
    }

    fn missing(batch: &RecordBatch, column: &str) -> Self {
        let names: Vec<String> =
            batch.schema_ref().fields().iter().map(|field| format!("`{}`", field.name())).collect();
        Self {
            message: format!("there is no column `{column}`"),
            help: format!("the columns are {}; leave `shape` out, or `rename` them", names.join(", ")),
        }
    }
}

fn text_column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray, Misfit> {
    let column = batch.column_by_name(name).ok_or_else(|| Misfit::missing(batch, name))?;
    column.as_string_opt::<i32>().ok_or_else(|| {
        let message = format!("column `{name}` is {} where text is wanted", column.data_type());
        Misfit::new(message, "look at the file, or leave `shape` out")
    })
}

/// A list of objects.
fn objects<'a>(column: &'a ArrayRef, name: &str) -> Result<(&'a ListArray, &'a StructArray), Misfit> {
    let list = column.as_list_opt::<i32>();
    list.and_then(|list| Some((list, list.values().as_struct_opt()?))).ok_or_else(|| {
        let message = format!("column `{name}` is {} where a list of objects is wanted", column.data_type());
        Misfit::new(message, "look at the file, or leave `shape` out")
    })
}

/// A batch of these columns; a later one of a name that was there before is left out.
fn batch_of(columns: Vec<(String, ArrayRef)>) -> Result<RecordBatch, Misfit> {
    let mut kept: Vec<(String, ArrayRef)> = Vec::with_capacity(columns.len());
    for (name, column) in columns {
        if !kept.iter().any(|(there, _)| *there == name) {
            kept.push((name, column));
        }
    }
    let fields: Vec<Field> = kept.iter().map(|(n, column)| Field::new(n, column.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), kept.into_iter().map(|(_, column)| column).collect())
        .map_err(|e| Misfit::new(e.to_string(), "look at the file, or leave `shape` out"))
}

/// What rows with these columns look like, where that is not what stages read, and what to do about it.
pub fn hint<'a>(columns: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = columns.into_iter().collect();
    let has = |name: &str| names.contains(&name);
    let looks = |like: &str, give: &str| Some(format!("the rows look like {like}: give the `table` stage {give}"));
    if let [name] = names[..]
        && let Some(mark) = [';', '\t', '|'].into_iter().find(|mark| name.contains(*mark))
    {
        return Some(format!("`{}` is one column: give the `table` stage `delimiter: {mark:?}`", name.escape_debug()));
    }
    match () {
        () if has("paragraphs") || (has("question") && has("context") && has("answers")) => {
            looks("SQuAD's", "`shape: squad`")
        }
        () if has("conversations") || has("conversation") => {
            looks("ShareGPT's", "`shape: sharegpt`, and `turns: first` for `instruction` and `output`")
        }
        () if has("doc_id") && has("filtered_resps") => looks("lm-evaluation-harness's samples", "`shape: lm_eval`"),
        () if has("messages") => {
            looks("conversations", "`shape: messages, turns: first` for `instruction` and `output`")
        }
        () => None,
    }
}
