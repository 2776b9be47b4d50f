//! The inputs of a running stage. Bytes are verified before the first row is handed out (I10).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    datatypes::{Schema, SchemaRef},
};
use parking_lot::Mutex;
use pipe_cache::{ArtifactKind, ArtifactRef, Digest, ReadOptions, Store, StoreError};
use serde_json::Value;

use super::{GatheredFrom, Increment, InputArtifact, InputRecord, MissingFrom, StageContext, StageError, gather};

/// A table connected to a port; gathered tables follow each other in the order of the variants, with the columns
/// `variant`, `arm` and the factors appended.
pub struct TableInput {
    store: Store,
    port: String,
    pieces: Vec<Piece>,
    schema: SchemaRef,
    /// All rows, once somebody asked for them.
    rows: OnceLock<Vec<RecordBatch>>,
    damaged: Arc<Mutex<Vec<Digest>>>,
}

/// One artifact of a table: the whole, or what one variant gives to a gathered table.
struct Piece {
    artifact: ArtifactRef,
    /// The appended columns, one row each.
    constants: Option<RecordBatch>,
}

/// A files artifact gathered from one variant.
#[derive(Debug, Clone, PartialEq)]
pub struct GatheredFiles {
    /// The variant's name.
    pub variant: String,
    /// Its arm: the name without replicate factors.
    pub arm: String,
    /// Its factors.
    pub factors: BTreeMap<String, Value>,
    /// The verified directory. Read-only by custom.
    pub dir: PathBuf,
}

impl TableInput {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The number of rows.
    pub fn num_rows(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.artifact.rows).sum()
    }

    /// The rows, in batches.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, StageError>> {
        self.pieces.iter().flat_map(|piece| match self.open(&piece.artifact) {
            Ok(reader) => Either::Left(reader.map(|batch| {
                let batch = batch?;
                match &piece.constants {
                    None => Ok(batch),
                    Some(constants) => gather::append(&self.schema, &batch, constants),
                }
            })),
            Err(e) => Either::Right(std::iter::once(Err(e))),
        })
    }

    /// All rows. They are read once, and stay in memory as long as the value does.
    pub fn rows(&self) -> Result<&[RecordBatch], StageError> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let rows = self.batches().collect::<Result<Vec<_>, _>>()?;
        Ok(self.rows.get_or_init(|| rows))
    }

    /// All rows, as one batch. They do not stay in memory a second time: see [`TableInput::rows`].
    pub fn read(&self) -> Result<RecordBatch, StageError> {
        let join = |batches: &[RecordBatch]| {
            concat_batches(&self.schema, batches).map_err(|e| StageError::other("join the batches of a table", e))
        };
        match self.rows.get() {
            Some(rows) => join(rows),
            None => join(&self.batches().collect::<Result<Vec<_>, _>>()?),
        }
    }

    /// The verified Parquet file, for programs that read it themselves. `None` for a gathered table, which has none.
    /// Read-only by custom.
    pub fn path(&self) -> Result<Option<PathBuf>, StageError> {
        match &*self.pieces {
            [Piece { artifact, constants: None }] => {
                note(&self.damaged, artifact, self.store.artifact_path(artifact)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn open(&self, artifact: &ArtifactRef) -> Result<pipe_cache::TableReader, StageError> {
        note(&self.damaged, artifact, self.store.open_table(artifact, &ReadOptions::default()))
    }
}

/// Remembers which object is damaged, so that its producer can run again.
fn note<T>(
    damaged: &Mutex<Vec<Digest>>,
    artifact: &ArtifactRef,
    result: Result<T, StoreError>,
) -> Result<T, StageError> {
    if matches!(result, Err(StoreError::Damaged(_))) {
        damaged.lock().push(artifact.object);
    }
    Ok(result?)
}

enum Either<L, R> {
    Left(L),
    Right(R),
}

impl<T, L: Iterator<Item = T>, R: Iterator<Item = T>> Iterator for Either<L, R> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self {
            Self::Left(iter) => iter.next(),
            Self::Right(iter) => iter.next(),
        }
    }
}

impl StageContext {
    /// What is connected: port names, sorted, and what flows into them.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, ArtifactKind)> {
        self.parts.inputs.iter().map(|input| {
            (input.port.as_str(), input.artifacts.first().map_or(ArtifactKind::Table, |a| a.artifact.kind))
        })
    }

    /// What is connected to a port: one artifact, or one per variant, in the order of their rows. A variant without
    /// rows is among them.
    pub fn artifacts(&self, port: &str) -> &[InputArtifact] {
        self.connected(port).map_or(&[], |input| &input.artifacts)
    }

    /// Variants whose stage failed, so that they give nothing to a gathered input; only where the kind does with less
    /// ([`StageKind::GATHERS_WHAT_THERE_IS`](crate::kind::StageKind::GATHERS_WHAT_THERE_IS)).
    pub fn missing(&self, port: &str) -> &[MissingFrom] {
        self.connected(port).map_or(&[], |input| &input.missing)
    }

    /// The table at a port.
    pub fn table(&self, port: &str) -> Result<TableInput, StageError> {
        self.optional_table(port)?.ok_or_else(|| not_connected(port))
    }

    /// The table at a port, or `None` when nothing is connected.
    pub fn optional_table(&self, port: &str) -> Result<Option<TableInput>, StageError> {
        let Some(input) = self.connected(port) else { return Ok(None) };
        expect_kind(input, ArtifactKind::Table)?;
        let mut table = TableInput {
            store: self.parts.store.clone(),
            port: port.to_owned(),
            pieces: Vec::new(),
            rows: OnceLock::new(),
            schema: Arc::new(Schema::empty()),
            damaged: Arc::clone(&self.damaged),
        };
        let from: Vec<&GatheredFrom> = input.artifacts.iter().filter_map(|a| a.gathered.as_ref()).collect();
        let mut constants = gather::columns(&from).map_err(|e| StageError::other("gather the factors", e))?.into_iter();
        for (i, InputArtifact { artifact, gathered }) in input.artifacts.iter().enumerate() {
            let own = SchemaRef::clone(table.open(artifact)?.schema());
            let constants = if gathered.is_some() { constants.next() } else { None };
            let schema = gather::schema(port, &own, constants.as_ref())?;
            if i == 0 {
                table.schema = schema;
            } else if table.schema.fields() != schema.fields() {
                return Err(gather::unlike(port, &from, i, &table.schema, &schema));
            }
            table.pieces.push(Piece { artifact: *artifact, constants });
        }
        Ok(Some(table))
    }

    /// The directory at a port, verified. Read-only by custom.
    pub fn files(&self, port: &str) -> Result<PathBuf, StageError> {
        self.optional_files(port)?.ok_or_else(|| not_connected(port))
    }

    /// The directory at a port, verified, or `None` when nothing is connected. Read-only by custom.
    pub fn optional_files(&self, port: &str) -> Result<Option<PathBuf>, StageError> {
        let Some(input) = self.connected(port) else { return Ok(None) };
        expect_kind(input, ArtifactKind::Files)?;
        match &*input.artifacts {
            [InputArtifact { artifact, gathered: None }] => self.dir(artifact).map(Some),
            _ => Err(StageError::user_help(
                format!("input `{port}` gathers the files of several variants where one directory is wanted"),
                "connect one stage, without `[*]`",
            )),
        }
    }

    /// The directories gathered at a port, in the order of the variants; empty when nothing is connected.
    pub fn gathered_files(&self, port: &str) -> Result<Vec<GatheredFiles>, StageError> {
        let Some(input) = self.connected(port) else { return Ok(Vec::new()) };
        expect_kind(input, ArtifactKind::Files)?;
        (input.artifacts.iter())
            .map(|InputArtifact { artifact, gathered }| {
                let from = gathered.as_ref().ok_or_else(|| {
                    StageError::user_help(format!("input `{port}` is one directory"), "gather it: `stage[*]`")
                })?;
                Ok(GatheredFiles {
                    variant: from.variant.clone(),
                    arm: from.arm.clone(),
                    factors: from.factors.clone(),
                    dir: self.dir(artifact)?,
                })
            })
            .collect()
    }

    /// Fails unless the table is the one that a row-wise kind maps: the recipe leaves that one out, and no other.
    pub(super) fn check_primary(&self, table: &TableInput) -> Result<(), StageError> {
        match self.parts.increment {
            Increment::RowWise { primary } if primary == table.port => Ok(()),
            Increment::RowWise { primary } => Err(StageError::contract(format!(
                "it maps the rows of `{}`, not of its primary input `{primary}`",
                table.port
            ))),
            _ => Err(StageError::contract("map_rows is for kinds whose INCREMENT is RowWise")),
        }
    }

    fn connected(&self, port: &str) -> Option<&InputRecord> {
        self.parts.inputs.iter().find(|input| input.port == port)
    }

    fn dir(&self, artifact: &ArtifactRef) -> Result<PathBuf, StageError> {
        let dir = note(&self.damaged, artifact, self.parts.store.artifact_path(artifact))?;
        self.lent.lock().push(*artifact);
        Ok(dir)
    }

    /// Whether the directories that the stage was given are still what they were: somebody may have written to one
    /// while it computed from it.
    pub(crate) fn check_lent(&self) -> Result<(), StageError> {
        let lent = self.lent.lock().clone();
        lent.iter().try_for_each(|artifact| self.dir(artifact).map(drop))
    }
}

fn not_connected(port: &str) -> StageError {
    StageError::contract(format!("it asked for the input `{port}`, which is not connected"))
}

fn expect_kind(input: &InputRecord, kind: ArtifactKind) -> Result<(), StageError> {
    if input.artifacts.iter().all(|a| a.artifact.kind == kind) {
        return Ok(());
    }
    let (is, wanted) = match kind {
        ArtifactKind::Table => ("files", "a table"),
        ArtifactKind::Files => ("a table", "files"),
    };
    Err(StageError::user(format!("input `{}` is {is} where {wanted} is wanted", input.port)))
}
