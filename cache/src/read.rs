//! Reading (I10): bytes are verified at their first use in a process, and damage is quarantined.

use std::path::PathBuf;

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use crate::{ArtifactRef, Store, StoreError};

/// Which part of a table to read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Only these columns, in the table's order; all when `None`.
    pub columns: Option<Vec<String>>,
    /// Skip that many rows.
    pub offset: usize,
    /// At most that many rows.
    pub limit: Option<usize>,
    /// Rows per batch; 8,192 when `None`.
    pub batch_size: Option<usize>,
}

/// Yields the batches of a verified table.
pub struct TableReader {
    schema: SchemaRef,
}

impl TableReader {
    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// All that is left, as one batch.
    pub fn read_all(self) -> Result<RecordBatch, StoreError> {
        unimplemented!("lands next")
    }
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        unimplemented!("lands next")
    }
}

impl Store {
    /// Opens a table after verifying its bytes. [`StoreError::Damaged`] means: compute the key again.
    pub fn open_table(&self, _table: &ArtifactRef, _options: &ReadOptions) -> Result<TableReader, StoreError> {
        unimplemented!("lands next")
    }

    /// The verified file (of a table) or directory (of files), for programs that read it themselves. Read-only by custom.
    pub fn artifact_path(&self, _artifact: &ArtifactRef) -> Result<PathBuf, StoreError> {
        unimplemented!("lands next")
    }
}
