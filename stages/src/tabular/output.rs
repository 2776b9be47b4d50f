//! The way out: columns selected and renamed, ids checked.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Int64Type, Schema, SchemaRef},
};
use pipe_engine::kind::StageError;

use super::{
    error::{Place, TabularError},
    options::ReadOptions,
    row_format::Built,
};

/// Takes the rows.
pub trait Sink {
    /// The schema of all batches that follow. Called a second time, it voids everything written so far.
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError>;
    /// Where the next rows are from: their file, and the line of each, as far as rows have lines.
    fn at(&mut self, _file: &Path, _lines: &[u64]) {}
    /// The next rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError>;
}

/// The way out: select, rename, check ids.
pub(crate) struct Output {
    schema: SchemaRef,
    projection: Vec<usize>,
    ids: Option<Ids>,
    rows: u64,
}

impl Output {
    /// For batches of `schema`, as read from `files`.
    pub(crate) fn new(schema: &SchemaRef, files: &[PathBuf], options: &ReadOptions) -> Result<Self, TabularError> {
        let path = files.first().map_or(Path::new(""), PathBuf::as_path);
        let missing = |column: &String, schema: &Schema| TabularError::MissingColumn {
            path: path.to_owned(),
            column: column.clone(),
            known: schema.fields().iter().map(|f| f.name().clone()).collect(),
        };
        let index_of = |name: &String| schema.index_of(name).map_err(|_| missing(name, schema));
        let projection: Vec<usize> = match &options.columns {
            Some(columns) => columns.iter().map(index_of).collect::<Result<_, _>>()?,
            None => (0..schema.fields().len()).collect(),
        };
        options.rename.keys().try_for_each(|old| index_of(old).map(|_| ()))?;
        let fields = projection.iter().map(|&i| {
            let field = schema.field(i).clone();
            match options.rename.get(field.name()) {
                Some(new) => field.with_name(new),
                None => field,
            }
        });
        let selected = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut names = HashSet::with_capacity(selected.fields().len());
        if let Some(field) = selected.fields().iter().find(|field| !names.insert(field.name())) {
            let message = format!("two columns would be called `{}`; check `columns` and `rename`", field.name());
            return Err(TabularError::Other { path: path.to_owned(), message });
        }
        let ids =
            options.id.as_ref().map(|id| Ids::new(id, &selected).ok_or_else(|| missing(id, &selected))).transpose()?;
        Ok(Self { schema: selected, projection, ids, rows: 0 })
    }

    /// The columns that come out.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows, as they come out.
    pub(crate) fn selected(&mut self, built: &Built) -> Result<RecordBatch, TabularError> {
        let columns = self.projection.iter().map(|&i| built.batch.column(i).clone()).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|e| TabularError::Other { path: built.path.clone(), message: e.to_string() })?;
        if let Some(ids) = &mut self.ids {
            ids.check(&batch, built, self.rows)?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(batch)
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }
}

/// Sees to it that ids are there and unique, at 32 bytes a row: only the ids' digests are kept.
struct Ids {
    column: usize,
    seen: HashMap<u128, u64>,
}

impl Ids {
    fn new(id: &str, schema: &Schema) -> Option<Self> {
        Some(Self { column: schema.index_of(id).ok()?, seen: HashMap::new() })
    }

    fn check(&mut self, batch: &RecordBatch, built: &Built, rows_before: u64) -> Result<(), TabularError> {
        let column = batch.column(self.column);
        let name = batch.schema_ref().field(self.column).name();
        let place = |row: usize| match built.lines.get(row) {
            Some(&line) => Place { path: built.path.clone(), line, column: 0 },
            None => Place {
                path: format!("{}, row {}", built.path.display(), rows_before + row as u64 + 1).into(),
                line: 0,
                column: 0,
            },
        };
        let text: Box<dyn Fn(usize) -> String> = match column.data_type() {
            DataType::Utf8 => Box::new(|row| column.as_string::<i32>().value(row).to_owned()),
            DataType::Int64 => Box::new(|row| column.as_primitive::<Int64Type>().value(row).to_string()),
            other => {
                let message = format!("the id column `{name}` is of type {other}; ids are text or integers");
                return Err(TabularError::Other { path: built.path.clone(), message });
            }
        };
        for row in 0..batch.num_rows() {
            if column.is_null(row) {
                return Err(TabularError::MissingId { place: place(row), column: name.clone() });
            }
            let id = text(row);
            let digest = u128::from_le_bytes(*blake3::hash(id.as_bytes()).as_bytes().first_chunk().expect("32 bytes"));
            if let Some(first) = self.seen.insert(digest, rows_before + row as u64 + 1) {
                return Err(TabularError::DuplicateId { place: place(row), id, first });
            }
        }
        Ok(())
    }
}
