//! The outputs of a running stage.

use std::path::PathBuf;

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use super::{StageContext, StageError};

/// Writes one output table, batch by batch. How rows are cut into batches does not matter.
pub struct TableWriter(pipe_cache::TableWriter);

impl TableWriter {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        self.0.schema()
    }

    /// Appends rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        Ok(self.0.write(batch)?)
    }

    /// Ends the table; returns its number of rows. A table that is not finished is not published.
    pub fn finish(self) -> Result<u64, StageError> {
        Ok(self.0.finish()?.rows)
    }
}

impl StageContext {
    /// A writer for the table of an output port. Asking again for the same port starts the table over.
    pub fn write_table(&self, port: &str, schema: &SchemaRef) -> Result<TableWriter, StageError> {
        Ok(TableWriter(self.parts.publication.table_writer(port, SchemaRef::clone(schema))?))
    }

    /// Writes a whole table to an output port.
    pub fn write_batches<'a>(
        &self,
        port: &str,
        schema: &SchemaRef,
        batches: impl IntoIterator<Item = &'a RecordBatch>,
    ) -> Result<u64, StageError> {
        let mut writer = self.write_table(port, schema)?;
        for batch in batches {
            writer.write(batch)?;
        }
        writer.finish()
    }

    /// An empty directory for the files of an output port; whatever is in it when the stage ends is published.
    pub fn output_dir(&self, port: &str) -> Result<PathBuf, StageError> {
        Ok(self.parts.publication.files_dir(port)?)
    }
}
