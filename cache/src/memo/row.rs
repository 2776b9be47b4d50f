//! Row memo: row digest -> output rows, per recipe.

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use crate::{Digest, Store, StoreError};

/// Output rows by the digest of the input row. Several memos of one recipe may be open at once, in any processes.
pub struct RowMemo {
    schema: SchemaRef,
}

impl Store {
    /// Opens the row memo of a recipe whose output rows have that schema.
    pub fn row_memo(&self, _recipe: &Digest, _schema: SchemaRef) -> Result<RowMemo, StoreError> {
        unimplemented!("lands next")
    }
}

impl RowMemo {
    /// The schema of output rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether the output of that input row is known.
    pub fn contains(&self, _row: &Digest) -> bool {
        unimplemented!("lands next")
    }

    /// The output rows of the given input rows, in that order, and how many each has. `None` where one is not known, or was
    /// damaged (then [`RowMemo::contains`] no longer says that it is).
    pub fn get(&mut self, _rows: &[Digest]) -> Result<Option<(RecordBatch, Vec<u32>)>, StoreError> {
        unimplemented!("lands next")
    }

    /// Adds outputs: input row `rows[i]` has the next `counts[i]` rows of `outputs`. They are on disk after the next flush,
    /// which happens by itself every few seconds or thousand rows.
    pub fn insert(&mut self, _rows: &[Digest], _counts: &[u32], _outputs: &RecordBatch) -> Result<(), StoreError> {
        unimplemented!("lands next")
    }

    /// Writes down what was inserted. Dropping the memo does it, too, without telling of errors.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        unimplemented!("lands next")
    }
}
