//! Rows of two tables, joined on their `id`.

use std::collections::HashMap;

use arrow::{
    array::{Array, RecordBatch},
    datatypes::DataType,
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_cache::{ArtifactKind, ArtifactRef, ReadOptions, Store, StoreError, row_digests};
use serde::Serialize;

/// Tables with more rows together are not joined.
const MAX_ROWS: u64 = 400_000;
/// Rows that are told one by one.
pub const EXAMPLES: usize = 20;
/// The column that says which row is which.
const ID: &str = "id";

/// How the rows of two tables differ.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RowsDiff {
    /// Rows that are the same on both sides.
    pub same: u64,
    /// Rows of one id that differ.
    pub changed: u64,
    /// Rows whose id is on the left alone.
    pub only_left: u64,
    /// Rows whose id is on the right alone.
    pub only_right: u64,
    /// Columns with the number of rows that differ in them.
    pub columns: Vec<(String, u64)>,
    /// The first rows that differ.
    pub examples: Vec<RowExample>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowExample {
    /// Its id.
    pub id: String,
    /// What differs in it.
    pub cells: Vec<CellDiff>,
}

/// A value that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellDiff {
    /// The column.
    pub column: String,
    /// On the left; `None` where there is none.
    pub left: Option<String>,
    /// On the right.
    pub right: Option<String>,
    /// Whether it is text.
    pub text: bool,
}

/// The rows of two tables, where both have an `id` that names each row once. A damaged table is reported where it is
/// used.
pub(super) fn rows(store: &Store, left: &ArtifactRef, right: &ArtifactRef) -> Result<Option<RowsDiff>, StoreError> {
    let tables = [left, right].iter().all(|artifact| artifact.kind == ArtifactKind::Table);
    if !tables || left.rows + right.rows > MAX_ROWS {
        return Ok(None);
    }
    let read = |artifact: &ArtifactRef| store.open_table(artifact, &ReadOptions::default())?.read_all();
    match (read(left), read(right)) {
        (Ok(left), Ok(right)) => Ok(join(&left, &right)),
        (Err(StoreError::Damaged(_)), _) | (_, Err(StoreError::Damaged(_))) => Ok(None),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
}

/// The column `id` as text, and where each is.
fn ids(table: &RecordBatch) -> Option<(Vec<String>, HashMap<String, usize>)> {
    let column = table.column_by_name(ID)?;
    let named = column.data_type() == &DataType::Utf8 || column.data_type().is_integer();
    if !named || column.null_count() > 0 {
        return None;
    }
    let options = FormatOptions::new();
    let format = ArrayFormatter::try_new(column, &options).ok()?;
    let ids: Vec<String> = (0..column.len()).map(|row| format.value(row).to_string()).collect();
    let places: HashMap<String, usize> = ids.iter().cloned().enumerate().map(|(row, id)| (id, row)).collect();
    (places.len() == ids.len()).then_some((ids, places))
}

fn join(left: &RecordBatch, right: &RecordBatch) -> Option<RowsDiff> {
    let ((ids, _), (_, places)) = (ids(left)?, ids(right)?);
    let digests = (left.schema() == right.schema()).then(|| Some((row_digests(left).ok()?, row_digests(right).ok()?)));
    let digests = digests.flatten();
    let columns = columns(left, right);
    let mut diff = RowsDiff::default();
    let mut changed = vec![0; columns.len()];
    for (row, id) in ids.into_iter().enumerate() {
        let Some(&other) = places.get(&id) else {
            diff.only_left += 1;
            continue;
        };
        if digests.as_ref().is_some_and(|(left, right)| left[row] == right[other]) {
            diff.same += 1;
            continue;
        }
        let mut cells = Vec::new();
        for (column, changed) in columns.iter().zip(&mut changed) {
            if let Some(cell) = column.cell(row, other) {
                *changed += 1;
                cells.push(cell);
            }
        }
        if cells.is_empty() {
            diff.same += 1;
            continue;
        }
        diff.changed += 1;
        if diff.examples.len() < EXAMPLES {
            diff.examples.push(RowExample { id, cells });
        }
    }
    diff.only_right = places.len() as u64 - diff.same - diff.changed;
    let names = columns.iter().map(|column| column.name.clone());
    diff.columns = names.zip(changed).filter(|(_, n)| *n > 0).collect();
    Some(diff)
}

/// A column on both sides, or on one.
struct Column<'a> {
    name: String,
    text: bool,
    left: Option<(&'a dyn Array, ArrayFormatter<'a>)>,
    right: Option<(&'a dyn Array, ArrayFormatter<'a>)>,
}

const FORMAT: FormatOptions<'static> = FormatOptions::new();

fn columns<'a>(left: &'a RecordBatch, right: &'a RecordBatch) -> Vec<Column<'a>> {
    let schemas = (left.schema(), right.schema());
    let mut names: Vec<String> = schemas.0.fields().iter().map(|field| field.name().clone()).collect();
    names.extend(schemas.1.fields().iter().map(|f| f.name().clone()).filter(|name| schemas.0.index_of(name).is_err()));
    let side = |table: &'a RecordBatch, name: &str| {
        let array = table.column_by_name(name)?.as_ref();
        Some((array, ArrayFormatter::try_new(array, &FORMAT).ok()?))
    };
    let column = |name: String| {
        let (left, right) = (side(left, &name), side(right, &name));
        let text = left.iter().chain(&right).all(|(array, _)| array.data_type() == &DataType::Utf8);
        Column { name, text, left, right }
    };
    names.into_iter().filter(|name| name != ID).map(column).collect()
}

impl Column<'_> {
    fn cell(&self, left: usize, right: usize) -> Option<CellDiff> {
        let value = |side: &Option<(&dyn Array, ArrayFormatter<'_>)>, row: usize| {
            let (array, format) = side.as_ref()?;
            array.is_valid(row).then(|| format.value(row).to_string())
        };
        let (left, right) = (value(&self.left, left), value(&self.right, right));
        (left != right).then(|| CellDiff { column: self.name.clone(), left, right, text: self.text })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use super::*;

    fn table(ids: &[&str], texts: &[&str], scores: &[Option<f64>]) -> RecordBatch {
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(StringArray::from(ids.to_vec()))),
            ("text", Arc::new(StringArray::from(texts.to_vec()))),
            ("score", Arc::new(Float64Array::from(scores.to_vec()))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    #[test]
    fn rows_are_joined_on_their_id_in_whatever_order_they_are() {
        let left = table(&["a", "b", "c"], &["one", "two", "three"], &[Some(1.0), None, Some(0.5)]);
        let right = table(&["c", "d", "a"], &["three", "four", "uno"], &[Some(0.25), None, Some(1.0)]);
        let diff = join(&left, &right).unwrap();
        assert_eq!((diff.same, diff.changed, diff.only_left, diff.only_right), (0, 2, 1, 1));
        assert_eq!(diff.columns, [("text".to_owned(), 1), ("score".to_owned(), 1)]);
        let cell = |column: &str, left: &str, right: &str, text| CellDiff {
            column: column.to_owned(),
            left: Some(left.to_owned()),
            right: Some(right.to_owned()),
            text,
        };
        let example = |id: &str, cell| RowExample { id: id.to_owned(), cells: vec![cell] };
        assert_eq!(
            diff.examples,
            [example("a", cell("text", "one", "uno", true)), example("c", cell("score", "0.5", "0.25", false))]
        );
        assert_eq!(join(&left, &left).unwrap(), RowsDiff { same: 3, ..RowsDiff::default() });
    }

    #[test]
    fn an_id_that_names_two_rows_joins_nothing() {
        let twice = table(&["a", "a"], &["x", "y"], &[None, None]);
        assert_eq!(join(&twice, &twice), None);
        let without = twice.project(&[1, 2]).unwrap();
        assert_eq!(join(&without, &without), None);
    }
}
