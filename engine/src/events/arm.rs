//! The table of arms: a node with scores becomes a row, together with what the nodes it stands on declare: how much
//! they kept, what they counted, how long they took.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// Seconds that the computations take from nothing: rows that were taken from the memo count what rows of their
    /// recipe took.
    pub seconds: f64,
    /// Seconds that this run took of them.
    #[serde(default)]
    pub seconds_paid: f64,
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
