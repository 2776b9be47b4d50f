//! The inputs of a running stage. Bytes are verified before the first row is handed out (I10).

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    datatypes::{Schema, SchemaRef},
};
use pipe_cache::{ArtifactKind, ArtifactRef, Digest, ReadOptions, Store, StoreError};
use serde_json::Value;

use super::{StageContext, gather};
use crate::{
    keys::{GatheredFrom, InputArtifact, InputRecord},
    kind::{Increment, PortType, StageError},
};

/// A table connected to a port; gathered tables follow each other in the order of the variants, with the columns
/// `variant`, `arm` and the factors appended.
pub struct TableInput {
    store: Store,
    parts: Vec<Part>,
    schema: SchemaRef,
    damaged: Arc<Mutex<Vec<Digest>>>,
}

struct Part {
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
        self.parts.iter().map(|part| part.artifact.rows).sum()
    }

    /// The rows, in batches.
    pub fn batches(&self) -> impl Iterator<Item = Result<RecordBatch, StageError>> {
        self.parts.iter().flat_map(|part| match self.open(&part.artifact) {
            Ok(reader) => Either::Left(reader.map(|batch| {
                let batch = batch?;
                match &part.constants {
                    None => Ok(batch),
                    Some(constants) => gather::append(&self.schema, &batch, constants),
                }
            })),
            Err(e) => Either::Right(std::iter::once(Err(e))),
        })
    }

    /// All rows, as one batch.
    pub fn read(&self) -> Result<RecordBatch, StageError> {
        let batches = self.batches().collect::<Result<Vec<_>, _>>()?;
        concat_batches(&self.schema, &batches).map_err(|e| StageError::other("join the batches of a table", e))
    }

    /// The verified Parquet file, for programs that read it themselves. `None` for a gathered table, which has none.
    /// Read-only by custom.
    pub fn path(&self) -> Result<Option<PathBuf>, StageError> {
        match &*self.parts {
            [Part { artifact, constants: None }] => {
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
        damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(artifact.object);
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
    pub fn inputs(&self) -> impl Iterator<Item = (&str, PortType)> {
        self.parts.record.inputs.iter().map(|input| {
            let kind = match input.artifacts.first().map(|a| a.artifact.kind) {
                Some(ArtifactKind::Table) | None => PortType::Table,
                Some(ArtifactKind::Files) => PortType::Files,
            };
            (input.port.as_str(), kind)
        })
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
            parts: Vec::new(),
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
            table.parts.push(Part { artifact: *artifact, constants });
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

    /// The table that a row-wise kind maps.
    pub(super) fn primary_input(&self) -> Result<TableInput, StageError> {
        match self.parts.increment {
            Increment::RowWise { primary } => self.table(primary),
            _ => Err(StageError::contract("only kinds whose INCREMENT is RowWise have a primary input")),
        }
    }

    fn connected(&self, port: &str) -> Option<&InputRecord> {
        self.parts.record.inputs.iter().find(|input| input.port == port)
    }

    fn dir(&self, artifact: &ArtifactRef) -> Result<PathBuf, StageError> {
        note(&self.damaged, artifact, self.parts.store.artifact_path(artifact))
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
