//! Rows of a table as JSON values that lose nothing: what JSON has no word for (NaN, long decimals, times) is text.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type, UInt64Type},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_stages::tabular::{Unprintable, printable};
use serde_json::{Map, Value};

/// The rows, each an object without its nulls.
pub(crate) fn rows(batch: &RecordBatch) -> Result<Vec<Value>, ArrowError> {
    let batch = printable(batch, Unprintable::AsStored)?;
    let schema = batch.schema();
    let names: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
    (0..batch.num_rows())
        .map(|row| {
            let fields = names.iter().zip(batch.columns()).filter(|(_, column)| !column.is_null(row));
            let fields = fields.map(|(name, column)| Ok(((*name).clone(), value(column, row)?)));
            Ok(Value::Object(fields.collect::<Result<Map<_, _>, ArrowError>>()?))
        })
        .collect()
}

fn value(array: &dyn Array, row: usize) -> Result<Value, ArrowError> {
    if array.is_null(row) {
        return Ok(Value::Null);
    }
    let items =
        |items: &dyn Array| (0..items.len()).map(|i| value(items, i)).collect::<Result<_, _>>().map(Value::Array);
    Ok(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).into(),
        DataType::Utf8 => array.as_string::<i32>().value(row).into(),
        ty if ty.is_signed_integer() => {
            arrow::compute::cast(&array.slice(row, 1), &DataType::Int64)?.as_primitive::<Int64Type>().value(0).into()
        }
        ty if ty.is_unsigned_integer() => {
            arrow::compute::cast(&array.slice(row, 1), &DataType::UInt64)?.as_primitive::<UInt64Type>().value(0).into()
        }
        DataType::Float64 => number(array.as_primitive::<Float64Type>().value(row)),
        DataType::List(_) => items(&array.as_list::<i32>().value(row))?,
        DataType::FixedSizeList(..) => items(&array.as_fixed_size_list().value(row))?,
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns()).filter(|(_, column)| !column.is_null(row));
            let fields = columns.map(|(field, column)| Ok((field.name().clone(), value(column, row)?)));
            Value::Object(fields.collect::<Result<_, ArrowError>>()?)
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let keys = entries.column(0).as_string::<i32>().iter().map(|key| key.unwrap_or_default().to_owned());
            let values = keys.enumerate().map(|(i, key)| Ok((key, value(entries.column(1), i)?)));
            Value::Object(values.collect::<Result<_, ArrowError>>()?)
        }
        ty => {
            let options = FormatOptions::new();
            let text = ArrayFormatter::try_new(array, &options)?.value(row).to_string();
            // Short floats and short decimals: as many digits as they have.
            let short = ty.is_floating() || ty.is_decimal();
            text.parse().ok().filter(|_| short).map_or(Value::String(text), number)
        }
    })
}

fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}
