//! Writes tables as Parquet whose bytes depend on the rows alone.
//!
//! Batches are cut anew to a fixed number of rows before they are encoded, because the encoder decides about pages at
//! batch boundaries; row groups are closed by size at these cuts; the writer's name is pinned. So an interrupted and
//! resumed stage, which writes the same rows in other batches, makes the same file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use arrow::{
    array::RecordBatch,
    compute::BatchCoalescer,
    datatypes::{Schema, SchemaRef},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::{metadata::KeyValue, properties::WriterProperties},
};

use super::{
    manifest::{ArtifactKind, ArtifactRef},
    table_reader::{LABEL, ReadOptions, open_parquet},
};
use crate::{
    error::{IoContext, StoreError},
    hash::{Digest, HashingFile, TableDigest, hash_file, schema_digest, wrong_digest},
};

/// Pinned, because Parquet's default carries the version of the library.
const CREATED_BY: &str = "pipe";
/// Rows per encoded batch: what the Parquet encoder takes at a time.
const CUT_ROWS: usize = 1024;
/// Encoded bytes after which a row group is closed.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Encodes one table into one new file.
pub(crate) struct TableFile {
    path: PathBuf,
    pub(crate) schema: SchemaRef,
    cutter: BatchCoalescer,
    writer: ArrowWriter<HashingFile>,
    digest: TableDigest,
    pub(crate) rows: u64,
}

impl TableFile {
    pub(crate) fn create(path: &Path, schema: SchemaRef) -> Result<Self, StoreError> {
        Self::create_labelled(path, schema, None)
    }

    /// The same, with a label in the file's metadata, under [`LABEL`].
    fn create_labelled(path: &Path, schema: SchemaRef, label: Option<&str>) -> Result<Self, StoreError> {
        let digest = TableDigest::new(&schema)?;
        let properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_key_value_metadata(label.map(|label| vec![KeyValue::new(LABEL.to_owned(), label.to_owned())]))
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("1 is a level")))
            .build();
        let file = HashingFile::create(path).at("create", path)?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|e| StoreError::table("write", path, e))?;
        let cutter = BatchCoalescer::new(schema.clone(), CUT_ROWS);
        Ok(Self { path: path.to_owned(), schema, cutter, writer, digest, rows: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StoreError> {
        let batch = conform(batch, &self.schema)?;
        self.rows += batch.num_rows() as u64;
        self.digest.update(&batch)?;
        self.cutter.push_batch(batch).map_err(|e| StoreError::rows("write a table", e))?;
        self.encode()
    }

    fn encode(&mut self) -> Result<(), StoreError> {
        let failed = |e| StoreError::table("write", &self.path, e);
        while let Some(batch) = self.cutter.next_completed_batch() {
            self.writer.write(&batch).map_err(failed)?;
            if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
                self.writer.flush().map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Completes the file and verifies it (I9): the bytes on disk are those that were written, and they are a table of
    /// the right columns and number of rows.
    pub(crate) fn finish(mut self) -> Result<ArtifactRef, StoreError> {
        self.cutter.finish_buffered_batch().map_err(|e| StoreError::rows("write a table", e))?;
        self.encode()?;
        let file = self.writer.into_inner().map_err(|e| StoreError::table("write", &self.path, e))?;
        let (written, bytes) = file.finish().at("write", &self.path)?;
        let (object, _) = hash_file(&self.path).at("verify", &self.path)?;
        if object != written {
            return Err(StoreError::Damaged(wrong_digest(&self.path, &written, &object)));
        }
        let reader = open_parquet(&self.path, &ReadOptions::default())?;
        if reader.total_rows() != self.rows || !same_columns(reader.schema(), &self.schema)? {
            let found = format!("{} rows of {}", reader.total_rows(), reader.schema());
            let expected = format!("{} rows of {}", self.rows, self.schema);
            return Err(StoreError::rows("write a table", format!("it reads back as {found}, not {expected}")));
        }
        Ok(ArtifactRef { kind: ArtifactKind::Table, digest: self.digest.finish(), object, bytes, rows: self.rows })
    }
}

fn same_columns(a: &Schema, b: &Schema) -> Result<bool, StoreError> {
    Ok(schema_digest(a)? == schema_digest(b)?)
}

/// Rows under the declared schema: the same names and types in the same order. Metadata, and a column declared nullable
/// whose batch says it is not, make no difference.
pub fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, StoreError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    let given = batch.schema();
    let names = |s: &Schema| s.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect::<Vec<_>>();
    if names(&given) != names(schema) {
        let message = format!(
            "the rows have columns ({}), declared were ({})",
            names(&given).join(", "),
            names(schema).join(", ")
        );
        return Err(StoreError::rows("write rows", message));
    }
    RecordBatch::try_new(schema.clone(), batch.columns().to_vec()).map_err(|e| StoreError::rows("write rows", e))
}

/// Writes rows as a table file of its own, with a label, and returns the digest of its bytes: what memo shards are made
/// of.
pub(crate) fn write_whole(path: &Path, rows: &RecordBatch, label: &str) -> Result<Digest, StoreError> {
    let write = || {
        let mut file = TableFile::create_labelled(path, rows.schema(), Some(label))?;
        file.write(rows)?;
        file.finish()
    };
    write().map(|artifact| artifact.object).inspect_err(|_| {
        let _ = fs::remove_file(path);
    })
}
