//! JSON rows: one per line, or in a document.

use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, RecordBatch};
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

use super::{
    build::{RowBuilder, UNDECLARED},
    error::{Place, TabularError},
    exact::{Members, lost_number},
    infer::{Clash, InferRow, clash_error},
    open::{Block, Blocks, read_all},
    options::{ReadOptions, Wanted},
    row_format::{Built, RowFormat},
    types::Columns,
};

/// Large enough to keep cores busy, small enough to stay in cache and to spread over threads.
const BLOCK_SIZE: usize = 4 << 20;
/// Rows of a document that are built together.
const ROWS_PER_CHUNK: usize = 4096;

/// One row's text.
struct RowText<'a> {
    text: &'a str,
    /// The line it starts on.
    line: u64,
    /// Its key in an object of rows.
    key: Option<&'a str>,
}

fn place(path: &Path, row: &RowText, error: &serde_json::Error) -> Place {
    Place {
        path: path.to_owned(),
        line: row.line + (error.line() as u64).saturating_sub(1),
        column: error.column() as u64,
    }
}

/// What is wrong in `text`. serde_json ends its messages with a position within the row; the place is said better by
/// us.
fn message(text: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = &message[..message.rfind(" at line ").unwrap_or(message.len())];
    let no_value = ["expected value", "expected ident", "invalid number"].iter().any(|what| message.starts_with(what));
    if no_value && let Some(word) = foreign_word(text, error) {
        return format!("`{word}` is no JSON; write `null`, `true`, `false`, a number, or a text in double quotes");
    }
    message.strip_prefix("invalid type: ").map_or_else(|| message.to_owned(), |rest| format!("found {rest}"))
}

/// The word of another language (`NaN`, `None`, `'text'`) that stands where a value should.
fn foreign_word<'a>(text: &'a str, error: &serde_json::Error) -> Option<&'a str> {
    let line = text.lines().nth(error.line().checked_sub(1)?)?;
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '_' | '.' | '\'');
    // The error stands at the first character that fits no value, which may be the second of `-Infinity` or `nan`.
    let at = line.get(..error.column().min(line.len()))?;
    let start = at.char_indices().rev().take_while(|(_, c)| is_part(*c)).last()?.0;
    let word = &line[start..];
    let word = &word[..word.find(|c| !is_part(c)).unwrap_or(word.len())];
    (!word.is_empty()).then_some(word)
}

/// A number that no 64-bit type keeps, as an error.
fn check_numbers(path: &Path, row: &RowText, options: &ReadOptions) -> Result<(), TabularError> {
    let Some(lost) = lost_number(row.text, options) else { return Ok(()) };
    let before = &row.text[..lost.written.as_ptr() as usize - row.text.as_ptr() as usize];
    let line = row.line + memchr::memchr_iter(b'\n', before.as_bytes()).count() as u64;
    let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
    let place = Place { path: path.to_owned(), line, column: column as u64 };
    Err(TabularError::Value { place, column: lost.column, message: lost.message })
}

fn infer<'a>(
    path: &Path,
    rows: impl Iterator<Item = RowText<'a>>,
    options: &ReadOptions,
) -> Result<Columns, TabularError> {
    let mut columns = Columns::new();
    let mut clash = Clash::default();
    for row in rows {
        if row.key.is_some() && options.wanted(&options.key_column) != Wanted::Skip {
            columns.insert(options.key_column.clone(), super::types::ColumnType::Text);
        }
        let mut json = serde_json::Deserializer::from_str(row.text);
        let seed = InferRow { columns: &mut columns, options, clash: &mut clash };
        if let Err(error) = seed.deserialize(&mut json).and_then(|()| json.end()) {
            return Err(clash_error(clash, place(path, &row, &error), message(row.text, &error)));
        }
        check_numbers(path, &row, options)?;
    }
    Ok(columns)
}

fn build<'a>(
    path: &Path,
    rows: impl Iterator<Item = RowText<'a>>,
    types: &Columns,
    options: &ReadOptions,
) -> Result<Built, TabularError> {
    let selects = options.columns.is_some() || !options.left_out.is_empty();
    let mut builder = RowBuilder::new(types, &|name| options.schema.contains_key(name), selects);
    let mut lines = Vec::new();
    for row in rows {
        if let Some(key) = row.key {
            builder.set_text(&options.key_column, key);
        }
        let mut json = serde_json::Deserializer::from_str(row.text);
        if let Err(error) = builder.push(&mut json).and_then(|()| json.end()) {
            let (place, message) = (place(path, &row, &error), message(row.text, &error));
            return Err(match builder.current_column() {
                Some(column) if error.is_data() => TabularError::Value { place, column: column.to_owned(), message },
                _ => TabularError::Syntax { place, message },
            });
        }
        check_numbers(path, &row, options)?;
        lines.push(row.line);
    }
    Ok(Built { batch: builder.finish(), path: path.to_owned(), lines })
}

/// A column of JSON values, of the smallest type that holds them all.
///
/// # Errors
/// No type does; the place is the value's number.
pub fn column_of(values: &[String]) -> Result<ArrayRef, TabularError> {
    const NAME: &str = "value";
    let rows: Vec<String> = values.iter().map(|value| format!("{{\"{NAME}\":{value}}}")).collect();
    let texts = || (1..).zip(&rows).map(|(line, text)| RowText { text, line, key: None });
    let (path, options) = (Path::new("the values"), ReadOptions::default());
    let types = infer(path, texts(), &options)?;
    let built = build(path, texts(), &types, &options)?;
    Ok(built.batch.column(0).clone())
}

/// Rows of declared types, one JSON object each, that have no other columns.
///
/// # Errors
/// The number of the row that does not fit, and why.
pub fn declared_rows(rows: &[&str], types: &Columns) -> Result<RecordBatch, (usize, String)> {
    let options = ReadOptions { schema: types.clone().into_iter().collect(), ..ReadOptions::default() };
    let mut builder = RowBuilder::new(types, &|_| true, false);
    for (at, text) in rows.iter().enumerate() {
        let mut json = serde_json::Deserializer::from_str(text);
        if let Err(error) = builder.push(&mut json).and_then(|()| json.end()) {
            let message = message(text, &error);
            let is_undeclared = message.starts_with(UNDECLARED);
            let column = builder.current_column().filter(|_| error.is_data() && !is_undeclared);
            return Err((at, column.map_or_else(|| message.clone(), |name| format!("column `{name}`: {message}"))));
        }
        if let Some(lost) = lost_number(text, &options) {
            return Err((at, format!("column `{}`: {}", lost.column, lost.message)));
        }
    }
    Ok(builder.finish())
}

/// JSON lines. Lines of white space are skipped.
pub(crate) struct Lines<'a> {
    /// Files in order.
    pub files: &'a [PathBuf],
    /// Selection, declared types.
    pub options: &'a ReadOptions,
}

fn lines_of(block: &Block) -> Result<impl Iterator<Item = RowText<'_>>, TabularError> {
    let lines = block.lines()?.filter(|(_, text)| !is_blank(text));
    Ok(lines.map(|(line, text)| RowText { text, line, key: None }))
}

fn is_blank(line: &str) -> bool {
    line.bytes().all(|byte| byte.is_ascii_whitespace())
}

impl RowFormat for Lines<'_> {
    type Chunk = Block;

    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Block, TabularError>> + Send + '_> {
        Box::new(Blocks::of_files(self.files, BLOCK_SIZE))
    }

    fn rows(&self, block: &Block) -> u64 {
        block.bytes.split(|byte| *byte == b'\n').filter(|line| !line.iter().all(u8::is_ascii_whitespace)).count() as u64
    }

    fn truncate(&self, block: &mut Block, rows: u64) {
        let mut left = rows;
        let mut end = 0;
        for line in block.bytes.split_inclusive(|byte| *byte == b'\n') {
            if left == 0 {
                break;
            }
            end += line.len();
            left -= u64::from(!line.iter().all(u8::is_ascii_whitespace));
        }
        block.bytes.truncate(end);
    }

    fn infer(&self, block: &Block) -> Result<Columns, TabularError> {
        infer(&block.path, lines_of(block)?, self.options)
    }

    fn place(&self, block: &Block) -> Place {
        Place { path: block.path.clone(), line: block.first_line, column: 0 }
    }

    fn build(&self, block: &Block, types: &Columns) -> Result<Built, TabularError> {
        build(&block.path, lines_of(block)?, types, self.options)
    }
}

/// JSON documents: an array of rows, or an object whose values are the rows. A row that is no object stands in a
/// column `value`.
pub(crate) struct Documents<'a> {
    /// Files in order.
    pub files: &'a [PathBuf],
    /// Selection, declared types, where the rows are.
    pub options: &'a ReadOptions,
}

/// Some rows of one document.
pub(crate) struct DocumentRows {
    path: PathBuf,
    rows: Vec<OwnedRow>,
}

struct OwnedRow {
    text: String,
    line: u64,
    key: Option<String>,
}

impl DocumentRows {
    fn rows(&self) -> impl Iterator<Item = RowText<'_>> {
        self.rows.iter().map(|row| RowText { text: &row.text, line: row.line, key: row.key.as_deref() })
    }
}

/// How a value begins, by which rows are told from what stands around them.
fn shape(value: &RawValue) -> u8 {
    match value.get().as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => b'0',
        Some(b't' | b'f') => b't',
        Some(&other) => other,
        None => 0,
    }
}

/// Whether a value is a list of objects.
fn holds_rows(value: &RawValue) -> bool {
    let inside = value.get().strip_prefix('[').map(str::trim_start);
    inside.is_some_and(|items| items.starts_with('{'))
}

impl Documents<'_> {
    /// The members of an object are its rows only if they are of one kind, each with a key of its own; what stands
    /// around a list of rows (a version, a licence) is not.
    fn check_members(&self, members: &[(std::borrow::Cow<'_, str>, &RawValue)]) -> Result<(), String> {
        let mut seen = std::collections::HashSet::with_capacity(members.len());
        if let Some((twice, _)) = members.iter().find(|(key, _)| !seen.insert(key)) {
            return Err(format!("the key `{twice}` stands twice in the object of rows"));
        }
        let mut shapes: Vec<u8> = members.iter().map(|(_, value)| shape(value)).filter(|&s| s != b'n').collect();
        shapes.sort_unstable();
        shapes.dedup();
        let first = |is: &dyn Fn(&RawValue) -> bool| members.iter().find(|(_, v)| is(v)).map(|(key, _)| key.as_ref());
        let list_of_objects = first(&holds_rows);
        let list = list_of_objects.or_else(|| first(&|value| shape(value) == b'['));
        let mixed = shapes.len() > 1 && (list.is_some() || shapes.contains(&b'{'));
        let wrapped = members.len() == 1 && list_of_objects.is_some();
        if !(mixed || wrapped) || self.options.schema.contains_key("value") {
            return Ok(());
        }
        let example = list.unwrap_or("data").replace('~', "~0").replace('/', "~1");
        let inner = self.options.rows_at.as_deref().unwrap_or_default();
        Err(format!(
            "the values of the object are not rows of one kind; say where the rows are, for example `rows_at: \
             {inner}/{example}`"
        ))
    }

    fn read_document(&self, path: &Path) -> Result<Vec<OwnedRow>, TabularError> {
        let block = Block { path: path.to_owned(), first_line: 1, bytes: read_all(path)? };
        let document = block.text()?;
        let syntax = |error: &serde_json::Error| TabularError::Syntax {
            place: Place { path: path.to_owned(), line: error.line() as u64, column: error.column() as u64 },
            message: message(document, error),
        };
        let other = |message: String| TabularError::Other { path: path.to_owned(), message };
        let mut root: &RawValue = serde_json::from_str(document).map_err(|e| syntax(&e))?;
        for name in self.options.rows_at.iter().flat_map(|pointer| pointer.split('/').skip(1)) {
            let name = name.replace("~1", "/").replace("~0", "~");
            let inner = serde_json::from_str::<Members>(root.get()).ok();
            let inner = inner.and_then(|o| o.0.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value));
            root = inner
                .ok_or_else(|| other(format!("`rows_at`: there is no object with a key `{name}` at that place")))?;
        }
        if self.options.rows_at.is_none()
            && let Some(name) = self.options.rows_under
            && let Ok(Members(members)) = serde_json::from_str::<Members>(root.get())
            && let Some((_, rows)) = members.into_iter().find(|(key, rows)| key == name && rows.get().starts_with('['))
        {
            root = rows;
        }
        let keyed: Vec<(Option<String>, &RawValue)> = match root.get().as_bytes().first() {
            Some(b'[') => {
                let rows: Vec<&RawValue> = serde_json::from_str(root.get()).map_err(|e| syntax(&e))?;
                rows.into_iter().map(|row| (None, row)).collect()
            }
            Some(b'{') => {
                let Members(rows) = serde_json::from_str(root.get()).map_err(|e| syntax(&e))?;
                self.check_members(&rows).map_err(other)?;
                rows.into_iter().map(|(key, row)| (Some(key.into_owned()), row)).collect()
            }
            _ => return Err(other("the document is neither an array of rows nor an object of rows".to_owned())),
        };
        let objects = keyed.iter().filter(|(_, row)| row.get().starts_with('{')).count();
        if objects > 0 && objects < keyed.len() {
            return Err(other("some rows are objects and some are not".to_owned()));
        }
        let mut counted = (0, 1);
        Ok(keyed
            .into_iter()
            .map(|(key, row)| {
                let offset = row.get().as_ptr() as usize - document.as_ptr() as usize;
                counted.1 += memchr::memchr_iter(b'\n', &document.as_bytes()[counted.0..offset]).count() as u64;
                counted.0 = offset;
                let text = if objects > 0 { row.get().to_owned() } else { format!("{{\"value\":{}}}", row.get()) };
                OwnedRow { text, line: counted.1, key }
            })
            .collect())
    }
}

impl RowFormat for Documents<'_> {
    type Chunk = DocumentRows;

    fn chunks(&self) -> Box<dyn Iterator<Item = Result<DocumentRows, TabularError>> + Send + '_> {
        Box::new(self.files.iter().flat_map(|path| match self.read_document(path) {
            Ok(rows) => {
                let mut rows = rows.into_iter();
                let chunks = std::iter::from_fn(move || {
                    let rows: Vec<_> = rows.by_ref().take(ROWS_PER_CHUNK).collect();
                    (!rows.is_empty()).then(|| Ok(DocumentRows { path: path.clone(), rows }))
                });
                Box::new(chunks) as Box<dyn Iterator<Item = _> + Send>
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        }))
    }

    fn rows(&self, chunk: &DocumentRows) -> u64 {
        chunk.rows.len() as u64
    }

    fn truncate(&self, chunk: &mut DocumentRows, rows: u64) {
        chunk.rows.truncate(rows as usize);
    }

    fn infer(&self, chunk: &DocumentRows) -> Result<Columns, TabularError> {
        infer(&chunk.path, chunk.rows(), self.options)
    }

    fn place(&self, chunk: &DocumentRows) -> Place {
        Place { path: chunk.path.clone(), line: chunk.rows.first().map_or(0, |row| row.line), column: 0 }
    }

    fn build(&self, chunk: &DocumentRows, types: &Columns) -> Result<Built, TabularError> {
        build(&chunk.path, chunk.rows(), types, self.options)
    }
}
