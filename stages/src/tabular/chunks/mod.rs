//! Texts in pieces: columns `id`, `title`, `text` and `file`, as a corpus has them.

mod markdown;
mod records;
mod windows;

use std::{path::PathBuf, sync::Arc};

use arrow::array::{ArrayRef, RecordBatch, StringArray};

pub(super) use records::read_cut;

use super::{
    error::{Place, TabularError},
    open::{Block, read_all, uncompressed},
    options::{ChunkUnit, Chunking, ReadOptions},
    row_format::{Built, RowFormat},
    types::{ColumnType, Columns, arrow_schema},
};

/// Files in chunks.
pub(crate) struct Chunks<'a> {
    /// Files in order.
    pub files: &'a [PathBuf],
    /// Names of the files, and how they are cut.
    pub options: &'a ReadOptions,
    /// How they are cut.
    pub chunking: Chunking,
}

/// The chunks of one file.
pub(crate) struct FileChunks {
    path: PathBuf,
    name: String,
    rows: Vec<Piece>,
}

struct Piece {
    line: u64,
    title: Option<String>,
    text: String,
}

const COLUMNS: [&str; 4] = ["id", "title", "text", "file"];

/// What is cut at its headings.
fn is_markdown(name: &str) -> bool {
    let name = uncompressed(name);
    [".md", ".markdown"].iter().any(|end| name.ends_with(end))
}

fn cut(text: &str, is_markdown: bool, chunking: Chunking) -> Vec<Piece> {
    let whole = || vec![markdown::Section { title: None, line: 1, text: text.to_owned() }];
    let sections = if is_markdown { markdown::sections(text) } else { whole() };
    let pieces = |section: markdown::Section| {
        let cut = windows::windows(&section.text, chunking).into_iter().map(|at| {
            let before = &section.text.as_bytes()[..at.start];
            let line = section.line + memchr::memchr_iter(b'\n', before).count() as u64;
            Piece { line, title: section.title.clone(), text: section.text[at].to_owned() }
        });
        cut.collect::<Vec<_>>()
    };
    sections.into_iter().flat_map(pieces).collect()
}

impl RowFormat for Chunks<'_> {
    type Chunk = FileChunks;

    fn header(&self) -> Columns {
        COLUMNS.iter().map(|name| ((*name).to_owned(), ColumnType::Text)).collect()
    }

    fn chunks(&self) -> Box<dyn Iterator<Item = Result<FileChunks, TabularError>> + Send + '_> {
        let file = |(at, path): (usize, &PathBuf)| {
            let block = Block { path: path.clone(), first_line: 1, bytes: read_all(path)? };
            let name = self.options.name_of(at, path);
            let rows = cut(block.text()?, is_markdown(&name), self.chunking);
            Ok(FileChunks { path: path.clone(), name, rows })
        };
        Box::new(self.files.iter().enumerate().map(file))
    }

    fn rows(&self, chunk: &FileChunks) -> u64 {
        chunk.rows.len() as u64
    }

    fn truncate(&self, chunk: &mut FileChunks, rows: u64) {
        chunk.rows.truncate(rows as usize);
    }

    fn infer(&self, _: &FileChunks) -> Result<Columns, TabularError> {
        Ok(self.header())
    }

    fn place(&self, chunk: &FileChunks) -> Place {
        Place { path: chunk.path.clone(), line: chunk.rows.first().map_or(0, |piece| piece.line), column: 0 }
    }

    fn build(&self, chunk: &FileChunks, types: &Columns) -> Result<Built, TabularError> {
        let rows = &chunk.rows;
        let column = |name: &String| -> ArrayRef {
            Arc::new(match name.as_str() {
                "id" => (1..=rows.len()).map(|n| Some(format!("{}#{n}", chunk.name))).collect::<StringArray>(),
                "title" => rows.iter().map(|piece| piece.title.as_deref()).collect(),
                "text" => rows.iter().map(|piece| Some(piece.text.as_str())).collect(),
                _ => rows.iter().map(|_| Some(chunk.name.as_str())).collect(),
            })
        };
        let arrays = types.keys().map(column).collect();
        let batch = RecordBatch::try_new(arrow_schema(types), arrays)
            .map_err(|e| TabularError::Other { path: chunk.path.clone(), message: format!("chunks are text: {e}") })?;
        Ok(Built { batch, path: chunk.path.clone(), lines: rows.iter().map(|piece| piece.line).collect() })
    }
}
