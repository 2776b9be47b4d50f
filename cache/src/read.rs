//! Reading (I10): bytes are verified at their first use in a process, and damage is quarantined.

use std::{
    fs::{self, File, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
};

use crate::{
    ArtifactKind, ArtifactRef, Digest, Store, StoreError,
    error::{IoContext, damage, wrong_digest},
    files, fsio,
    layout::Layout,
};

/// Rows per batch, unless asked otherwise.
const BATCH_ROWS: usize = 8192;

/// What `stat` says of an object that was verified: as long as it says the same, the object is not read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self { inode: meta.ino(), bytes: meta.len(), changed: (meta.ctime(), meta.ctime_nsec()) }
    }
}

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
    let reader = builder.build().map_err(failed)?;
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    Ok(TableReader { schema, reader, total_rows, path: path.to_owned() })
}

/// An object that cannot be read: damaged if the fault is its own, an I/O error if it is the system's (too many open files).
fn unreadable(path: &Path, e: io::Error) -> StoreError {
    const EIO: i32 = 5;
    const EUCLEAN: i32 = 117;
    let missing = e.kind() == io::ErrorKind::NotFound;
    match e.raw_os_error() {
        _ if missing => StoreError::Damaged(damage(path, "it is missing")),
        None | Some(EIO | EUCLEAN) => StoreError::Damaged(damage(path, e.to_string())),
        _ if matches!(e.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory) => {
            StoreError::Damaged(damage(path, e.to_string()))
        }
        _ => StoreError::io("read", path, e),
    }
}

/// The cheap check: the object is there and of the right size.
pub(crate) fn stat_object(layout: &Layout, artifact: &ArtifactRef) -> Result<Stamp, StoreError> {
    let path = layout.artifact(artifact);
    let meta = fs::metadata(&path).map_err(|e| unreadable(&path, e))?;
    let wrong = |reason: String| Err(StoreError::Damaged(damage(&path, reason)));
    match artifact.kind {
        ArtifactKind::Table if !meta.is_file() => wrong("it is not a file".to_owned()),
        ArtifactKind::Table if meta.len() != artifact.bytes => {
            wrong(format!("it has {} bytes instead of {}", meta.len(), artifact.bytes))
        }
        ArtifactKind::Files if !meta.is_dir() => wrong("it is not a directory".to_owned()),
        _ => Ok(Stamp::of(&meta)),
    }
}

/// The full check: its bytes hash to its name.
pub(crate) fn check_object(layout: &Layout, artifact: &ArtifactRef) -> Result<Stamp, StoreError> {
    let stamp = stat_object(layout, artifact)?;
    let path = layout.artifact(artifact);
    let found = digest_of_object(artifact.kind, &path)?;
    if found == artifact.object {
        Ok(stamp)
    } else {
        Err(StoreError::Damaged(wrong_digest(&path, &artifact.object, &found)))
    }
}

/// What an object's name must be, by its content.
pub(crate) fn digest_of_object(kind: ArtifactKind, path: &Path) -> Result<Digest, StoreError> {
    let digest = match kind {
        ArtifactKind::Table => fsio::hash_file(path).map(|(digest, _)| digest),
        ArtifactKind::Files => files::scan(path).map(|listing| listing.digest()),
    };
    digest.map_err(|e| unreadable(path, e))
}

impl Store {
    /// Opens a table after verifying its bytes. [`StoreError::Damaged`] means: compute the key again.
    pub fn open_table(&self, table: &ArtifactRef, options: &ReadOptions) -> Result<TableReader, StoreError> {
        if table.kind != ArtifactKind::Table {
            return Err(StoreError::rows("read a table", format!("artifact {:?} consists of files", table.digest)));
        }
        open_parquet(&self.artifact_path(table)?, options)
    }

    /// The verified file (of a table) or directory (of files), for programs that read it themselves. They must not write to it.
    pub fn artifact_path(&self, artifact: &ArtifactRef) -> Result<PathBuf, StoreError> {
        match self.verify_once(artifact) {
            Ok(()) => Ok(self.layout().artifact(artifact)),
            Err(StoreError::Damaged(damage)) => {
                self.quarantine(&damage.path, &damage.reason)?;
                Err(StoreError::Damaged(damage))
            }
            Err(other) => Err(other),
        }
    }

    fn verify_once(&self, artifact: &ArtifactRef) -> Result<(), StoreError> {
        let stamp = stat_object(self.layout(), artifact)?;
        if self.verified().get(&artifact.object) == Some(&stamp) {
            return Ok(());
        }
        let stamp = check_object(self.layout(), artifact)?;
        self.verified().insert(artifact.object, stamp);
        Ok(())
    }

    /// Moves a damaged thing out of the way, so that it is never served and can be looked at. Does nothing where it is gone
    /// already or the store is read-only.
    pub(crate) fn quarantine(&self, path: &Path, reason: &str) -> Result<(), StoreError> {
        tracing::warn!(path = %path.display(), reason, "damaged");
        if self.read_only() || !path.exists() {
            return Ok(());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let target = self.layout().join("quarantine").join(format!("{name}.{}", fsio::now_ms()));
        match fsio::rename(path, &target) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(StoreError::io("quarantine", path, e)),
            _ => Ok(()),
        }
    }
}
