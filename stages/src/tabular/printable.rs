//! Columns as JSON Lines, CSV and people can have them: what those have no notation for becomes text.
//!
//! Dates and times become ISO 8601, with a zone in UTC (the same instant; no database of zones is needed), durations
//! and intervals what Arrow prints, decimals of more than 15 digits their digits, for whoever reads JSON makes doubles
//! of them; keys of maps become text. Lists, structures and maps are gone into.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, FixedSizeListArray, ListArray, MapArray, RecordBatch, RecordBatchOptions,
        StringBuilder, StructArray,
    },
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Fields, Float16Type, Float32Type, Float64Type, Schema},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

/// Decimal digits that a double always keeps.
const DOUBLE_DIGITS: u8 = 15;

/// What becomes of a value that has no notation: a date a million years from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unprintable {
    /// An error: a program would compute with it.
    Refuse,
    /// The number that stores it: people look at it.
    AsStored,
}

/// The rows with columns of types that can be printed.
pub fn printable(batch: &RecordBatch, otherwise: Unprintable) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let column = printable_column(column, otherwise)
            .map_err(|error| ArrowError::ExternalError(format!("column `{}`: {error}", field.name()).into()))?;
        fields.push(retyped(field, &column));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn retyped(field: &FieldRef, column: &ArrayRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(column.data_type().clone()))
}

/// One column, or one level of a nested one.
pub fn printable_column(column: &ArrayRef, otherwise: Unprintable) -> Result<ArrayRef, ArrowError> {
    let inside = |inner: &ArrayRef| printable_column(inner, otherwise);
    Ok(match column.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            texts(&cast(column, &utc)?, otherwise)?
        }
        ty if ty.is_temporal() => texts(column, otherwise)?,
        DataType::Decimal32(digits, _)
        | DataType::Decimal64(digits, _)
        | DataType::Decimal128(digits, _)
        | DataType::Decimal256(digits, _)
            if *digits > DOUBLE_DIGITS =>
        {
            texts(column, otherwise)?
        }
        DataType::Dictionary(_, values) => inside(&cast(column, values)?)?,
        DataType::RunEndEncoded(_, values) => inside(&cast(column, values.data_type())?)?,
        DataType::ListView(item) | DataType::LargeListView(item) | DataType::LargeList(item) => {
            inside(&cast(column, &DataType::List(item.clone()))?)?
        }
        DataType::List(item) => {
            let list = column.as_list::<i32>();
            let values = inside(list.values())?;
            Arc::new(ListArray::try_new(retyped(item, &values), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::FixedSizeList(item, length) => {
            let list = column.as_fixed_size_list();
            let values = inside(list.values())?;
            Arc::new(FixedSizeListArray::try_new(retyped(item, &values), *length, values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) if !fields.is_empty() => Arc::new(structure(column.as_struct(), fields, &inside)?),
        DataType::Map(entries, sorted) => {
            let map = column.as_map();
            let keys = match map.keys().data_type() {
                DataType::Utf8 => map.keys().clone(),
                _ => texts(&inside(map.keys())?, otherwise)?,
            };
            let values = inside(map.values())?;
            let DataType::Struct(pair) = entries.data_type() else { return Ok(column.clone()) };
            let pair = Fields::from(vec![retyped(&pair[0], &keys), retyped(&pair[1], &values)]);
            let inner = StructArray::try_new(pair.clone(), vec![keys, values], map.entries().nulls().cloned())?;
            let entries = Arc::new(Field::new(entries.name(), DataType::Struct(pair), entries.is_nullable()));
            Arc::new(MapArray::try_new(entries, map.offsets().clone(), inner, map.nulls().cloned(), *sorted)?)
        }
        _ => column.clone(),
    })
}

fn structure(
    array: &StructArray,
    fields: &Fields,
    inside: &dyn Fn(&ArrayRef) -> Result<ArrayRef, ArrowError>,
) -> Result<StructArray, ArrowError> {
    let columns: Vec<ArrayRef> = array.columns().iter().map(inside).collect::<Result<_, _>>()?;
    let fields: Fields = fields.iter().zip(&columns).map(|(field, column)| retyped(field, column)).collect();
    StructArray::try_new(fields, columns, array.nulls().cloned())
}

/// Every value as text.
fn texts(column: &ArrayRef, otherwise: Unprintable) -> Result<ArrayRef, ArrowError> {
    let options = FormatOptions::new().with_display_error(false);
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let mut texts = StringBuilder::new();
    let mut stored: Option<ArrayRef> = None;
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        match formatter.value(row).try_to_string() {
            Ok(text) => texts.append_value(text),
            Err(error) if otherwise == Unprintable::Refuse => return Err(error),
            Err(_) => {
                let numbers = match stored.take() {
                    Some(numbers) => numbers,
                    None => cast(column, &DataType::Int64)?,
                };
                texts.append_value(numbers.as_primitive::<arrow::datatypes::Int64Type>().value(row).to_string());
                stored = Some(numbers);
            }
        }
    }
    Ok(Arc::new(texts.finish()))
}

/// The first NaN or infinity: its column and row. JSON has no notation for them.
pub fn not_finite(batch: &RecordBatch) -> Option<(&str, usize)> {
    let schema = batch.schema_ref();
    for (column, field) in batch.columns().iter().zip(schema.fields()) {
        if holds_floats(field.data_type())
            && let Some(row) = (0..column.len()).find(|&row| is_not_finite(column, row))
        {
            return Some((field.name(), row));
        }
    }
    None
}

fn holds_floats(ty: &DataType) -> bool {
    match ty {
        DataType::Struct(fields) => fields.iter().any(|field| holds_floats(field.data_type())),
        DataType::List(item) | DataType::FixedSizeList(item, _) | DataType::Map(item, _) => {
            holds_floats(item.data_type())
        }
        ty => ty.is_floating(),
    }
}

fn is_not_finite(array: &dyn Array, row: usize) -> bool {
    let any = |items: ArrayRef| (0..items.len()).any(|i| is_not_finite(&items, i));
    if array.is_null(row) {
        return false;
    }
    match array.data_type() {
        DataType::Float16 => !array.as_primitive::<Float16Type>().value(row).is_finite(),
        DataType::Float32 => !array.as_primitive::<Float32Type>().value(row).is_finite(),
        DataType::Float64 => !array.as_primitive::<Float64Type>().value(row).is_finite(),
        DataType::Struct(_) => array.as_struct().columns().iter().any(|column| is_not_finite(column, row)),
        DataType::List(_) => any(array.as_list::<i32>().value(row)),
        DataType::FixedSizeList(..) => any(array.as_fixed_size_list().value(row)),
        DataType::Map(..) => any(Arc::new(array.as_map().value(row))),
        _ => false,
    }
}
