//! Statistics of the columns of a table, in one pass over its batches.

use std::{borrow::Cow, collections::HashMap};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::{self, cast},
    datatypes::{DataType, Float64Type, SchemaRef},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_cache::{Digest, type_name};
use pipe_stages::tabular::{Unprintable, printable_column};
use serde::Serialize;

/// Values are counted one by one up to this many distinct ones; beyond, only their number is kept.
const MAX_COUNTED: usize = 10_000;
const TOP: usize = 3;

/// What is known of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ColumnStats {
    pub name: String,
    #[serde(rename = "type")]
    pub data_type: String,
    pub nulls: u64,
    pub distinct: u64,
    /// Of numbers, and of text by code points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
    /// Of numbers; of booleans the share that is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<f64>,
    /// Of text in characters, of lists in items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lengths: Option<Lengths>,
    /// The most frequent values with their numbers; empty where all values differ, or too many do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<(String, u64)>,
}

/// Shortest, mean and longest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Lengths {
    pub min: u64,
    pub mean: f64,
    pub max: u64,
}

/// Gathers statistics batch by batch.
pub(crate) struct Stats {
    columns: Vec<Column>,
}

struct Column {
    name: String,
    data_type: DataType,
    nulls: u64,
    rows: u64,
    /// Digests of values with their numbers and, for the first ones, the values.
    seen: HashMap<u128, (u64, Option<String>)>,
    number: Option<(f64, f64)>,
    text: Option<(String, String)>,
    sum: f64,
    lengths: Option<(u64, u64, u64)>,
}

impl Stats {
    pub(crate) fn new(schema: &SchemaRef) -> Self {
        let column = |field: &arrow::datatypes::FieldRef| Column {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            nulls: 0,
            rows: 0,
            seen: HashMap::new(),
            number: None,
            text: None,
            sum: 0.0,
            lengths: None,
        };
        Self { columns: schema.fields().iter().map(column).collect() }
    }

    pub(crate) fn update(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.columns.iter_mut().zip(batch.columns()).try_for_each(|(column, array)| column.update(array))
    }

    pub(crate) fn finish(self) -> Vec<ColumnStats> {
        self.columns.into_iter().map(Column::finish).collect()
    }
}

impl Column {
    fn update(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        self.rows += array.len() as u64;
        self.nulls += array.null_count() as u64;
        self.count_values(array)?;
        match array.data_type() {
            DataType::Utf8 => self.texts(array),
            DataType::Boolean => self.sum += array.as_boolean().true_count() as f64,
            DataType::List(_) => {
                for list in array.as_list::<i32>().iter().flatten() {
                    self.length(list.len() as u64);
                }
            }
            numeric if numeric.is_numeric() => self.numbers(array)?,
            _ => {}
        }
        Ok(())
    }

    fn count_values(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        let options = FormatOptions::new();
        let array = printable_column(array, Unprintable::AsStored)?;
        let format = ArrayFormatter::try_new(&array, &options)?;
        let texts = array.as_string_opt::<i32>();
        for row in (0..array.len()).filter(|&row| array.is_valid(row)) {
            let text = match texts {
                Some(texts) => Cow::Borrowed(texts.value(row)),
                None => Cow::Owned(format.value(row).to_string()),
            };
            let digest =
                u128::from_le_bytes(*Digest::of_bytes(text.as_bytes()).as_bytes().first_chunk().expect("32 bytes"));
            let keep = self.seen.len() < MAX_COUNTED;
            self.seen.entry(digest).or_insert_with(|| (0, keep.then(|| text.into_owned()))).0 += 1;
        }
        Ok(())
    }

    fn texts(&mut self, array: &ArrayRef) {
        let mut range: Option<(&str, &str)> = None;
        for text in array.as_string::<i32>().iter().flatten() {
            range = Some(range.map_or((text, text), |(min, max)| (min.min(text), max.max(text))));
            self.length(text.chars().count() as u64);
        }
        if let Some((min, max)) = range {
            let (old_min, old_max) = self.text.take().unwrap_or_else(|| (min.to_owned(), max.to_owned()));
            self.text = Some((min.to_owned().min(old_min), max.to_owned().max(old_max)));
        }
    }

    fn numbers(&mut self, array: &ArrayRef) -> Result<(), ArrowError> {
        let numbers = cast(array, &DataType::Float64)?;
        let numbers = numbers.as_primitive::<Float64Type>();
        self.sum += numbers.iter().flatten().sum::<f64>();
        if let (Some(min), Some(max)) = (compute::min(numbers), compute::max(numbers)) {
            let (old_min, old_max) = self.number.unwrap_or((min, max));
            self.number = Some((old_min.min(min), old_max.max(max)));
        }
        Ok(())
    }

    fn length(&mut self, length: u64) {
        let (min, sum, max) = self.lengths.unwrap_or((u64::MAX, 0, 0));
        self.lengths = Some((min.min(length), sum + length, max.max(length)));
    }

    fn finish(self) -> ColumnStats {
        let present = self.rows - self.nulls;
        let per_value = |sum: f64| (present > 0).then(|| sum / present as f64);
        let averaged = self.data_type.is_numeric() || self.data_type == DataType::Boolean;
        let (min, max) = match (self.number, self.text) {
            (Some((min, max)), _) => (Some(min.to_string()), Some(max.to_string())),
            (None, Some((min, max))) => (Some(min), Some(max)),
            (None, None) => (None, None),
        };
        let distinct = self.seen.len();
        let mut top: Vec<(String, u64)> = Vec::new();
        if distinct <= MAX_COUNTED && (distinct as u64) < present {
            top.extend(self.seen.into_values().filter_map(|(n, text)| Some((text?, n))));
            // By number, then by value: not by the map's order.
            top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            top.truncate(TOP);
        }
        ColumnStats {
            name: self.name,
            data_type: type_name(&self.data_type),
            nulls: self.nulls,
            distinct: distinct as u64,
            min,
            max,
            mean: if averaged { per_value(self.sum) } else { None },
            lengths: self.lengths.map(|(min, sum, max)| Lengths {
                min,
                mean: per_value(sum as f64).unwrap_or_default(),
                max,
            }),
            top,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int64Array, StringArray};

    use super::*;

    #[test]
    fn columns_are_summed_up_over_batches() {
        let batch = |text: [Option<&str>; 2], number: [i64; 2]| {
            let columns: [(&str, ArrayRef); 3] = [
                ("text", Arc::new(StringArray::from(text.to_vec()))),
                ("number", Arc::new(Int64Array::from(number.to_vec()))),
                ("flag", Arc::new(BooleanArray::from(vec![true, number[0] > 2]))),
            ];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let batches = [batch([Some("bb"), Some("äöü")], [1, 2]), batch([None, Some("bb")], [3, 10])];
        let mut stats = Stats::new(&batches[0].schema());
        for batch in &batches {
            stats.update(batch).unwrap();
        }
        let [text, number, flag] = stats.finish().try_into().unwrap();
        assert_eq!((text.nulls, text.distinct), (1, 2));
        assert_eq!((text.min.as_deref(), text.max.as_deref()), (Some("bb"), Some("äöü")));
        assert_eq!(text.lengths, Some(Lengths { min: 2, mean: 7.0 / 3.0, max: 3 }));
        assert_eq!(text.top, [("bb".to_owned(), 2), ("äöü".to_owned(), 1)]);
        assert_eq!((number.min.as_deref(), number.max.as_deref(), number.mean), (Some("1"), Some("10"), Some(4.0)));
        assert!(number.top.is_empty(), "all values differ");
        assert_eq!(flag.mean, Some(0.75));
    }
}
