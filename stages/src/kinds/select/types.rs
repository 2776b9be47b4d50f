//! Types in which the values of two tables meet, and rows as keys.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array},
    compute::cast,
    datatypes::{DataType, Float32Type, Float64Type},
    row::{RowConverter, Rows, SortField},
};

use super::wrong::{Wrong, failed};
use crate::tabular::{EXACT, same_type};

/// The type that holds the values of both columns as they are.
pub(super) fn common_type(here: Option<&ArrayRef>, there: Option<&ArrayRef>) -> Option<DataType> {
    let (Some(here), Some(there)) = (here, there) else { return Some(here.or(there)?.data_type().clone()) };
    let (a, b) = (here.data_type(), there.data_type());
    let is_whole = |t: &DataType| t.is_integer();
    match () {
        () if same_type(a, b) => Some(a.clone()),
        () if is_nothing(here) => Some(b.clone()),
        () if is_nothing(there) => Some(a.clone()),
        () if is_whole(a) && is_whole(b) && *a != DataType::UInt64 && *b != DataType::UInt64 => Some(DataType::Int64),
        () if a.is_floating() && b.is_floating() => Some(DataType::Float64),
        () if a.is_floating() && is_whole(b) => is_exact(there).then_some(DataType::Float64),
        () if is_whole(a) && b.is_floating() => is_exact(here).then_some(DataType::Float64),
        () => None,
    }
}

/// Nothing but nulls is of any type.
fn is_nothing(column: &ArrayRef) -> bool {
    column.logical_null_count() == column.len()
}

/// The column in a type that [`common_type`] found.
pub(super) fn as_type(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, Wrong> {
    if is_nothing(column) {
        // Arrow makes `[null]` of a text that is null where a list is wanted, and no object at all.
        return Ok(new_null_array(data_type, column.len()));
    }
    cast(column, data_type).map_err(failed)
}

/// Whether all whole numbers of a column are floats, too.
fn is_exact(column: &ArrayRef) -> bool {
    let Ok(whole) = cast(column, &DataType::Int64) else { return false };
    let whole = whole.as_primitive::<arrow::datatypes::Int64Type>();
    whole.null_count() == column.null_count() && whole.iter().flatten().all(|n| n.unsigned_abs() <= EXACT)
}

/// Rows as bytes that are equal where the rows are. 0 and -0 are equal.
pub(super) fn keys(rows: &RecordBatch) -> Result<Rows, Wrong> {
    let columns: Vec<ArrayRef> = rows.columns().iter().map(without_minus_zero).collect();
    let fields = rows.columns().iter().map(|column| SortField::new(column.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(failed)?;
    converter.convert_columns(&columns).map_err(failed)
}

fn without_minus_zero(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Float64 => Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(|x| x + 0.0)),
        DataType::Float32 => Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(|x| x + 0.0)),
        _ => Arc::clone(column),
    }
}
