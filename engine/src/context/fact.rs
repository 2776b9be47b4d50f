//! What a stage tells of its work besides how far it is: attempts made, the loss, tokens.

use serde::{Deserialize, Serialize};

/// A number that says how the work goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// What it is: `attempts`, `loss`, `tokens`.
    pub name: String,
    /// Its latest value.
    pub value: f64,
    /// How it is to be read.
    #[serde(rename = "as")]
    pub measure: Measure,
}

/// How a fact is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// So many.
    Count,
    /// So many of the count before it: why rows were dropped.
    Part,
    /// A number that goes up and down: a loss.
    Value,
    /// So many in all, of which people want to know how many come in a second: tokens.
    Pace,
}
