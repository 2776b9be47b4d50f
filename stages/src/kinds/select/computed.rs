//! From the values of an expression to a column.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use minijinja::{Value, value::ValueKind};

use super::{params::Computed, wrong::Wrong};
use crate::tabular::{self, EXACT};

/// What a value is, as far as columns tell values apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Bool,
    Int,
    Float,
    Text,
    Nested,
    Other,
}

impl Sort {
    /// `None` for null, which fits every column.
    fn of(value: &Value) -> Option<Self> {
        Some(match value.kind() {
            ValueKind::None | ValueKind::Undefined => return None,
            ValueKind::Bool => Self::Bool,
            ValueKind::Number if value.is_integer() => Self::Int,
            ValueKind::Number => Self::Float,
            ValueKind::String => Self::Text,
            ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => Self::Nested,
            _ => Self::Other,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int | Self::Float => "a number",
            Self::Text => "a text",
            Self::Nested => "a list or an object",
            Self::Other => "what no column holds",
        }
    }
}

/// The column of the smallest type that holds all values; of texts where all are null.
///
/// # Errors
/// Rows give values of different sorts, or what no column holds; both rows are told.
pub(super) fn column(source: &str, values: &[Value]) -> Result<ArrayRef, Wrong> {
    let mut sort: Option<(usize, Sort)> = None;
    for (row, value) in values.iter().enumerate() {
        let Some(found) = Sort::of(value) else { continue };
        sort = match sort {
            None => Some((row, found)),
            Some((_, first)) if first == found => sort,
            Some((_, Sort::Int | Sort::Float)) if matches!(found, Sort::Int | Sort::Float) => Some((row, Sort::Float)),
            Some((before, first)) => {
                let message = format!(
                    "`{source}` gives {} for row {} and {} for row {}",
                    found.name(),
                    row + 1,
                    first.name(),
                    before + 1
                );
                return Err(Wrong::new(
                    message,
                    "a column holds values of one sort; `(...)|string` makes texts of all",
                ));
            }
        };
    }
    Ok(match sort.map_or(Sort::Text, |(_, sort)| sort) {
        Sort::Bool => Arc::new(values.iter().map(|v| bool::try_from(v.clone()).ok()).collect::<BooleanArray>()),
        Sort::Int => {
            let wide = values.iter().position(|v| !v.is_none() && v.as_i64().is_none());
            if let Some(row) = wide {
                let message = format!("`{source}` gives a whole number for row {} that 64 bits do not hold", row + 1);
                return Err(Wrong::new(message, "`(...)|string` keeps all of it, `(...)|float` its first digits"));
            }
            Arc::new(values.iter().map(Value::as_i64).collect::<Int64Array>())
        }
        Sort::Float if let Some(row) = values.iter().position(is_long) => {
            let message = format!(
                "`{source}` gives {} for row {}, which is no float to the last digit, and floats for other rows",
                values[row],
                row + 1
            );
            return Err(Wrong::new(message, "`(...)|string` keeps all of it, `(...)|float` its first digits"));
        }
        Sort::Float => Arc::new(values.iter().map(|v| f64::try_from(v.clone()).ok()).collect::<Float64Array>()),
        Sort::Text => Arc::new(values.iter().map(Value::as_str).collect::<StringArray>()),
        Sort::Nested => nested(source, values)?,
        Sort::Other => {
            let message = format!("`{source}` gives what no column holds");
            return Err(Wrong::new(message, "a column holds texts, numbers, true and false, lists or objects"));
        }
    })
}

/// Whether it is a whole number that would lose digits among floats.
fn is_long(value: &Value) -> bool {
    value.is_integer() && value.as_i64().is_none_or(|whole| whole.unsigned_abs() > EXACT)
}

/// Lists and objects, of the type that the reader of JSON gives them.
fn nested(source: &str, values: &[Value]) -> Result<ArrayRef, Wrong> {
    let failed = |e: String| {
        let help = "the items of all lists, and the fields of all objects, are of one type; `|tojson` makes texts";
        Wrong::new(format!("the values of `{source}` make no column: {e}"), help)
    };
    let json: Vec<String> =
        values.iter().map(serde_json::to_string).collect::<Result<_, _>>().map_err(|e| failed(e.to_string()))?;
    tabular::column_of(&json).map_err(|e| failed(e.to_string()))
}

/// A column of the same value in all rows.
pub(super) fn constant(value: &Computed, rows: usize) -> Option<ArrayRef> {
    Some(match value {
        Computed::Flag(flag) => Arc::new(BooleanArray::from(vec![*flag; rows])),
        Computed::Whole(whole) => Arc::new(Int64Array::from(vec![*whole; rows])),
        Computed::Number(number) => Arc::new(Float64Array::from(vec![*number; rows])),
        Computed::Expression(_) => return None,
    })
}
