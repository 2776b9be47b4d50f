//! Documents that are rows, in chunks: each row becomes as many as its text has pieces.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array},
    compute::{cast, take},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use pipe_engine::kind::StageError;

use super::{Chunking, windows::windows};
use crate::tabular::{Format, ReadOptions, Sink, TabularError, error::Place, read};

const ID: &str = "id";
const TEXT: &str = "text";
/// Chunks, and bytes of them, that are written at a time: Arrow's columns count bytes in 32 bits.
const ROWS: usize = 1 << 13;
const BYTES: usize = 1 << 26;

/// Reads rows and cuts their column `text`. The column `id` has the row's id, or its number where there is no such
/// column, and the chunk's number behind it (`a#2`); all other columns are those of the row.
pub(in super::super) fn read_cut(
    files: &[PathBuf],
    format: Format,
    options: &ReadOptions,
    chunking: Chunking,
    sink: &mut dyn Sink,
) -> Result<u64, TabularError> {
    let file = files.first().cloned().unwrap_or_default();
    let schema = Arc::new(Schema::empty());
    let mut cut = Cut { chunking, sink, schema, file, lines: Vec::new(), documents: 0, rows: 0 };
    read(files, format, &ReadOptions { chunking: None, ..options.clone() }, &mut cut)?;
    Ok(cut.rows)
}

/// Cuts rows on their way out.
struct Cut<'a> {
    chunking: Chunking,
    sink: &'a mut dyn Sink,
    /// Of the chunks.
    schema: SchemaRef,
    /// Where the next rows are from.
    file: PathBuf,
    lines: Vec<u64>,
    /// Rows that were read.
    documents: u64,
    /// Chunks that were written.
    rows: u64,
}

/// Chunks that wait to be written: ids, texts, and the rows that they are from.
#[derive(Default)]
struct Waiting<'a> {
    ids: Vec<String>,
    texts: Vec<&'a str>,
    from: Vec<u32>,
    bytes: usize,
}

impl Cut<'_> {
    fn wrong(&self, message: String) -> TabularError {
        TabularError::Other { path: self.file.clone(), message }
    }

    /// The ids of rows.
    fn ids(&self, batch: &RecordBatch) -> Result<Vec<String>, TabularError> {
        let rows = 0..batch.num_rows();
        let Some(column) = batch.column_by_name(ID) else {
            return Ok(rows.map(|row| (self.documents + row as u64).to_string()).collect());
        };
        let column = cast(column, &DataType::Utf8).map_err(|e| self.wrong(e.to_string()))?;
        let column = column.as_string::<i32>();
        if let Some(row) = rows.clone().find(|row| column.is_null(*row)) {
            let path = format!("{}, row {}", self.file.display(), self.documents + row as u64 + 1).into();
            let place = Place { path, line: 0, column: 0 };
            return Err(TabularError::MissingId { place, column: ID.to_owned() });
        }
        Ok(rows.map(|row| column.value(row).to_owned()).collect())
    }

    fn emit(&mut self, batch: &RecordBatch, waiting: &mut Waiting<'_>) -> Result<(), StageError> {
        let Waiting { ids, texts, from, .. } = std::mem::take(waiting);
        let from = UInt32Array::from(from);
        let (ids, texts): (ArrayRef, ArrayRef) =
            (Arc::new(StringArray::from(ids)), Arc::new(StringArray::from_iter_values(texts)));
        let column = |field: &Arc<Field>| match &**field.name() {
            ID => Ok(Arc::clone(&ids)),
            TEXT => Ok(Arc::clone(&texts)),
            // Only `id` may be none of the row's.
            other => take(&batch[other], &from, None),
        };
        let columns: Result<Vec<ArrayRef>, _> = self.schema.fields().iter().map(column).collect();
        let chunks = columns.and_then(|columns| RecordBatch::try_new(Arc::clone(&self.schema), columns));
        let chunks = chunks.map_err(|e| self.wrong(e.to_string()))?;
        let lines: Vec<u64> = from.values().iter().filter_map(|row| self.lines.get(*row as usize).copied()).collect();
        self.sink.at(&self.file, if lines.len() == from.len() { &lines } else { &[] });
        self.rows += chunks.num_rows() as u64;
        self.sink.write(&chunks)
    }
}

impl Sink for Cut<'_> {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        let known = || schema.fields().iter().map(|field| field.name().clone()).collect();
        let Ok(text) = schema.field_with_name(TEXT) else {
            let (path, column) = (self.file.clone(), TEXT.to_owned());
            return Err(TabularError::MissingColumn { path, column, known: known() }.into());
        };
        if *text.data_type() != DataType::Utf8 {
            let found = text.data_type();
            return Err(self.wrong(format!("column `{TEXT}` is {found}, and only text is cut into chunks")).into());
        }
        let id = schema.field_with_name(ID).map_or(DataType::Utf8, |field| field.data_type().clone());
        if !matches!(id, DataType::Utf8 | DataType::Int64) {
            return Err(self.wrong(format!("the id column `{ID}` is of type {id}; ids are text or integers")).into());
        }
        let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
        let id = Arc::new(Field::new(ID, DataType::Utf8, true));
        match fields.iter_mut().find(|field| field.name() == ID) {
            Some(field) => *field = id,
            None => fields.insert(0, id),
        }
        self.schema = Arc::new(Schema::new(fields));
        (self.documents, self.rows) = (0, 0);
        self.sink.begin(&self.schema)
    }

    fn at(&mut self, file: &Path, lines: &[u64]) {
        (self.file, self.lines) = (file.to_owned(), lines.to_vec());
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        let ids = self.ids(batch)?;
        let texts = batch.column_by_name(TEXT).and_then(|texts| texts.as_string_opt::<i32>());
        let texts = texts.ok_or_else(|| StageError::contract("rows before their schema"))?;
        let mut waiting = Waiting::default();
        for (row, (id, text)) in ids.iter().zip(texts).enumerate() {
            let text = text.unwrap_or_default();
            for (number, at) in windows(text, self.chunking).into_iter().enumerate() {
                waiting.ids.push(format!("{id}#{}", number + 1));
                waiting.bytes += at.len();
                waiting.texts.push(&text[at]);
                waiting.from.push(row as u32);
                if waiting.from.len() == ROWS || waiting.bytes > BYTES {
                    self.emit(batch, &mut waiting)?;
                }
            }
        }
        self.documents += batch.num_rows() as u64;
        self.emit(batch, &mut waiting)
    }
}
