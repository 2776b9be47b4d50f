//! What to make of the files.

use std::{collections::BTreeMap, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::types::ColumnType;

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

/// How rows are laid out in collections that others publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// `instruction`, `input` and `output`: as stages read them.
    Alpaca,
    /// `conversations`, a list of `{from, value}`: becomes `messages`.
    Sharegpt,
    /// `messages`, a list of `{role, content}`.
    Messages,
    /// SQuAD's own JSON, or its flat form (`context`, `question`, `answers`): becomes `instruction` (the question),
    /// `input` (the context), `output` (the first answer) and `references` (all of them; none where there is no
    /// answer).
    Squad,
    /// lm-evaluation-harness's `samples_<task>_<time>.jsonl`: becomes `id` (`task/doc_id`), `task`, `instruction` (the
    /// prompt), `output` (the target), `labels` (the choices), `prediction`, `filter` and the scores.
    #[serde(rename = "lm_eval")]
    LmEval,
}

impl Shape {
    /// As it is written.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alpaca => "alpaca",
            Self::Sharegpt => "sharegpt",
            Self::Messages => "messages",
            Self::Squad => "squad",
            Self::LmEval => "lm_eval",
        }
    }
}

/// What becomes of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Turns {
    /// All of it, in a column `messages`, as `train` reads it.
    #[default]
    All,
    /// The first question and its answer, in columns `instruction` and `output`.
    First,
}

/// How texts are cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chunking {
    /// The most words (or characters) of a chunk. A chunk ends earlier, but not before its middle, where a paragraph
    /// ends there, or else a sentence.
    #[serde(default = "default_size")]
    #[schemars(range(min = 1))]
    pub size: usize,
    /// With how many of the last words (or characters) of a chunk the next one begins again; fewer than `size`.
    #[serde(default = "default_overlap")]
    pub overlap: usize,
    /// What is counted.
    #[serde(default)]
    pub unit: ChunkUnit,
}

fn default_size() -> usize {
    200
}

fn default_overlap() -> usize {
    40
}

impl Default for Chunking {
    fn default() -> Self {
        Self { size: default_size(), overlap: default_overlap(), unit: ChunkUnit::default() }
    }
}

/// What is counted of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChunkUnit {
    /// What white space separates; in scripts without spaces between words (Chinese, Japanese, Thai), every character.
    #[default]
    Words,
    /// Characters, spaces included.
    Characters,
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
