//! Stream memo: attempts 0..n of an endless deterministic sequence, per recipe; one row per attempt.

use std::ops::Range;

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use crate::{Digest, Store, StoreError};

/// The attempts computed so far. Writers may overlap: attempt `i` is the same whoever computes it.
pub struct StreamMemo {
    schema: SchemaRef,
}

impl Store {
    /// Opens the stream memo of a recipe whose attempts have that schema.
    pub fn stream_memo(&self, _recipe: &Digest, _schema: SchemaRef) -> Result<StreamMemo, StoreError> {
        unimplemented!("lands next")
    }
}

impl StreamMemo {
    /// The schema of attempts.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Attempts `0..len` are known.
    pub fn len(&self) -> u64 {
        unimplemented!("lands next")
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The known part of a range of attempts: a prefix of it, shorter where [`StreamMemo::len`] ends or a shard was damaged
    /// (then `len` has shrunk).
    pub fn read(&mut self, _range: Range<u64>) -> Result<RecordBatch, StoreError> {
        unimplemented!("lands next")
    }

    /// Adds attempts `start..start + batch.num_rows()`; `start` may not lie beyond `len`.
    pub fn append(&mut self, _start: u64, _batch: &RecordBatch) -> Result<(), StoreError> {
        unimplemented!("lands next")
    }

    /// Writes down what was appended. Dropping the memo does it, too, without telling of errors.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        unimplemented!("lands next")
    }
}
