//! Numbers of small tables, and counters.

use std::collections::{BTreeMap, BTreeSet};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
    util::display::array_value_to_string,
};
use pipe_cache::{ArtifactKind, ArtifactRef, Manifest, ReadOptions, Store, StoreError};
use serde::Serialize;

/// Tables of at most this many rows are taken for metrics.
const METRIC_ROWS: u64 = 200;

/// A number on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metric {
    /// The column, with the texts of the row in brackets where there are several rows: `f1[task=qa]`.
    pub name: String,
    /// The column, or the counter.
    pub column: String,
    /// The row, where there are several: `task=qa`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub row: String,
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

/// By the row's name, and the column's place and name.
pub(super) type Numbers = BTreeMap<(String, usize, String), f64>;

/// The numbers that differ.
pub(super) fn join(left: &Numbers, right: &Numbers) -> Vec<Metric> {
    let names: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let metric = |key: &(String, usize, String)| {
        let (row, _, column) = key;
        let name = if row.is_empty() { column.clone() } else { format!("{column}[{row}]") };
        let (left, right) = (left.get(key).copied(), right.get(key).copied());
        Metric { name, column: column.clone(), row: row.clone(), left, right }
    };
    names.into_iter().map(metric).filter(|metric| metric.left != metric.right).collect()
}

/// The counters that differ, but for how many rows were computed and how many were there already: that tells of earlier
/// runs.
pub(super) fn counters(left: Option<&Manifest>, right: Option<&Manifest>) -> Vec<Metric> {
    let side = |manifest: Option<&Manifest>| -> Numbers {
        let counters = manifest.iter().flat_map(|m| &m.provenance.counters);
        let counters = counters.filter(|(name, _)| !name.starts_with("rows_"));
        counters.map(|(name, n)| ((String::new(), 0, name.clone()), *n as f64)).collect()
    };
    join(&side(left), &side(right))
}

/// The numbers in a small table, by name. A damaged table has none: it is reported where it is used.
pub(super) fn of_artifact(store: &Store, artifact: &ArtifactRef) -> Result<Numbers, StoreError> {
    if artifact.kind != ArtifactKind::Table || artifact.rows > METRIC_ROWS {
        return Ok(Numbers::new());
    }
    match store.open_table(artifact, &ReadOptions::default()).and_then(pipe_cache::TableReader::read_all) {
        Ok(table) => Ok(of_table(&table)),
        Err(StoreError::Damaged(_)) => Ok(Numbers::new()),
        Err(e) => Err(e),
    }
}

fn of_table(table: &RecordBatch) -> Numbers {
    let names = row_names(table);
    let mut numbers = Numbers::new();
    for (place, (field, column)) in table.schema().fields().iter().zip(table.columns()).enumerate() {
        let Some(column) = field.data_type().is_numeric().then(|| cast(column, &DataType::Float64).ok()).flatten()
        else {
            continue;
        };
        let column = column.as_primitive::<Float64Type>();
        for (row, name) in names.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            numbers.insert((name.clone(), place, field.name().clone()), column.value(row));
        }
    }
    numbers
}

/// Rows by their texts: those that tell them apart.
fn row_names(table: &RecordBatch) -> Vec<String> {
    let rows = table.num_rows();
    if rows == 1 {
        return vec![String::new()];
    }
    let schema = table.schema();
    let named = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Boolean);
    let texts = |column: &dyn Array| -> Vec<String> {
        (0..rows).map(|row| array_value_to_string(column, row).unwrap_or_default()).collect()
    };
    let columns: Vec<(&String, Vec<String>)> = (schema.fields().iter().zip(table.columns()))
        .filter(|(field, _)| named(field.data_type()))
        .map(|(field, column)| (field.name(), texts(column)))
        .filter(|(_, texts)| texts.iter().any(|text| *text != texts[0]))
        .collect();
    let name = |row: usize| {
        let parts: Vec<String> = columns.iter().map(|(name, texts)| format!("{name}={}", texts[row])).collect();
        if parts.is_empty() { row.to_string() } else { parts.join(",") }
    };
    (0..rows).map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};

    use super::*;

    #[test]
    fn numbers_are_named_by_column_and_by_the_texts_that_tell_rows_apart() {
        let task: ArrayRef = Arc::new(StringArray::from(vec!["qa", "ner"]));
        let how: ArrayRef = Arc::new(StringArray::from(vec!["same", "same"]));
        let f1: ArrayRef = Arc::new(Float64Array::from(vec![Some(0.5), None]));
        let n: ArrayRef = Arc::new(Int64Array::from(vec![10, 20]));
        let table = RecordBatch::try_from_iter([("task", task), ("how", how), ("f1", f1), ("n", n)]).unwrap();
        let named = |numbers: Numbers| -> Vec<(String, Option<f64>)> {
            join(&numbers, &Numbers::new()).into_iter().map(|metric| (metric.name, metric.left)).collect()
        };
        let expect = [("n[task=ner]", 20.0), ("f1[task=qa]", 0.5), ("n[task=qa]", 10.0)];
        assert_eq!(named(of_table(&table)), expect.map(|(name, n)| (name.to_owned(), Some(n))));
        let expect = [("f1", 0.5), ("n", 10.0)];
        assert_eq!(named(of_table(&table.slice(0, 1))), expect.map(|(name, n)| (name.to_owned(), Some(n))));
    }
}
