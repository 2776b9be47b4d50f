//! JSON rows: one per line, or in a document.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;

use super::{
    build::RowBuilder,
    error::{Place, TabularError},
    infer::{Clash, InferRow},
    open::{Block, Blocks, read_all},
    read::{Built, Columns, ReadOptions, RowFormat, Wanted, clash_error},
};

/// Large enough to keep cores busy, small enough to stay in cache and to spread over threads.
const BLOCK_SIZE: usize = 4 << 20;
/// Rows of a document that are built together.
const ROWS_PER_CHUNK: usize = 4096;

/// One row's text.
struct Row<'a> {
    text: &'a str,
    /// The line it starts on.
    line: u64,
    /// Its key in an object of rows.
    key: Option<&'a str>,
}

fn place(path: &Path, row: &Row, error: &serde_json::Error) -> Place {
    Place {
        path: path.to_owned(),
        line: row.line + (error.line() as u64).saturating_sub(1),
        column: error.column() as u64,
    }
}

/// serde_json ends its messages with a position within the row; the place is said better by us.
fn message(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = &text[..text.rfind(" at line ").unwrap_or(text.len())];
    text.strip_prefix("invalid type: ").map_or_else(|| text.to_owned(), |rest| format!("found {rest}"))
}

fn infer<'a>(path: &Path, rows: impl Iterator<Item = Row<'a>>, options: &ReadOptions) -> Result<Columns, TabularError> {
    let mut columns = Columns::new();
    let mut clash = Clash::default();
    for row in rows {
        if row.key.is_some() && options.wanted(&options.key_column) != Wanted::Skip {
            columns.insert(options.key_column.clone(), super::types::ColumnType::Text);
        }
        let mut json = serde_json::Deserializer::from_str(row.text);
        let seed = InferRow { columns: &mut columns, options, clash: &mut clash };
        if let Err(error) = seed.deserialize(&mut json).and_then(|()| json.end()) {
            return Err(clash_error(clash, place(path, &row, &error), message(&error)));
        }
    }
    Ok(columns)
}

fn build<'a>(
    path: &Path,
    rows: impl Iterator<Item = Row<'a>>,
    types: &Columns,
    options: &ReadOptions,
) -> Result<Built, TabularError> {
    let mut builder = RowBuilder::new(types, &|name| options.schema.contains_key(name), options.columns.is_some());
    let mut lines = Vec::new();
    for row in rows {
        if let Some(key) = row.key {
            builder.set_text(&options.key_column, key);
        }
        let mut json = serde_json::Deserializer::from_str(row.text);
        if let Err(error) = builder.push(&mut json).and_then(|()| json.end()) {
            let (place, message) = (place(path, &row, &error), message(&error));
            return Err(match builder.current_column() {
                Some(column) if error.is_data() => TabularError::Value { place, column: column.to_owned(), message },
                _ => TabularError::Syntax { place, message },
            });
        }
        lines.push(row.line);
    }
    Ok(Built { batch: builder.finish(), path: path.to_owned(), lines })
}

/// JSON lines. Lines of white space are skipped.
pub struct Lines<'a> {
    /// Files in order.
    pub files: &'a [PathBuf],
    /// Selection, declared types.
    pub options: &'a ReadOptions,
}

fn lines_of(block: &Block) -> Result<impl Iterator<Item = Row<'_>>, TabularError> {
    let lines = block.lines()?.filter(|(_, text)| !is_blank(text));
    Ok(lines.map(|(line, text)| Row { text, line, key: None }))
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

/// JSON documents: an array of rows, or an object whose values are the rows. A row that is no object stands in a column `value`.
pub struct Documents<'a> {
    /// Files in order.
    pub files: &'a [PathBuf],
    /// Selection, declared types, where the rows are.
    pub options: &'a ReadOptions,
}

/// Some rows of one document.
pub struct DocumentRows {
    path: PathBuf,
    rows: Vec<OwnedRow>,
}

struct OwnedRow {
    text: String,
    line: u64,
    key: Option<String>,
}

impl DocumentRows {
    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|row| Row { text: &row.text, line: row.line, key: row.key.as_deref() })
    }
}

impl Documents<'_> {
    fn read_document(&self, path: &Path) -> Result<Vec<OwnedRow>, TabularError> {
        let block = Block { path: path.to_owned(), first_line: 1, bytes: read_all(path)? };
        let document = block.text()?;
        let syntax = |error: &serde_json::Error| TabularError::Syntax {
            place: Place { path: path.to_owned(), line: error.line() as u64, column: error.column() as u64 },
            message: message(error),
        };
        let mut root: &RawValue = serde_json::from_str(document).map_err(|e| syntax(&e))?;
        for name in self.options.rows_at.iter().flat_map(|pointer| pointer.split('/').skip(1)) {
            let name = name.replace("~1", "/").replace("~0", "~");
            let inner = serde_json::from_str::<IndexMap<String, &RawValue>>(root.get())
                .ok()
                .and_then(|o| o.get(&name).copied());
            root = inner.ok_or_else(|| {
                let message = format!("`rows_at`: there is no object with a key `{name}` at that place");
                TabularError::Other { path: path.to_owned(), message }
            })?;
        }
        let keyed: Vec<(Option<String>, &RawValue)> = match root.get().as_bytes().first() {
            Some(b'[') => {
                let rows: Vec<&RawValue> = serde_json::from_str(root.get()).map_err(|e| syntax(&e))?;
                rows.into_iter().map(|row| (None, row)).collect()
            }
            Some(b'{') => {
                let rows: IndexMap<String, &RawValue> = serde_json::from_str(root.get()).map_err(|e| syntax(&e))?;
                rows.into_iter().map(|(key, row)| (Some(key), row)).collect()
            }
            _ => {
                let message = "the document is neither an array of rows nor an object of rows".to_owned();
                return Err(TabularError::Other { path: path.to_owned(), message });
            }
        };
        let objects = keyed.iter().filter(|(_, row)| row.get().starts_with('{')).count();
        if objects > 0 && objects < keyed.len() {
            let message = "some values are objects and some are not, so this is no list of rows; \
                           say where the rows are, for example `rows_at: /data`";
            return Err(TabularError::Other { path: path.to_owned(), message: message.to_owned() });
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
