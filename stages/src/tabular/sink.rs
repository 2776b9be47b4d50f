//! Writes what is read to an output of a stage.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use pipe_engine::{
    context::{StageContext, TableWriter},
    kind::StageError,
};

use super::Sink;

/// The output of a stage as a [`Sink`]; reports rows as progress and stops when the run is cancelled.
pub struct OutputSink<'a> {
    cx: &'a StageContext,
    port: &'a str,
    writer: Option<TableWriter>,
    rows: u64,
}

impl<'a> OutputSink<'a> {
    /// For the table of that output port.
    pub fn new(cx: &'a StageContext, port: &'a str) -> Self {
        Self { cx, port, writer: None, rows: 0 }
    }

    /// Ends the table; returns its number of rows.
    pub fn finish(self) -> Result<u64, StageError> {
        self.writer.ok_or_else(|| StageError::contract("a table ended before it began"))?.finish()
    }
}

impl Sink for OutputSink<'_> {
    fn begin(&mut self, schema: &SchemaRef) -> Result<(), StageError> {
        self.rows = 0;
        // The first writer must be gone before its output is started over.
        self.writer = None;
        self.writer = Some(self.cx.write_table(self.port, schema)?);
        Ok(())
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        self.cx.check_cancelled()?;
        self.writer.as_mut().ok_or_else(|| StageError::contract("rows before their schema"))?.write(batch)?;
        self.rows += batch.num_rows() as u64;
        self.cx.progress(self.rows, None, "rows");
        Ok(())
    }
}
