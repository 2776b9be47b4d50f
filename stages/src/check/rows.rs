//! The rows of a table with their places: texts of those columns that are looked at, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, SchemaRef},
};
use pipe_engine::kind::StageError;

use super::{Found, Place, flow::Use};
use crate::tabular::Sink;

/// Longest excerpt, in characters.
const EXCERPT: usize = 100;

/// The rows.
pub(super) struct Rows {
    wanted: BTreeSet<String>,
    /// All columns of the table, with their types.
    pub columns: Vec<(String, DataType)>,
    texts: BTreeMap<String, Vec<Option<String>>>,
    places: Vec<(usize, Option<u64>)>,
    files: Vec<PathBuf>,
    count: usize,
}

impl Rows {
    /// For the columns that these inputs read.
    pub(super) fn wanting(uses: &[Use]) -> Self {
        let columns = uses.iter().flat_map(|of| &of.columns);
        let wanted =
            columns.flat_map(|c| [&*c.name].into_iter().chain(c.alternatives.iter().copied()).map(str::to_owned));
        Self {
            wanted: wanted.chain(["id".to_owned()]).collect(),
            columns: Vec::new(),
            texts: BTreeMap::new(),
            places: Vec::new(),
            files: Vec::new(),
            count: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|(name, _)| name == column)
    }

    /// The value of a row, if it holds more than white space.
    pub(super) fn filled(&self, column: &str, row: usize) -> Option<&str> {
        let value = self.texts.get(column)?.get(row)?.as_deref()?;
        (!value.trim().is_empty()).then_some(value)
    }

    /// What is asked in a row: instruction and input.
    pub(super) fn question(&self, row: usize) -> String {
        let part = |column| self.filled(column, row).unwrap_or_default();
        format!("{} {}", part("instruction"), part("input"))
    }

    pub(super) fn place(&self, row: usize) -> Place {
        let (file, line) = self.places[row];
        let neighbour = |other: Option<usize>| other.and_then(|row| self.places.get(row)).is_some_and(|p| p.0 == file);
        let alone = !neighbour(row.checked_sub(1)) && !neighbour(Some(row + 1));
        Place { file: self.files[file].clone(), line, row: row + 1, alone }
    }

    /// The row as people are shown it.
    pub(super) fn found(&self, row: usize) -> Found {
        Found { place: self.place(row), text: self.excerpt(row), like: None }
    }

    /// What says best which row it is.
    pub(super) fn excerpt(&self, row: usize) -> String {
        let telling = ["instruction", "text", "input", "output", "references", "id"];
        let text = telling.iter().find_map(|column| self.filled(column, row)).unwrap_or_default();
        let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() > EXCERPT {
            line = line.chars().take(EXCERPT - 1).chain(['…']).collect();
        }
        line
    }
}

impl Sink for Rows {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        self.columns = schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect();
        self.texts = self.wanted.iter().filter(|name| self.has(name)).map(|name| (name.clone(), Vec::new())).collect();
        self.places.clear();
        self.count = 0;
        Ok(())
    }

    fn at(&mut self, file: &Path, lines: &[u64]) {
        if self.files.last().is_none_or(|last| last != file) {
            self.files.push(file.to_owned());
        }
        self.places.extend(lines.iter().map(|line| (self.files.len() - 1, Some(*line))));
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        for (name, texts) in &mut self.texts {
            if let Some(column) = batch.column_by_name(name) {
                texts.extend(values(column));
            }
        }
        if self.files.is_empty() {
            self.files.push(PathBuf::new());
        }
        self.count += batch.num_rows();
        // Rows without lines.
        self.places.resize(self.count, (self.files.len().saturating_sub(1), None));
        Ok(())
    }
}

/// The values of a column as texts; of a list its first that is not blank.
fn values(column: &ArrayRef) -> Vec<Option<String>> {
    if let Some(lists) = column.as_list_opt::<i32>() {
        let first = |list: Option<ArrayRef>| values(&list?).into_iter().flatten().find(|text| !text.trim().is_empty());
        return lists.iter().map(first).collect();
    }
    match cast(column, &DataType::Utf8) {
        Ok(texts) => texts.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect(),
        // Objects and the like: there is something, and it is no text.
        Err(_) => (0..column.len()).map(|row| column.is_valid(row).then(|| "…".to_owned())).collect(),
    }
}
