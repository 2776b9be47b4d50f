//! The logical digest of a table (I6).

use arrow::{array::RecordBatch, datatypes::Schema};

use crate::{Digest, StoreError};

/// Computes the logical digest of a table as its batches go by.
pub struct TableDigest {}

impl TableDigest {
    /// Begins a table. Fails for column types that have no logical digest (unions).
    pub fn new(_schema: &Schema) -> Result<Self, StoreError> {
        unimplemented!("lands next")
    }

    /// Adds rows.
    pub fn update(&mut self, _batch: &RecordBatch) -> Result<(), StoreError> {
        unimplemented!("lands next")
    }

    /// The digest of schema and rows.
    pub fn finish(self) -> Digest {
        unimplemented!("lands next")
    }
}
