//! The tables of a publication as they are written.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{FieldRef, Schema, SchemaRef},
};
use parking_lot::Mutex;

use crate::{
    disk::{ArtifactRef, Column, Output, TableFile},
    error::StoreError,
};

/// The outputs that a publication has so far, by port.
pub(crate) type Outputs = Arc<Mutex<Vec<Option<Output>>>>;

/// Writes one table, batch by batch. The file's bytes depend on the rows alone, not on how they are cut into batches.
pub struct TableWriter {
    file: TableFile,
    port: (usize, String),
    outputs: Outputs,
}

impl TableWriter {
    pub(crate) fn new(file: TableFile, port: (usize, String), outputs: Outputs) -> Self {
        Self { file, port, outputs }
    }

    /// The table's schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.file.schema
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.file.rows
    }

    /// Appends rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        self.file.write(batch)
    }

    /// Ends the table and verifies it; [`crate::Publication::commit`] picks it up.
    pub fn finish(self) -> Result<ArtifactRef, StoreError> {
        let columns = columns(&self.file.schema);
        let artifact = self.file.finish()?;
        let (index, port) = self.port;
        let output = Output { port, artifact, columns, files: Vec::new() };
        self.outputs.lock()[index] = Some(output);
        Ok(artifact)
    }
}

/// The columns of a table, as manifests have them.
pub(crate) fn columns(schema: &Schema) -> Vec<Column> {
    let column = |f: &FieldRef| Column {
        name: f.name().clone(),
        data_type: f.data_type().to_string(),
        nullable: f.is_nullable(),
    };
    schema.fields().iter().map(column).collect()
}
