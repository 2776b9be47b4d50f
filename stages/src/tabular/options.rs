//! What to make of the files.

use std::{collections::BTreeMap, path::Path};

use indexmap::IndexMap;

use super::{
    chunks::Chunking,
    shapes::{Shape, Turns},
    types::ColumnType,
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
    /// For `.json` without that pointer: the key of an object under which the rows are, if there is one.
    pub rows_under: Option<&'static str>,
    /// Columns that are not read, by the name in the file.
    pub left_out: &'static [&'static str],
    /// How the rows are laid out, if not as stages read them.
    pub shape: Option<Shape>,
    /// For conversations: what becomes of them.
    pub turns: Turns,
    /// For plain text: one row per file instead of one per line.
    pub whole_files: bool,
    /// Texts, or the column `text` of rows, in several rows each, cut like that.
    pub chunking: Option<Chunking>,
    /// What the files are called in the table, in their order; by their own names, without folders, where it is empty.
    pub names: Vec<String>,
    /// For delimited text: what stands between cells, where it is not what the format's name says.
    pub delimiter: Option<u8>,
    /// For delimited text: what quotes cells; `None` reads quotes as characters.
    pub quote: Option<u8>,
    /// For delimited text: what is written for a missing value, besides nothing.
    pub nulls: Vec<String>,
    /// For delimited text: where the names of the columns are from.
    pub header: Header,
}

/// Where the names of delimited columns are from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Header {
    /// The first record.
    #[default]
    First,
    /// Nowhere: they are `column_1`, `column_2` and so on.
    Absent,
    /// From outside of the files.
    Named(Vec<String>),
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
            rows_under: None,
            left_out: &[],
            shape: None,
            turns: Turns::All,
            whole_files: false,
            chunking: None,
            names: Vec::new(),
            delimiter: None,
            quote: Some(b'"'),
            nulls: Vec::new(),
            header: Header::First,
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
    /// What the file at that place among all files is called in the table.
    pub fn name_of(&self, at: usize, path: &Path) -> String {
        let own = || path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.names.get(at).cloned().unwrap_or_else(own)
    }

    /// What the column of that name in the file is wanted for.
    pub fn wanted(&self, name: &str) -> Wanted {
        match &self.columns {
            _ if self.left_out.contains(&name) => Wanted::Skip,
            Some(columns) if !columns.iter().any(|kept| kept == name) => Wanted::Skip,
            _ if self.schema.contains_key(name) => Wanted::Declared,
            _ => Wanted::Infer,
        }
    }
}
