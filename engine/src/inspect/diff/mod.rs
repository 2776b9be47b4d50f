//! What is different between two variants, or two runs: parameters, sizes, metrics, rows.

mod numbers;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pipe_cache::{ArtifactRef, Digest, Manifest, Store, StoreError};
use serde::Serialize;

pub use self::{
    numbers::Metric,
    rows::{CellDiff, EXAMPLES, RowExample, RowsDiff},
};
use super::why::{Changes, say_words};
use crate::{
    events::{Journal, JournalError},
    keys::ResultRecord,
};

/// The output of trainings that tells every step: a log, and no result to compare.
const LOG: &str = "log";

/// Why two things could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// There is no such variant or run, or nothing is known of it.
    #[error("failed to find {what} `{name}`")]
    Unknown {
        /// `variant`, `run`, or `the final state of run`.
        what: &'static str,
        /// The name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A journal could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is different between two sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The first variant or run.
    pub left: String,
    /// The second.
    pub right: String,
    /// Stages whose results differ, in the order in which they were computed.
    pub stages: Vec<StageDiff>,
    /// Number of stages whose results are the same.
    pub same: usize,
}

/// A stage that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageDiff {
    /// `stage`, or `stage@variant` when runs are compared.
    pub stage: String,
    /// Others with the very same difference: variants that share the results.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Its key on the left, if it has one there.
    pub left: Option<Digest>,
    /// Its key on the right.
    pub right: Option<Digest>,
    /// What led from left to right, one line each.
    pub changes: Vec<String>,
    /// Outputs, by port, whose contents differ.
    pub outputs: Vec<OutputDiff>,
    /// Counters that differ (tokens).
    pub counters: Vec<Metric>,
}

/// An output whose content differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutputDiff {
    /// The port.
    pub port: String,
    /// Rows (or files) on the left.
    pub left_rows: Option<u64>,
    /// Rows (or files) on the right.
    pub right_rows: Option<u64>,
    /// Numeric columns, of small tables without an `id`.
    pub metrics: Vec<Metric>,
    /// The rows of tables in which an `id` names each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined: Option<RowsDiff>,
}

/// Compares two variants of a pipeline, as they stand in the store.
pub fn variants(store: &Store, pipeline: &str, left: &str, right: &str) -> Result<Diff, DiffError> {
    let refs = store.refs(pipeline)?;
    let side = |name: &str| {
        refs.get(name).ok_or_else(|| DiffError::Unknown {
            what: "variant",
            name: name.to_owned(),
            known: refs.keys().cloned().collect(),
        })
    };
    compare(store, (left, side(left)?), (right, side(right)?))
}

/// Compares what two runs ended with.
pub fn runs(store: &Store, left: &str, right: &str) -> Result<Diff, DiffError> {
    let journal = Journal::new(store);
    let runs = journal.runs()?;
    let side = |name: &str| -> Result<BTreeMap<String, Digest>, DiffError> {
        let unknown = |what| DiffError::Unknown { what, name: name.to_owned(), known: runs.clone() };
        if !runs.iter().any(|run| run == name) {
            return Err(unknown("run"));
        }
        let info = journal.info(name)?.ok_or_else(|| unknown("the final state of run"))?;
        let state = journal.state(&info)?.ok_or_else(|| unknown("the final state of run"))?;
        let label = |variant: &str, stage: String| format!("{stage}@{variant}");
        Ok((state.into_iter())
            .flat_map(|(variant, stages)| stages.into_iter().map(move |(stage, key)| (label(&variant, stage), key)))
            .collect())
    };
    compare(store, (left, &side(left)?), (right, &side(right)?))
}

type Side<'a> = (&'a str, &'a BTreeMap<String, Digest>);

fn compare(store: &Store, left: Side<'_>, right: Side<'_>) -> Result<Diff, DiffError> {
    let mut changes = Changes::new(store);
    let names: BTreeSet<&String> = left.1.keys().chain(right.1.keys()).collect();
    let mut same = 0;
    // When they were computed, and the stages.
    let mut stages: Vec<(u64, StageDiff)> = Vec::new();
    let mut places: HashMap<(Option<Digest>, Option<Digest>), usize> = HashMap::new();
    for name in names {
        let (a, b) = (left.1.get(name).copied(), right.1.get(name).copied());
        if a == b {
            same += 1;
            continue;
        }
        if let Some(&place) = places.get(&(a, b)) {
            stages[place].1.also.push(name.clone());
            continue;
        }
        let manifest = |key: Option<Digest>| key.map_or(Ok(None), |key| store.manifest(&key));
        let (before, after) = (manifest(a)?, manifest(b)?);
        let record = |m: &Option<Manifest>| -> Option<ResultRecord> {
            serde_json::from_value(m.as_ref()?.provenance.record.clone()).ok()
        };
        let lines = match (a, b, record(&before), record(&after)) {
            (None, ..) => vec![format!("only in `{}`", right.0)],
            (_, None, ..) => vec![format!("only in `{}`", left.0)],
            (_, _, Some(old), Some(new)) => {
                let mut lines = changes.between(&old.key, &new.key, false);
                say_words(&mut lines, &old.texts, &new.texts);
                lines
            }
            _ => vec!["a result was deleted: what changed is not known".to_owned()],
        };
        places.insert((a, b), stages.len());
        let computed = after.as_ref().or(before.as_ref()).map_or(u64::MAX, |m| m.provenance.started_ms);
        let stage = StageDiff {
            stage: name.clone(),
            also: Vec::new(),
            left: a,
            right: b,
            changes: lines,
            outputs: outputs(store, before.as_ref(), after.as_ref())?,
            counters: numbers::counters(before.as_ref(), after.as_ref()),
        };
        stages.push((computed, stage));
    }
    stages.sort_by_key(|(computed, _)| *computed);
    let stages = stages.into_iter().map(|(_, stage)| stage).collect();
    Ok(Diff { left: left.0.to_owned(), right: right.0.to_owned(), stages, same })
}

/// The outputs that differ, in declared order.
fn outputs(store: &Store, left: Option<&Manifest>, right: Option<&Manifest>) -> Result<Vec<OutputDiff>, StoreError> {
    let artifact = |m: Option<&Manifest>, port: &str| -> Option<ArtifactRef> {
        m?.outputs.iter().find(|output| output.port == port).map(|output| output.artifact)
    };
    let mut ports: Vec<&String> = Vec::new();
    for output in right.iter().chain(&left).flat_map(|m| &m.outputs) {
        if !ports.contains(&&output.port) && output.port != LOG {
            ports.push(&output.port);
        }
    }
    let mut outputs = Vec::new();
    for port in ports {
        let (a, b) = (artifact(left, port), artifact(right, port));
        if a.map(|a| a.digest) == b.map(|b| b.digest) {
            continue;
        }
        let joined = match (&a, &b) {
            (Some(a), Some(b)) => rows::rows(store, a, b)?,
            _ => None,
        };
        let side = |artifact: Option<&ArtifactRef>| match artifact {
            Some(artifact) if joined.is_none() => numbers::of_artifact(store, artifact),
            _ => Ok(numbers::Numbers::new()),
        };
        let metrics = numbers::join(&side(a.as_ref())?, &side(b.as_ref())?);
        let rows = |artifact: Option<ArtifactRef>| artifact.map(|artifact| artifact.rows);
        outputs.push(OutputDiff { port: port.clone(), left_rows: rows(a), right_rows: rows(b), metrics, joined });
    }
    Ok(outputs)
}
