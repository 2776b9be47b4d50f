//! What is different between two variants, or two runs: parameters, rows, metrics.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{Array, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
    util::display::array_value_to_string,
};
use pipe_cache::{ArtifactKind, ArtifactRef, Digest, Manifest, ReadOptions, Store, StoreError};
use serde::Serialize;

use super::why::Changes;
use crate::{
    events::{Journal, JournalError},
    keys::ResultRecord,
};

/// Tables of at most this many rows are taken for metrics.
const METRIC_ROWS: u64 = 200;

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
    /// Stages whose results differ, by name.
    pub stages: Vec<StageDiff>,
    /// Number of stages whose results are the same.
    pub same: usize,
}

/// A stage that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageDiff {
    /// `stage`, or `stage@variant` when runs are compared.
    pub stage: String,
    /// Its key on the left, if it has one there.
    pub left: Option<Digest>,
    /// Its key on the right.
    pub right: Option<Digest>,
    /// What led from left to right, one line each.
    pub changes: Vec<String>,
    /// Outputs, by port, whose contents differ.
    pub outputs: Vec<OutputDiff>,
    /// Counters that differ (tokens, rows computed).
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
    /// Numeric columns, of small tables.
    pub metrics: Vec<Metric>,
}

/// A number on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// The column, with the texts of the row in brackets where there are several rows: `f1[task=qa]`.
    pub name: String,
    /// On the left.
    pub left: Option<f64>,
    /// On the right.
    pub right: Option<f64>,
}

impl Metric {
    /// Right less left.
    pub fn delta(&self) -> Option<f64> {
        Some(self.right? - self.left?)
    }
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
    let mut diff = Diff { left: left.0.to_owned(), right: right.0.to_owned(), stages: Vec::new(), same: 0 };
    for name in names {
        let (a, b) = (left.1.get(name).copied(), right.1.get(name).copied());
        if a == b {
            diff.same += 1;
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
            (_, _, Some(old), Some(new)) => changes.between(&old.key, &new.key, false),
            _ => vec!["a result was deleted: what changed is not known".to_owned()],
        };
        diff.stages.push(StageDiff {
            stage: name.clone(),
            left: a,
            right: b,
            changes: lines,
            outputs: outputs(store, before.as_ref(), after.as_ref())?,
            counters: counters(before.as_ref(), after.as_ref()),
        });
    }
    Ok(diff)
}

fn outputs(store: &Store, left: Option<&Manifest>, right: Option<&Manifest>) -> Result<Vec<OutputDiff>, StoreError> {
    let side = |m: Option<&Manifest>| -> BTreeMap<String, ArtifactRef> {
        m.map(|m| m.outputs.iter().map(|o| (o.port.clone(), o.artifact)).collect()).unwrap_or_default()
    };
    let (left, right) = (side(left), side(right));
    let ports: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut outputs = Vec::new();
    for port in ports {
        let (a, b) = (left.get(port), right.get(port));
        if a.map(|a| a.digest) == b.map(|b| b.digest) {
            continue;
        }
        let side = |artifact: Option<&ArtifactRef>| artifact.map_or(Ok(BTreeMap::new()), |a| numbers(store, a));
        outputs.push(OutputDiff {
            port: port.clone(),
            left_rows: a.map(|a| a.rows),
            right_rows: b.map(|b| b.rows),
            metrics: join(&side(a)?, &side(b)?),
        });
    }
    Ok(outputs)
}

fn counters(left: Option<&Manifest>, right: Option<&Manifest>) -> Vec<Metric> {
    let side = |m: Option<&Manifest>| -> BTreeMap<String, f64> {
        m.map(|m| m.provenance.counters.iter().map(|(name, n)| (name.clone(), *n as f64)).collect()).unwrap_or_default()
    };
    join(&side(left), &side(right))
}

/// The numbers that differ.
fn join(left: &BTreeMap<String, f64>, right: &BTreeMap<String, f64>) -> Vec<Metric> {
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    (names.into_iter())
        .map(|name| Metric { name: name.clone(), left: left.get(name).copied(), right: right.get(name).copied() })
        .filter(|metric| metric.left != metric.right)
        .collect()
}

/// The numbers in a small table, by name. A damaged table has none: it is reported where it is used.
fn numbers(store: &Store, artifact: &ArtifactRef) -> Result<BTreeMap<String, f64>, StoreError> {
    if artifact.kind != ArtifactKind::Table || artifact.rows > METRIC_ROWS {
        return Ok(BTreeMap::new());
    }
    match store.open_table(artifact, &ReadOptions::default()).and_then(pipe_cache::TableReader::read_all) {
        Ok(table) => Ok(numbers_of(&table)),
        Err(StoreError::Damaged(_)) => Ok(BTreeMap::new()),
        Err(e) => Err(e),
    }
}

fn numbers_of(table: &RecordBatch) -> BTreeMap<String, f64> {
    let schema = table.schema();
    let of_type = |numeric: bool| {
        (schema.fields().iter().zip(table.columns()))
            .filter(move |(field, _)| field.data_type().is_numeric() == numeric)
    };
    let texts: Vec<_> = of_type(false)
        .filter(|(field, _)| matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Boolean))
        .collect();
    let row_name = |row: usize| -> String {
        if table.num_rows() == 1 {
            return String::new();
        }
        let part = |(field, column): &(&arrow::datatypes::FieldRef, &arrow::array::ArrayRef)| {
            format!("{}={}", field.name(), array_value_to_string(column, row).unwrap_or_default())
        };
        let parts: Vec<String> = texts.iter().map(part).collect();
        if parts.is_empty() { format!("[{row}]") } else { format!("[{}]", parts.join(",")) }
    };
    let names: Vec<String> = (0..table.num_rows()).map(row_name).collect();
    let mut numbers = BTreeMap::new();
    for (field, column) in of_type(true) {
        let Ok(column) = cast(column, &DataType::Float64) else { continue };
        let column = arrow::array::AsArray::as_primitive::<Float64Type>(&column);
        for (row, name) in names.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            numbers.insert(format!("{}{name}", field.name()), column.value(row));
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn numbers_are_named_by_column_and_by_the_texts_of_their_row() {
        let task: ArrayRef = Arc::new(StringArray::from(vec!["qa", "ner"]));
        let f1: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), None]));
        let n: ArrayRef = Arc::new(Int64Array::from(vec![10, 20]));
        let table = RecordBatch::try_from_iter([("task", task), ("f1", f1), ("n", n)]).unwrap();
        let names: Vec<_> = numbers_of(&table).into_iter().collect();
        assert_eq!(names, [("f1[task=qa]".into(), 0.5), ("n[task=ner]".into(), 20.0), ("n[task=qa]".into(), 10.0)]);
        let one: Vec<_> = numbers_of(&table.slice(0, 1)).into_iter().collect();
        assert_eq!(one, [("f1".into(), 0.5), ("n".into(), 10.0)]);
    }
}
