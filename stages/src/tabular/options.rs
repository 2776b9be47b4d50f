//! What to make of the files.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::types::ColumnType;

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
