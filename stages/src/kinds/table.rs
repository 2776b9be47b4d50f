//! `table`: rows from files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use pipe_engine::{
    context::StageContext,
    diag, keys,
    kind::{Column, OutputPort, ParamProblem, Ports, Preview, Source, SourceHost, StageError, StageKind, written},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::tabular::{self, ColumnType, Format, OutputSink, ReadOptions};

/// Reads rows from JSONL, JSON, CSV, TSV, Parquet or plain-text files; `.gz` and `.zst` are decompressed on the way.
///
/// Files enter the key by content, not by path. Several files and patterns are concatenated: patterns in the order of
/// the sorted names they match, the entries of a list in list order.
///
/// A column's type is the smallest that holds all its values: nulls fit every type, whole and broken numbers give
/// `float`, lists and objects are joined item by item and field by field, a column of nulls only is text. In JSON any
/// other mixture is an error, as is a number that 64 bits do not hold; in CSV and TSV it is text, as is what would
/// lose characters as a number (`007`, `1e999`, `32E0134`, 30 digits), and an empty cell is null. Columns stand in
/// order of first appearance; one without a name in the header is called `column_N`. Declared types (`schema`) replace
/// inference.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableParams {
    /// A file, a pattern (`corpus/*.jsonl.gz`), or a list of them, relative to the file in which it is written. A file
    /// that has a pattern's characters in its name is found by that name.
    #[schemars(extend("x-operational" = true, "x-path" = true))]
    pub path: OneOrMany,
    /// How rows are written; found by the file name's extension when left out.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub format: Option<Format>,
    /// The columns to keep, in this order, by the name in the file; all when left out.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// New names of columns: `name in the file: new name`.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Types of columns, by the name in the file: `string`, `int`, `float`, `bool`, `json`, `[type]`, `{field: type}`.
    /// `string` and `json` take any value (as its JSON text); the others are checked.
    #[serde(default)]
    pub schema: BTreeMap<String, ColumnType>,
    /// A column (by its new name) that must have a different value in every row.
    #[serde(default)]
    pub id: Option<String>,
    /// Read at most this many rows.
    #[serde(default)]
    pub limit: Option<u64>,
    /// For a `.json` object whose values are the rows: the column that takes the keys.
    #[serde(default = "default_key_column")]
    pub key_column: String,
    /// For `.json`: where in the document the rows are, as a JSON pointer (`/data/items`).
    #[serde(default)]
    pub rows_at: Option<String>,
    /// For plain text: what makes a row.
    #[serde(default)]
    pub rows: TextRows,
    /// For CSV and TSV: whether `"` quotes cells that hold delimiters, line ends and quotes; if not, it is a character
    /// like any other.
    #[serde(default = "default_quotes")]
    pub quotes: bool,
}

fn default_quotes() -> bool {
    true
}

fn default_key_column() -> String {
    "key".into()
}

/// One text or several.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several, in this order.
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// What makes a row of plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TextRows {
    /// Each line, in a column `text`.
    #[default]
    Line,
    /// Each file, in columns `file` (its name) and `text`.
    File,
}

/// The kind.
pub struct Table;

fn is_pattern(path: &str) -> bool {
    written(path).contains(['*', '?', '['])
}

impl TableParams {
    /// The format of all files, if it can be told without looking at them.
    fn resolved_format(&self) -> Result<Format, String> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let mut found = None;
        for path in self.path.as_slice() {
            let format = Format::of(Path::new(path))
                .ok_or_else(|| format!("the extension of `{path}` does not tell the format"))?;
            if *found.get_or_insert(format) != format {
                return Err(format!("`{path}` is of another format than the files before it"));
            }
        }
        found.ok_or_else(|| "no file is named".to_owned())
    }

    fn options(&self) -> ReadOptions {
        ReadOptions {
            columns: self.columns.clone(),
            rename: self.rename.clone(),
            schema: self.schema.clone(),
            id: self.id.clone(),
            limit: self.limit,
            key_column: self.key_column.clone(),
            rows_at: self.rows_at.clone(),
            whole_files: self.rows == TextRows::File,
            quotes: self.quotes,
        }
    }

    /// What is known of the columns without looking at the files.
    fn known_columns(&self) -> Vec<Column> {
        let names = self.columns.iter().flatten().map(|name| self.rename.get(name).unwrap_or(name));
        names.map(|name| Column::new(name.clone(), "as in the files", "")).collect()
    }

    fn files(&self, base_dir: &Path) -> Result<Vec<PathBuf>, StageError> {
        let mut files = Vec::new();
        for path in self.path.as_slice() {
            if is_pattern(path) {
                let found = keys::expand(base_dir, path)
                    .map_err(|problem| StageError::user(format!("`{}` {problem}", written(path))))?;
                files.extend(found);
            } else {
                files.push(base_dir.join(path));
            }
        }
        Ok(files)
    }
}

impl StageKind for Table {
    type Params = TableParams;
    const NAME: &'static str = "table";
    // 1: the first.
    // 2: numbers that would lose digits stay text or are refused, unclosed quotes are refused, nameless columns are
    // read.
    const VERSION: u32 = 2;

    fn ports(&self, params: &TableParams) -> Ports {
        let rows = OutputPort::table("rows").about("The rows of all files, in their order.");
        Ports { outputs: vec![rows.gives(params.known_columns())], ..Ports::default() }
    }

    fn check(&self, params: &TableParams) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: String, help: &str| {
            problems.push(ParamProblem { pointer: pointer.into(), message, help: Some(help.into()) });
        };
        let format = params.resolved_format();
        if let Err(message) = &format {
            problem(
                "/path",
                message.clone(),
                "give `format: jsonl`, `json`, `csv`, `tsv`, `parquet` or `text`; one table, one format",
            );
        }
        if let Some(url) = params.path.as_slice().iter().find(|path| path.contains("://")) {
            let message = format!("`{}` is an address, and tables are read from files", diag::redact(url));
            problem("/path", message, "download it, or have a `command` stage do so");
        }
        if !params.quotes && format.as_ref().is_ok_and(|f| !matches!(f, Format::Csv | Format::Tsv)) {
            problem("/quotes", "only CSV and TSV have quotes around cells".into(), "leave it out");
        }
        if params.rows_at.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
            problem("/rows_at", "a JSON pointer begins with `/`".into(), "for example `/data/items`");
        }
        if params.rows_at.is_some() && format.as_ref().is_ok_and(|f| *f != Format::Json) {
            problem("/rows_at", "only `.json` documents have rows somewhere inside".into(), "leave it out");
        }
        if params.rows == TextRows::File && format.as_ref().is_ok_and(|f| *f != Format::Text) {
            problem(
                "/rows",
                "only plain text can be read as one row per file".into(),
                "leave it out, or give `format: text`",
            );
        }
        if format.as_ref().is_ok_and(|f| *f == Format::Parquet) && !params.schema.is_empty() {
            problem("/schema", "Parquet files bring their own types".into(), "leave it out");
        }
        problems
    }

    fn sources(&self, params: &TableParams) -> Result<Vec<Source>, StageError> {
        let format = params.resolved_format().map_err(StageError::user)?;
        let mut sources = vec![Source::Value { label: "format".into(), value: json!(format) }];
        let whole_files = params.rows == TextRows::File;
        for path in params.path.as_slice() {
            let label = "path".to_owned();
            if is_pattern(path) {
                sources.push(Source::Glob { label, pattern: path.clone(), names: whole_files });
                continue;
            }
            if whole_files {
                let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
                sources.push(Source::Value { label: "file".into(), value: json!(name) });
            }
            sources.push(Source::Path { label, path: path.into() });
        }
        Ok(sources)
    }

    fn preview(&self, params: &TableParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        let format = params.resolved_format().map_err(StageError::user)?;
        let files = params.files(host.base_dir())?;
        let columns = tabular::peek(&files, format, &params.options())?;
        Ok(columns.map_or_else(Preview::default, |columns| Preview::columns("rows", columns)))
    }

    fn run(&self, params: &TableParams, cx: &mut StageContext) -> Result<(), StageError> {
        let format = params.resolved_format().map_err(StageError::user)?;
        let files = params.files(cx.base_dir())?;
        let mut sink = OutputSink::new(cx, "rows");
        tabular::read(&files, format, &params.options(), &mut sink)?;
        sink.finish()?;
        Ok(())
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "params: { path: rows.jsonl }",
    version: 2,
    outputs: &[("rows", "b0be4a0e81e78483ffd40b5d5bece46b997419a1240527f6ce834bb08d1e4db8")],
};
