//! Plain text: one row per line, or one per file.

use std::{path::PathBuf, sync::Arc};

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use super::{
    error::{Place, TabularError},
    open::{Block, Blocks, read_all},
    options::ReadOptions,
    row_format::{Built, RowFormat},
    types::{ColumnType, Columns, arrow_schema},
};

const BLOCK_SIZE: usize = 4 << 20;

fn columns(names: &[&str]) -> Columns {
    names.iter().map(|name| ((*name).to_owned(), ColumnType::Text)).collect()
}

fn batch(types: &Columns, arrays: Vec<ArrayRef>, place: &Place) -> Result<RecordBatch, TabularError> {
    RecordBatch::try_new(arrow_schema(types), arrays)
        .map_err(|e| TabularError::Other { path: place.path.clone(), message: format!("plain text is text: {e}") })
}

/// A column `text` with one row per line, empty ones included.
pub(crate) struct TextLines<'a> {
    /// Files in order.
    pub files: &'a [PathBuf],
}

impl RowFormat for TextLines<'_> {
    type Chunk = Block;

    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Block, TabularError>> + Send + '_> {
        Box::new(Blocks::of_files(self.files, BLOCK_SIZE))
    }

    fn rows(&self, block: &Block) -> u64 {
        block.bytes.split_inclusive(|byte| *byte == b'\n').count() as u64
    }

    fn truncate(&self, block: &mut Block, rows: u64) {
        let end = block.bytes.split_inclusive(|byte| *byte == b'\n').take(rows as usize).map(<[u8]>::len).sum();
        block.bytes.truncate(end);
    }

    fn infer(&self, _: &Block) -> Result<Columns, TabularError> {
        Ok(columns(&["text"]))
    }

    fn place(&self, block: &Block) -> Place {
        Place { path: block.path.clone(), line: block.first_line, column: 0 }
    }

    fn build(&self, block: &Block, types: &Columns) -> Result<Built, TabularError> {
        let (lines, text): (Vec<u64>, Vec<&str>) = block.lines()?.unzip();
        let batch = batch(types, vec![Arc::new(StringArray::from(text))], &self.place(block))?;
        Ok(Built { batch, path: block.path.clone(), lines })
    }
}

/// Columns `file` (the name without its folder) and `text` with one row per file.
pub(crate) struct WholeFiles<'a> {
    /// Files in order.
    pub files: &'a [PathBuf],
    /// What they are called.
    pub options: &'a ReadOptions,
}

/// One file.
pub(crate) struct WholeFile {
    name: String,
    block: Block,
}

impl RowFormat for WholeFiles<'_> {
    type Chunk = WholeFile;

    fn chunks(&self) -> Box<dyn Iterator<Item = Result<WholeFile, TabularError>> + Send + '_> {
        let file = |(at, path): (usize, &PathBuf)| {
            let block = Block { path: path.clone(), first_line: 1, bytes: read_all(path)? };
            Ok(WholeFile { name: self.options.name_of(at, path), block })
        };
        Box::new(self.files.iter().enumerate().map(file))
    }

    fn rows(&self, _: &WholeFile) -> u64 {
        1
    }

    fn truncate(&self, _: &mut WholeFile, _: u64) {}

    fn infer(&self, _: &WholeFile) -> Result<Columns, TabularError> {
        Ok(columns(&["file", "text"]))
    }

    fn place(&self, file: &WholeFile) -> Place {
        Place { path: file.block.path.clone(), line: 0, column: 0 }
    }

    fn build(&self, file: &WholeFile, types: &Columns) -> Result<Built, TabularError> {
        let block = &file.block;
        let arrays: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec![&*file.name])), Arc::new(StringArray::from(vec![block.text()?]))];
        let batch = batch(types, arrays, &self.place(file))?;
        Ok(Built { batch, path: block.path.clone(), lines: Vec::new() })
    }
}
