//! Gathered tables (`name[*]`): the rows of all variants, with variant, arm and factors as columns.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array},
    compute::take,
    datatypes::{Field, Schema, SchemaRef},
    error::ArrowError,
};
use pipe_cache::type_name;
use serde_json::Value;

use super::{GatheredFrom, StageError};

/// The columns to append, one row per variant: `variant`, `arm`, then the factors by name.
///
/// A factor is `Int64` when all its values are integers, `Float64` when all are numbers, `Boolean`, and otherwise
/// `Utf8` (texts as they are, other values as JSON). Where a variant lacks a factor its value is null.
pub(super) fn columns(from: &[&GatheredFrom]) -> Result<Vec<RecordBatch>, ArrowError> {
    let factors: BTreeSet<&str> = from.iter().flat_map(|f| f.factors.keys()).map(String::as_str).collect();
    let text = |value: fn(&GatheredFrom) -> &str| -> ArrayRef {
        Arc::new(from.iter().map(|f| Some(value(f))).collect::<StringArray>())
    };
    let mut columns = vec![("variant", text(|f| &f.variant)), ("arm", text(|f| &f.arm))];
    for factor in factors {
        let values: Vec<&Value> = from.iter().map(|f| f.factors.get(factor).unwrap_or(&Value::Null)).collect();
        columns.push((factor, factor_column(&values)));
    }
    let fields: Vec<Field> =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let all = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.into_iter().map(|(_, a)| a).collect())?;
    Ok((0..all.num_rows()).map(|row| all.slice(row, 1)).collect())
}

fn factor_column(values: &[&Value]) -> ArrayRef {
    let present = || values.iter().filter(|v| !v.is_null());
    if present().all(|v| v.is_i64()) {
        Arc::new(values.iter().map(|v| v.as_i64()).collect::<Int64Array>())
    } else if present().all(|v| v.is_number()) {
        Arc::new(values.iter().map(|v| v.as_f64()).collect::<Float64Array>())
    } else if present().all(|v| v.is_boolean()) {
        Arc::new(values.iter().map(|v| v.as_bool()).collect::<BooleanArray>())
    } else {
        let text = |v: &&Value| match v {
            Value::Null => None,
            Value::String(s) => Some(s.clone()),
            other => Some(other.to_string()),
        };
        Arc::new(values.iter().map(text).collect::<StringArray>())
    }
}

/// The columns of the table together with the appended ones.
pub(super) fn schema(port: &str, own: &SchemaRef, constants: Option<&RecordBatch>) -> Result<SchemaRef, StageError> {
    let Some(constants) = constants else { return Ok(SchemaRef::clone(own)) };
    let appended = constants.schema();
    if let Some(taken) = appended.fields().iter().find(|f| own.field_with_name(f.name()).is_ok()) {
        return Err(StageError::user_help(
            format!("input `{port}` already has a column `{}`, which gathering would add", taken.name()),
            "rename the column or the factor",
        ));
    }
    Ok(Arc::new(Schema::new(own.fields().iter().chain(appended.fields()).cloned().collect::<Vec<_>>())))
}

/// Appends the one row of `constants` to every row.
pub(super) fn append(
    schema: &SchemaRef,
    batch: &RecordBatch,
    constants: &RecordBatch,
) -> Result<RecordBatch, StageError> {
    let repeat = UInt32Array::from(vec![0; batch.num_rows()]);
    let appended = constants.columns().iter().map(|column| take(column, &repeat, None));
    let columns = batch.columns().iter().cloned().map(Ok).chain(appended).collect::<Result<Vec<_>, _>>();
    columns
        .and_then(|columns| RecordBatch::try_new(SchemaRef::clone(schema), columns))
        .map_err(|e| StageError::other("append the factors to a gathered table", e))
}

/// The error for tables that cannot be stacked.
pub(super) fn unlike(port: &str, from: &[&GatheredFrom], i: usize, first: &Schema, other: &Schema) -> StageError {
    let (here, there) = (&from[0].variant, &from[i].variant);
    let of = |schema: &Schema, name: &str| schema.field_with_name(name).ok().map(|field| type_name(field.data_type()));
    let names: BTreeSet<&String> = first.fields().iter().chain(other.fields()).map(|field| field.name()).collect();
    let differ = names.into_iter().filter_map(|name| match (of(first, name), of(other, name)) {
        (Some(a), Some(b)) => (a != b).then(|| format!("`{name}` is {a} in `{here}` and {b} in `{there}`")),
        (a, _) => Some(format!("`{name}` stands in `{}` alone", if a.is_some() { here } else { there })),
    });
    let differ: Vec<String> = differ.collect();
    StageError::user_help(
        format!(
            "input `{port}` gathers tables of different columns: {}",
            if differ.is_empty() {
                format!("variants `{here}` and `{there}` differ in their order")
            } else {
                differ.join("; ")
            }
        ),
        "make the gathered stage yield the same columns in every variant; a `table` has the types of its file's \
         values, unless it is told them (`schema: { f1: float }`)",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::datatypes::DataType;
    use serde_json::json;

    use super::*;

    fn from(variant: &str, factors: &[(&str, Value)]) -> GatheredFrom {
        let factors: BTreeMap<String, Value> = factors.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        GatheredFrom { variant: variant.into(), arm: variant.into(), factors }
    }

    #[test]
    fn factor_columns_take_the_narrowest_type() {
        let check = |values: &[Value], expect: DataType| {
            let from: Vec<_> = values.iter().map(|v| from("v", &[("f", v.clone())])).collect();
            let columns = columns(&from.iter().collect::<Vec<_>>()).unwrap();
            assert_eq!(*columns[0].schema().field(2).data_type(), expect, "{values:?}");
        };
        check(&[json!(1), json!(2)], DataType::Int64);
        check(&[json!(1), json!(0.5), json!(null)], DataType::Float64);
        check(&[json!(true), json!(false)], DataType::Boolean);
        check(&[json!("bm25"), json!(null)], DataType::Utf8);
        check(&[json!(1), json!("all")], DataType::Utf8);
        check(&[json!({"r": 8})], DataType::Utf8);
    }

    #[test]
    fn tables_that_differ_are_told_column_by_column() {
        let schema = |columns: &[(&str, DataType)]| {
            Schema::new(columns.iter().map(|(name, of)| Field::new(*name, of.clone(), true)).collect::<Vec<_>>())
        };
        let (a, b) = (from("baseline", &[]), from("n=2", &[]));
        let told = |first: &[(&str, DataType)], other: &[(&str, DataType)]| {
            unlike("scored", &[&a, &b], 1, &schema(first), &schema(other)).to_string()
        };
        assert_eq!(
            told(
                &[("f1", DataType::Float64), ("id", DataType::Utf8), ("em", DataType::Boolean)],
                &[("f1", DataType::Int64), ("id", DataType::Utf8), ("x", DataType::Utf8)]
            ),
            "input `scored` gathers tables of different columns: `em` stands in `baseline` alone; `f1` is float64 in \
             `baseline` and int64 in `n=2`; `x` stands in `n=2` alone"
        );
        let order = [("a", DataType::Utf8), ("b", DataType::Utf8)];
        assert_eq!(
            told(&order, &[order[1].clone(), order[0].clone()]),
            "input `scored` gathers tables of different columns: variants `baseline` and `n=2` differ in their order"
        );
    }

    #[test]
    fn a_factor_may_not_shadow_a_column() {
        let own = Arc::new(Schema::new(vec![Field::new("seed", DataType::Int64, false)]));
        let columns = columns(&[&from("a", &[("seed", json!(1))])]).unwrap();
        let error = schema("scores", &own, Some(&columns[0])).unwrap_err();
        assert_eq!(error.to_string(), "input `scores` already has a column `seed`, which gathering would add");
    }
}
