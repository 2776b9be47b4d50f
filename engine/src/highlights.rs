//! What is shown of results when a run ends: the table of arms.
//!
//! A kind declares what people want to see of its results ([`Highlight`]). A node with scores becomes a row ([`Arm`]), together
//! with what the nodes it stands on declare: how much they kept, what they counted, how long they took.

use std::borrow::Cow;

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something in a stage's result that stands in the table of arms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Highlight {
    /// A score. A stage that declares one is a row of the table of arms.
    Score {
        /// The name under which scripts find it.
        name: Cow<'static, str>,
        /// The heading of its column.
        heading: Cow<'static, str>,
        /// The output table.
        port: &'static str,
        /// The row: the first one that has this text in this column.
        row: (&'static str, &'static str),
        /// The column with the score.
        value: Cow<'static, str>,
        /// The column with its standard error.
        standard_error: Option<Cow<'static, str>>,
    },
    /// An output table with the columns `outcome` and `count`, of which the rows `attempted` and `kept` are shown.
    Yield {
        /// The output table.
        port: &'static str,
    },
    /// A count that the stage kept with its result, added up over the stages that an arm stands on.
    Count {
        /// The counter's name.
        counter: &'static str,
        /// The heading of its column.
        heading: &'static str,
    },
}

/// One row of the table of arms: a computation with scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// The stage that scores.
    pub stage: String,
    /// The variants that share the computation.
    pub variants: Vec<String>,
    /// The factors that have one value in all of these variants.
    pub factors: IndexMap<String, Value>,
    /// The scores, in declared order.
    pub scores: Vec<ArmScore>,
    /// How much of what was attempted first was kept last, on the way to the scores.
    #[serde(rename = "yield", default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<ArmYield>,
    /// What was counted on the way.
    pub counts: Vec<ArmCount>,
    /// Seconds that the computations took, whenever that was.
    pub seconds: f64,
    /// The computations that the scores stand on, the scoring one included.
    pub stages: usize,
    /// How many of these this run did not have to compute.
    pub reused: usize,
}

/// A score of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmScore {
    /// The name for scripts.
    pub name: String,
    /// The name for people.
    pub heading: String,
    /// The score; `None` where the table has none.
    pub value: Option<f64>,
    /// Its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
}

/// Rows attempted, and rows kept of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmYield {
    /// Attempted by the first stage that says so.
    pub attempted: u64,
    /// Kept by the last one.
    pub kept: u64,
}

/// A count of an arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmCount {
    /// The counter.
    pub name: String,
    /// The name for people.
    pub heading: String,
    /// The sum.
    pub count: u64,
}

/// The first row that has `text` in the column `key`.
pub(crate) fn find_row(table: &RecordBatch, key: &str, text: &str) -> Option<usize> {
    let keys = table.column_by_name(key)?.as_string_opt::<i32>()?;
    (0..keys.len()).find(|&row| keys.is_valid(row) && keys.value(row) == text)
}

/// A number of any type; `None` where there is none.
pub(crate) fn number(table: &RecordBatch, row: usize, column: &str) -> Option<f64> {
    let numbers = cast(table.column_by_name(column)?, &DataType::Float64).ok()?;
    let numbers = numbers.as_primitive::<Float64Type>();
    numbers.is_valid(row).then(|| numbers.value(row))
}

/// The counts of the rows `attempted` and `kept`.
pub(crate) fn read_yield(table: &RecordBatch) -> Option<ArmYield> {
    let counts = cast(table.column_by_name("count")?, &DataType::Int64).ok()?;
    let counts = counts.as_primitive::<Int64Type>();
    let count = |outcome| find_row(table, "outcome", outcome).and_then(|row| u64::try_from(counts.value(row)).ok());
    Some(ArmYield { attempted: count("attempted")?, kept: count("kept")? })
}
