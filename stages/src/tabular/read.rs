//! Drives a format: finds the types, builds batches in parallel and in order, checks ids, selects and renames columns.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Int64Type, Schema, SchemaRef},
};
use indexmap::IndexMap;
use pipe_engine::kind::StageError;
use rayon::prelude::*;

use super::{
    delimited::Delimited,
    error::{Place, TabularError},
    infer::Clash,
    json::{Documents, Lines},
    open::Format,
    parquet,
    text::{TextLines, WholeFiles},
    types::{ColumnType, MAX_NESTING, arrow_schema},
};

/// Types by column name, in column order.
pub(crate) type Columns = IndexMap<String, ColumnType>;

/// What to make of the files.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// The columns to keep, in this order, by the name in the file; `None` keeps all.
    pub columns: Option<Vec<String>>,
    /// Name in the file -> new name.
    pub rename: BTreeMap<String, String>,
    /// Declared types, by the name in the file.
    pub schema: BTreeMap<String, ColumnType>,
    /// A column (by its new name) that must be there, without gaps or repeats.
    pub id: Option<String>,
    /// The most rows to read, over all files.
    pub limit: Option<u64>,
    /// For an object of rows in `.json`: the column that takes the keys.
    pub key_column: String,
    /// For `.json`: a JSON pointer to the rows.
    pub rows_at: Option<String>,
    /// For plain text: one row per file instead of one per line.
    pub whole_files: bool,
    /// For delimited text: whether `"` quotes cells.
    pub quotes: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            columns: None,
            rename: BTreeMap::new(),
            schema: BTreeMap::new(),
            id: None,
            limit: None,
            key_column: "key".into(),
            rows_at: None,
            whole_files: false,
            quotes: true,
        }
    }
}

/// What a file's column is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Its type is to be found.
    Infer,
    /// Its type is declared.
    Declared,
    /// It was not selected.
    Skip,
}

impl ReadOptions {
    /// What the column of that name in the file is wanted for.
    pub fn wanted(&self, name: &str) -> Wanted {
        match &self.columns {
            Some(columns) if !columns.iter().any(|kept| kept == name) => Wanted::Skip,
            _ if self.schema.contains_key(name) => Wanted::Declared,
            _ => Wanted::Infer,
        }
    }
}

/// Takes the rows.
pub trait Sink {
    /// The schema of all batches that follow. Called a second time, it voids everything written so far.
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError>;
    /// The next rows.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError>;
}

/// Some rows with the number of the line that each one starts on.
pub(crate) struct Built {
    /// The rows.
    pub batch: RecordBatch,
    /// The file they are from.
    pub path: PathBuf,
    /// One line number per row, from 1; empty where the format has no lines.
    pub lines: Vec<u64>,
}

/// A format whose columns are not known before the rows are read.
pub(crate) trait RowFormat: Sync {
    /// Some rows as they stand in the file.
    type Chunk: Send + Sync;

    /// Columns that are known before any row is read.
    fn header(&self) -> Columns {
        Columns::new()
    }
    /// All rows of all files, in order.
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Self::Chunk, TabularError>> + Send + '_>;
    /// Rows in the chunk.
    fn rows(&self, chunk: &Self::Chunk) -> u64;
    /// Drops all but the first `rows` rows.
    fn truncate(&self, chunk: &mut Self::Chunk, rows: u64);
    /// The types of the chunk's columns.
    fn infer(&self, chunk: &Self::Chunk) -> Result<Columns, TabularError>;
    /// The smallest type of both.
    fn join(&self, a: ColumnType, b: ColumnType) -> Result<ColumnType, Box<(ColumnType, ColumnType)>> {
        a.join(b)
    }
    /// Where a chunk begins.
    fn place(&self, chunk: &Self::Chunk) -> Place;
    /// The rows as columns of these types.
    fn build(&self, chunk: &Self::Chunk, types: &Columns) -> Result<Built, TabularError>;
}

/// Reads `files`, all of one format, into `sink`; returns the number of rows.
pub fn read(
    files: &[PathBuf],
    format: Format,
    options: &ReadOptions,
    sink: &mut dyn Sink,
) -> Result<u64, TabularError> {
    match format {
        Format::Jsonl => read_rows(&Lines { files, options }, files, options, sink),
        Format::Json => read_rows(&Documents { files, options }, files, options, sink),
        Format::Csv => read_rows(&Delimited::new(files, b',', options)?, files, options, sink),
        Format::Tsv => read_rows(&Delimited::new(files, b'\t', options)?, files, options, sink),
        Format::Text if options.whole_files => read_rows(&WholeFiles { files }, files, options, sink),
        Format::Text => read_rows(&TextLines { files }, files, options, sink),
        Format::Parquet => parquet::read(files, options, sink),
    }
}

fn read_rows<F: RowFormat>(
    format: &F,
    files: &[PathBuf],
    options: &ReadOptions,
    sink: &mut dyn Sink,
) -> Result<u64, TabularError> {
    let guess = infer(format, options, rayon::current_num_threads())?;
    match write_all(format, files, options, &guess, sink) {
        // The sink's own refusal has nothing to do with types.
        Err(error)
            if !matches!(
                error,
                TabularError::Sink(_) | TabularError::DuplicateId { .. } | TabularError::MissingId { .. }
            ) =>
        {
            let all = infer(format, options, usize::MAX)?;
            if all.columns == guess.columns {
                return Err(error);
            }
            write_all(format, files, options, &all, sink)
        }
        outcome => outcome,
    }
}

/// What inference found.
struct Inferred {
    columns: Columns,
    rows: u64,
}

/// Applies the row limit to the chunks.
fn limited<'a, F: RowFormat>(
    format: &'a F,
    limit: Option<u64>,
) -> Box<dyn Iterator<Item = Result<F::Chunk, TabularError>> + Send + 'a> {
    let Some(mut left) = limit else { return format.chunks() };
    Box::new(format.chunks().map_while(move |chunk| {
        if left == 0 {
            return None;
        }
        Some(chunk.map(|mut chunk| {
            format.truncate(&mut chunk, left);
            left -= format.rows(&chunk).min(left);
            chunk
        }))
    }))
}

fn infer<F: RowFormat>(format: &F, options: &ReadOptions, max_chunks: usize) -> Result<Inferred, TabularError> {
    let mut found = Inferred { columns: format.header(), rows: 0 };
    let mut chunks = limited(format, options.limit).take(max_chunks);
    loop {
        let group: Vec<_> = chunks.by_ref().take(2 * rayon::current_num_threads()).collect::<Result<_, _>>()?;
        if group.is_empty() {
            return Ok(found);
        }
        let partial: Vec<_> = group.par_iter().map(|chunk| format.infer(chunk)).collect();
        for (chunk, columns) in group.iter().zip(partial) {
            found.rows += format.rows(chunk);
            for (name, ty) in columns? {
                let seen = found.columns.entry(name.clone()).or_default();
                *seen = format.join(std::mem::take(seen), ty).map_err(|clash| TabularError::Clash {
                    place: format.place(chunk),
                    column: name.clone(),
                    top: name,
                    found: clash.1.into(),
                    expected: clash.0.into(),
                })?;
            }
        }
    }
}

/// The types to build with: declared ones in place of inferred ones.
fn with_declared(found: &Inferred, files: &[PathBuf], options: &ReadOptions) -> Result<Columns, TabularError> {
    let path = || files.first().cloned().unwrap_or_default();
    if found.rows == 0 && found.columns.is_empty() && options.schema.is_empty() {
        return Err(TabularError::NoRows { path: path() });
    }
    if let Some((name, _)) = options.schema.iter().find(|(_, ty)| ty.depth() > MAX_NESTING) {
        let message = format!("the type of `{name}` is nested more than {MAX_NESTING} deep; declare it as `json`");
        return Err(TabularError::Other { path: path(), message });
    }
    let mut columns = found.columns.clone();
    for (name, ty) in &options.schema {
        if found.columns.is_empty() || columns.contains_key(name) {
            columns.insert(name.clone(), ty.clone());
        }
    }
    let asked = options.columns.iter().flatten().chain(options.schema.keys()).chain(options.rename.keys());
    for column in asked {
        if !columns.contains_key(column) {
            let known = columns.keys().cloned().collect();
            return Err(TabularError::MissingColumn { path: path(), column: column.clone(), known });
        }
    }
    columns.retain(|name, _| options.wanted(name) != Wanted::Skip);
    Ok(columns)
}

fn write_all<F: RowFormat>(
    format: &F,
    files: &[PathBuf],
    options: &ReadOptions,
    found: &Inferred,
    sink: &mut dyn Sink,
) -> Result<u64, TabularError> {
    let types = &with_declared(found, files, options)?;
    let mut output = Output::new(&arrow_schema(types), files, options, sink)?;
    let threads = rayon::current_num_threads();
    std::thread::scope(|scope| {
        // One group of chunks is built while the one before it is written; the channel bounds what is in flight.
        let (sender, receiver) = mpsc::sync_channel(threads);
        scope.spawn(move || {
            let mut chunks = limited(format, options.limit);
            loop {
                let group: Vec<_> = chunks.by_ref().take(threads).collect();
                if group.is_empty() {
                    return;
                }
                let built: Vec<_> = group.into_par_iter().map(|chunk| format.build(&chunk?, types)).collect();
                for batch in built {
                    let failed = batch.is_err();
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            }
        });
        for built in receiver {
            output.write(&built?)?;
        }
        Ok(output.rows)
    })
}

/// The way out: select, rename, check ids, hand over.
pub(crate) struct Output<'a> {
    sink: &'a mut dyn Sink,
    schema: SchemaRef,
    projection: Vec<usize>,
    ids: Option<Ids>,
    rows: u64,
}

impl<'a> Output<'a> {
    /// For batches of `schema`, as read from `files`.
    pub(crate) fn new(
        schema: &SchemaRef,
        files: &[PathBuf],
        options: &ReadOptions,
        sink: &'a mut dyn Sink,
    ) -> Result<Self, TabularError> {
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
        sink.begin(&selected)?;
        Ok(Self { sink, schema: selected, projection, ids, rows: 0 })
    }

    /// Hands over some rows.
    pub(crate) fn write(&mut self, built: &Built) -> Result<(), TabularError> {
        let columns = self.projection.iter().map(|&i| built.batch.column(i).clone()).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|e| TabularError::Other { path: built.path.clone(), message: e.to_string() })?;
        if let Some(ids) = &mut self.ids {
            ids.check(&batch, built, self.rows)?;
        }
        self.rows += batch.num_rows() as u64;
        self.sink.write(&batch)?;
        Ok(())
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

/// The clash of one row as an error.
pub(crate) fn clash_error(clash: Clash, place: Place, message: String) -> TabularError {
    let column = clash.column();
    match clash.types {
        Some((found, expected)) => {
            let top = clash.path.last().cloned().unwrap_or_default();
            TabularError::Clash { place, column, top, found: found.into(), expected: expected.into() }
        }
        None if column.is_empty() => TabularError::Syntax { place, message },
        None => TabularError::Value { place, column, message },
    }
}
