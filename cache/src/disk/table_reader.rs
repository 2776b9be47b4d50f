//! Reads table files.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
};

use crate::error::{IoContext, StoreError};

/// The name, in a table file's metadata, of what says whose it is.
pub(super) const LABEL: &str = "pipe.shard";
/// Rows per batch, unless asked otherwise.
const BATCH_ROWS: usize = 8192;

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
    reader: ParquetRecordBatchReader,
    total_rows: u64,
    /// What the file's metadata call its [`LABEL`].
    label: Option<String>,
    path: PathBuf,
}

impl TableReader {
    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows of the whole table, whatever part of it is read.
    pub fn total_rows(&self) -> u64 {
        self.total_rows
    }

    /// What the file was labelled with when it was written.
    pub(crate) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// All that is left, as one batch.
    pub fn read_all(mut self) -> Result<RecordBatch, StoreError> {
        let batches = self.by_ref().collect::<Result<Vec<_>, _>>()?;
        concat_batches(&self.schema, &batches).map_err(|e| StoreError::rows("join the batches of a table", e))
    }
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|e| StoreError::table("read", &self.path, e.into())))
    }
}

/// Opens a Parquet file that is known to be whole.
pub(crate) fn open_parquet(path: &Path, options: &ReadOptions) -> Result<TableReader, StoreError> {
    let failed = |e| StoreError::table("read", path, e);
    let file = File::open(path).at("open", path)?;
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(failed)?;
    if let Some(columns) = &options.columns {
        let schema = builder.schema();
        let mut roots = Vec::with_capacity(columns.len());
        for name in columns {
            let known = || schema.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join("`, `");
            roots.push(schema.index_of(name).map_err(|_| {
                StoreError::rows("read a table", format!("it has no column `{name}`, only `{}`", known()))
            })?);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        builder = builder.with_projection(mask);
    }
    builder = builder.with_batch_size(options.batch_size.unwrap_or(BATCH_ROWS)).with_offset(options.offset);
    if let Some(limit) = options.limit {
        builder = builder.with_limit(limit);
    }
    let total_rows = builder.metadata().file_metadata().num_rows() as u64;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let label = metadata.and_then(|all| all.iter().find(|pair| pair.key == LABEL)?.value.clone());
    let reader = builder.build().map_err(failed)?;
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    Ok(TableReader { schema, reader, total_rows, label, path: path.to_owned() })
}
