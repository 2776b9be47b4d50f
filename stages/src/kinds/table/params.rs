//! What a stage of the kind may be told.

use std::{collections::BTreeMap, path::Path};

use pipe_engine::{
    diag,
    kind::{Column, ParamProblem, written},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::remote::Address;
use crate::{
    rows::ports,
    tabular::{Chunking, ColumnType, Format, Header, ReadOptions, Shape, Turns},
};

/// Reads rows from JSONL, JSON, CSV, TSV, Parquet or plain-text files; `.gz` and `.zst` are decompressed on the way.
///
/// Files enter the key by content, not by path; their names do where rows have them (`rows: file` and `rows: chunk`).
/// Several files are concatenated: those of a pattern or a folder in the order of their sorted names, the entries of a
/// list in list order; with `rows: chunk` all of them in the order of their names.
///
/// A column's type is the smallest that holds all its values: nulls fit every type, whole and broken numbers give
/// `float`, lists and objects are joined item by item and field by field, a column of nulls only is text. In JSON any
/// other mixture is an error, as is a number that 64 bits do not hold; in CSV and TSV it is text, as is what would
/// lose characters as a number (`007`, `1e999`, `32E0134`, 30 digits), and an empty cell is null. Columns stand in
/// order of first appearance; one without a name in the header is called `column_N`. Declared types (`schema`) replace
/// inference.
///
/// A folder of texts becomes a corpus for `retrieve` with `path: documents` and `rows: chunk`: Markdown is cut at its
/// headings first, all else into pieces of `chunk: { size: 200, overlap: 40 }` words. The columns are `id` (the file's
/// name below the folder and the number of the chunk in it, `rates/fixed.md#2`, whatever other files there are),
/// `title` (the headings that a chunk stands under, `Loans > Fixed rates`; null where there are none), `text` and
/// `file`.
///
/// Long documents in rows (any other format) are cut likewise: with `rows: chunk` each row becomes as many as there are
/// pieces of its `text`, with the piece's number behind the row's `id` (`a#2`), or behind the row's number where there
/// is no `id`, and the row's other columns. `limit` counts documents then, and files stand in their usual order.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableParams {
    /// A file, a pattern (`corpus/*.jsonl.gz`), a folder, or a list of them, relative to the file in which it is
    /// written. A file that has a pattern's characters in its name is found by that name. Of a folder all files below
    /// it are read whose extensions stand for the format, but for hidden ones.
    ///
    /// `hf://datasets/org/name@revision/data/*.parquet` is files of a data set of the Hugging Face hub (a file, a
    /// pattern or a folder; `main` without a revision), in the cache of `huggingface_hub`; the commit that the revision
    /// is now enters the key. `https://host/rows.csv` is downloaded, asked for again where the server says that it has
    /// changed, and enters the key by content; with `#sha256=...` behind it, nothing else is read, and no server asked
    /// for what is there.
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
    /// How the rows are laid out, if not in the columns that stages read: `alpaca`, `sharegpt`, `messages` or `squad`,
    /// in any format but text. They come out in columns that stages read, and `columns`, `rename`, `id` and `limit` are
    /// of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<Shape>,
    /// For `shape: sharegpt` and `messages`: `all` of a conversation, or the `first` question with its answer.
    #[serde(default, skip_serializing_if = "is_all")]
    pub turns: Turns,
    /// For plain text and Markdown: what makes a row; `chunk` cuts the rows of other formats, too.
    #[serde(default)]
    pub rows: TextRows,
    /// For `rows: chunk`: how large chunks are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chunk: Option<Chunking>,
    /// For CSV and TSV: whether `"` quotes cells that hold delimiters, line ends and quotes; if not, it is a character
    /// like any other. Another character (`"'"`) quotes in its place.
    #[serde(default)]
    pub quotes: Quotes,
    /// For CSV and TSV: the character between cells, such as `;`, `|` or `"\t"`, where it is not the format's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// For CSV and TSV: what is written for a missing value, such as `[NA, "-"]`. An empty cell is one in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nulls: Vec<String>,
    /// For CSV and TSV: whether the first line names the columns; if not, they are `column_1`, `column_2` and so on, or
    /// have the names of a list (`[question, answer]`).
    #[serde(default, skip_serializing_if = "HeaderLine::is_there")]
    pub header: HeaderLine,
}

fn default_key_column() -> String {
    "key".into()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over like that")]
fn is_all(turns: &Turns) -> bool {
    *turns == Turns::All
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
    /// All of them.
    pub fn as_slice(&self) -> &[String] {
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
    /// Each piece of a file, in columns `id`, `title`, `text` and `file`; or of a row's `text`, in the row's columns.
    Chunk,
}

/// What quotes cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Quotes {
    /// `"`, or nothing.
    Usual(bool),
    /// That character.
    Mark(char),
}

impl Default for Quotes {
    fn default() -> Self {
        Self::Usual(true)
    }
}

/// Where the names of columns are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HeaderLine {
    /// In the first line, or nowhere.
    Line(bool),
    /// Here.
    Names(Vec<String>),
}

impl Default for HeaderLine {
    fn default() -> Self {
        Self::Line(true)
    }
}

impl HeaderLine {
    fn is_there(&self) -> bool {
        *self == Self::Line(true)
    }
}

/// A character that stands in one byte, as the scanner of delimited text wants it.
fn byte(c: char) -> Option<u8> {
    u8::try_from(c).ok().filter(|byte| byte.is_ascii() && !matches!(byte, b'\n' | b'\r'))
}

impl TableParams {
    /// Where the rows are, as it is written: the first path, and how many more.
    pub(crate) fn written_path(&self) -> String {
        match self.path.as_slice() {
            [] => String::new(),
            [only] => diag::redact(written(only)).into_owned(),
            [first, rest @ ..] => format!("{} and {} more", diag::redact(written(first)), rest.len()),
        }
    }

    /// The format of all files, if it can be told without looking at them.
    pub(super) fn resolved_format(&self) -> Result<Format, String> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let mut found = None;
        for path in self.path.as_slice() {
            // Only text has rows that are files, or parts of them.
            let of_text = (self.rows != TextRows::Line).then_some(Format::Text);
            let format = Format::of(Path::new(Address::file_name(path)))
                .or(of_text)
                .ok_or_else(|| format!("the extension of `{}` does not tell the format", diag::redact(path)))?;
            if *found.get_or_insert(format) != format {
                return Err(format!("`{path}` is of another format than the files before it"));
            }
        }
        found.ok_or_else(|| "no file is named".to_owned())
    }

    /// Whether rows are pieces of files, whose names they have.
    pub(super) fn cuts_files(&self) -> bool {
        self.rows == TextRows::Chunk && self.resolved_format() == Ok(Format::Text)
    }

    /// As the reader wants it; the names of the files are not known here.
    pub(super) fn options(&self) -> ReadOptions {
        ReadOptions {
            columns: self.columns.clone(),
            rename: self.rename.clone(),
            schema: self.schema.clone(),
            id: self.id.clone(),
            limit: self.limit,
            key_column: self.key_column.clone(),
            rows_at: self.rows_at.clone(),
            rows_under: None,
            left_out: &[],
            shape: self.shape,
            turns: self.turns,
            whole_files: self.rows == TextRows::File,
            chunking: (self.rows == TextRows::Chunk).then(|| self.chunk.unwrap_or_default()),
            names: Vec::new(),
            delimiter: self.delimiter.and_then(byte),
            quote: match self.quotes {
                Quotes::Usual(quotes) => quotes.then_some(b'"'),
                Quotes::Mark(mark) => byte(mark),
            },
            nulls: self.nulls.clone(),
            header: match &self.header {
                HeaderLine::Line(true) => Header::First,
                HeaderLine::Line(false) => Header::Absent,
                HeaderLine::Names(names) => Header::Named(names.clone()),
            },
        }
    }

    /// What is known of the columns without looking at the files.
    pub(super) fn known_columns(&self) -> Vec<Column> {
        let exchange = || vec![ports::instruction(), ports::output()];
        let made = match (self.rows, self.shape, self.turns) {
            (TextRows::Chunk, ..) if self.cuts_files() => ports::chunk().to_vec(),
            (TextRows::Chunk, ..) => {
                ports::chunk().into_iter().filter(|c| ["id", "text"].contains(&&*c.name)).collect()
            }
            (_, Some(Shape::Sharegpt | Shape::Messages), Turns::All) => vec![ports::messages()],
            (_, Some(Shape::Squad), _) => {
                vec![ports::instruction(), ports::input(), ports::output(), ports::references()]
            }
            (_, Some(Shape::LmEval), _) => {
                let scored = [ports::labels(), ports::answer("prediction".to_owned())];
                [ports::id(), ports::task()].into_iter().chain(exchange()).chain(scored).collect()
            }
            (_, Some(_), _) => exchange(),
            (_, None, _) => Vec::new(),
        };
        let named = |name: &String| {
            let column = made.iter().find(|column| column.name == *name).cloned();
            column.unwrap_or_else(|| Column::new(name.clone(), "as in the files", ""))
        };
        let kept = self.columns.as_ref().map(|names| names.iter().map(named).collect());
        let mut columns = kept.unwrap_or(made);
        for column in &mut columns {
            if let Some(new) = self.rename.get(&*column.name) {
                column.name = new.clone().into();
            }
        }
        columns
    }

    /// What makes no sense.
    pub(super) fn problems(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: String, help: &str| {
            problems.push(ParamProblem { pointer: pointer.into(), message, help: Some(help.into()) });
        };
        let format = self.resolved_format();
        let is = |formats: &[Format]| format.as_ref().map_or(true, |format| formats.contains(format));
        if let Err(message) = &format {
            problem(
                "/path",
                message.clone(),
                "give `format: jsonl`, `json`, `csv`, `tsv`, `parquet` or `text`; one table, one format",
            );
        }
        for address in self.path.as_slice().iter().filter_map(|path| Address::of(path)) {
            if let Err((message, help)) = address {
                problem("/path", message, help);
            }
        }
        let delimited = is(&[Format::Csv, Format::Tsv]);
        if self.quotes != Quotes::default() && !delimited {
            problem("/quotes", "only CSV and TSV have quotes around cells".into(), "leave it out");
        }
        for (pointer, is_given) in [
            ("/delimiter", self.delimiter.is_some()),
            ("/nulls", !self.nulls.is_empty()),
            ("/header", !self.header.is_there()),
        ] {
            if is_given && !delimited {
                problem(pointer, "that is of CSV and TSV alone".into(), "leave it out");
            }
        }
        let quote = match self.quotes {
            Quotes::Mark(mark) => Some(mark),
            Quotes::Usual(quotes) => quotes.then_some('"'),
        };
        for (pointer, mark) in [("/delimiter", self.delimiter), ("/quotes", quote)] {
            if let Some(mark) = mark.filter(|mark| byte(*mark).is_none()) {
                problem(
                    pointer,
                    format!("{mark:?} is no ASCII character within a line"),
                    "give one such as `;` or `|`",
                );
            }
        }
        if self.delimiter.is_some() && self.delimiter == quote {
            problem("/delimiter", "that character quotes cells".into(), "give another, or `quotes: false`");
        }
        if let HeaderLine::Names(names) = &self.header {
            let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
            if let Some((_, name)) = twice {
                problem("/header", format!("`{name}` stands there twice"), "columns are told apart by their names");
            }
        }
        if self.rows_at.as_ref().is_some_and(|pointer| !pointer.starts_with('/')) {
            problem("/rows_at", "a JSON pointer begins with `/`".into(), "for example `/data/items`");
        }
        if self.rows_at.is_some() && !is(&[Format::Json]) {
            problem("/rows_at", "only `.json` documents have rows somewhere inside".into(), "leave it out");
        }
        if self.key_column != default_key_column() && !is(&[Format::Json]) {
            problem("/key_column", "only `.json` documents have rows with keys".into(), "leave it out");
        }
        if self.columns.as_ref().is_some_and(Vec::is_empty) {
            problem("/columns", "no column is kept".into(), "name one or more, or leave it out for all of them");
        }
        if self.rows == TextRows::File && !is(&[Format::Text]) {
            let message = "only plain text can be read as one row per file".into();
            problem("/rows", message, "leave it out, or give `format: text`");
        }
        if self.shape.is_some() && format.is_ok() && is(&[Format::Text]) {
            problem("/shape", "plain text has no columns to be laid out".into(), "leave it out");
        }
        if self.turns != Turns::All && !matches!(self.shape, Some(Shape::Sharegpt | Shape::Messages)) {
            problem("/turns", "only conversations have turns".into(), "give `shape: messages`, or leave it out");
        }
        match self.chunk {
            Some(_) if self.rows != TextRows::Chunk => {
                problem("/chunk", "nothing is cut into chunks".into(), "give `rows: chunk`, or leave it out");
            }
            Some(chunk) if chunk.overlap >= chunk.size => problem(
                "/chunk/overlap",
                format!("an overlap of {} leaves nothing new in chunks of {}", chunk.overlap, chunk.size),
                "give fewer than `size`",
            ),
            _ => {}
        }
        if is(&[Format::Parquet]) && format.is_ok() && !self.schema.is_empty() {
            problem("/schema", "Parquet files bring their own types".into(), "leave it out");
        }
        problems
    }
}
