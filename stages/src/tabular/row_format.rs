//! What a format of rows can do: hand out pieces, find their types, and build columns of them.

use std::path::PathBuf;

use arrow::array::RecordBatch;

use super::{
    error::{Place, TabularError},
    types::{ColumnType, Columns},
};

/// Some rows with the number of the line that each one starts on.
pub(crate) struct Built {
    /// The rows.
    pub batch: RecordBatch,
    /// The file they are from.
    pub path: PathBuf,
    /// One line number per row, from 1; empty where the format has no lines.
    pub lines: Vec<u64>,
}

/// A format whose columns are not known before the rows are read.
pub(crate) trait RowFormat: Sync {
    /// Some rows as they stand in the file.
    type Chunk: Send + Sync;

    /// Columns that are known before any row is read.
    fn header(&self) -> Columns {
        Columns::new()
    }
    /// All rows of all files, in order.
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Self::Chunk, TabularError>> + Send + '_>;
    /// Rows in the chunk.
    fn rows(&self, chunk: &Self::Chunk) -> u64;
    /// Drops all but the first `rows` rows.
    fn truncate(&self, chunk: &mut Self::Chunk, rows: u64);
    /// The types of the chunk's columns.
    fn infer(&self, chunk: &Self::Chunk) -> Result<Columns, TabularError>;
    /// The smallest type of both.
    fn join(&self, a: ColumnType, b: ColumnType) -> Result<ColumnType, Box<(ColumnType, ColumnType)>> {
        a.join(b)
    }
    /// Where a chunk begins.
    fn place(&self, chunk: &Self::Chunk) -> Place;
    /// The rows as columns of these types.
    fn build(&self, chunk: &Self::Chunk, types: &Columns) -> Result<Built, TabularError>;
}
