//! Tables that grow row by row, whose columns are named as they are filled.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema},
};
use indexmap::IndexMap;
use pipe_engine::kind::StageError;

/// What a column of a table without rows holds.
pub(super) const TEXT: DataType = DataType::Utf8;
pub(super) const NUMBER: DataType = DataType::Float64;
pub(super) const NUMERAL: DataType = DataType::Int64;
pub(super) const FLAG: DataType = DataType::Boolean;

/// Columns by name, in the order in which they were first filled.
#[derive(Debug, Default)]
pub(super) struct Cells {
    columns: IndexMap<&'static str, Values>,
}

/// As they will stand in the table, which may have a row for every item, metric and arm.
#[derive(Debug)]
enum Values {
    Text(StringBuilder),
    Number(Float64Builder),
    Count(Int64Builder),
    Flag(BooleanBuilder),
}

impl Cells {
    /// A table without rows has columns, too.
    pub(super) fn with(columns: &[(&'static str, DataType)]) -> Self {
        let empty = |of: &DataType| match of {
            DataType::Float64 => Values::Number(Float64Builder::new()),
            DataType::Int64 => Values::Count(Int64Builder::new()),
            DataType::Boolean => Values::Flag(BooleanBuilder::new()),
            _ => Values::Text(StringBuilder::new()),
        };
        Self { columns: columns.iter().map(|(name, of)| (*name, empty(of))).collect() }
    }

    pub(super) fn text(&mut self, name: &'static str, value: Option<&str>) {
        if let Values::Text(values) = self.columns.entry(name).or_insert_with(|| Values::Text(StringBuilder::new())) {
            values.append_option(value);
        }
    }

    pub(super) fn number(&mut self, name: &'static str, value: Option<f64>) {
        if let Values::Number(values) =
            self.columns.entry(name).or_insert_with(|| Values::Number(Float64Builder::new()))
        {
            values.append_option(value);
        }
    }

    pub(super) fn count(&mut self, name: &'static str, value: Option<usize>) {
        if let Values::Count(values) = self.columns.entry(name).or_insert_with(|| Values::Count(Int64Builder::new())) {
            values.append_option(value.map(|value| value as i64));
        }
    }

    pub(super) fn flag(&mut self, name: &'static str, value: bool) {
        if let Values::Flag(values) = self.columns.entry(name).or_insert_with(|| Values::Flag(BooleanBuilder::new())) {
            values.append_value(value);
        }
    }

    /// As a table.
    pub(super) fn batch(self) -> Result<RecordBatch, StageError> {
        let (mut fields, mut arrays) = (Vec::new(), Vec::<ArrayRef>::new());
        for (name, values) in self.columns {
            let array: ArrayRef = match values {
                Values::Text(mut values) => Arc::new(values.finish()),
                Values::Number(mut values) => Arc::new(values.finish()),
                Values::Count(mut values) => Arc::new(values.finish()),
                Values::Flag(mut values) => Arc::new(values.finish()),
            };
            fields.push(Field::new(name, array.data_type().clone(), true));
            arrays.push(array);
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|e| StageError::other("make a table of what was compared", e))
    }
}
