//! Publishing (I9): write to temp, verify, rename; objects first, the manifest last.

use std::{path::PathBuf, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use crate::{ArtifactRef, Entry, Lease, Provenance, Store, StoreError};

/// The outputs of one computation on their way into the store. Dropped without [`Publication::commit`] it leaves nothing.
pub struct Publication {
    lease: Lease,
}

/// Writes one table, batch by batch. The file's bytes depend on the rows alone, not on how they are cut into batches.
pub struct TableWriter {
    schema: SchemaRef,
}

impl Store {
    /// Begins to publish the key of `lease`, with outputs `ports` in declared order.
    pub fn begin(&self, _lease: Lease, _ports: &[impl AsRef<str>]) -> Result<Publication, StoreError> {
        unimplemented!("lands next")
    }
}

impl Publication {
    /// The lease under which this is published.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// A writer for the table of a port. It may move to another thread.
    pub fn table_writer(&self, _port: &str, _schema: SchemaRef) -> Result<TableWriter, StoreError> {
        unimplemented!("lands next")
    }

    /// An empty directory for the files of a port; whatever is in it at [`Publication::commit`] is the artifact.
    pub fn files_dir(&self, _port: &str) -> Result<PathBuf, StoreError> {
        unimplemented!("lands next")
    }

    /// Verifies and publishes. Every port must have its output. From its return on, the result survives the death of this
    /// process (see [`Store::flush`] for the death of the machine). The lease is released.
    pub fn commit(self, _provenance: Provenance) -> Result<Arc<Entry>, StoreError> {
        unimplemented!("lands next")
    }
}

impl TableWriter {
    /// The table's schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Appends rows.
    pub fn write(&mut self, _batch: &RecordBatch) -> Result<(), StoreError> {
        unimplemented!("lands next")
    }

    /// Ends the table and verifies it; [`Publication::commit`] picks it up.
    pub fn finish(self) -> Result<ArtifactRef, StoreError> {
        unimplemented!("lands next")
    }
}
