//! What the page tells of the stages of a run: plain data, as that of a comparison.

use serde::{Deserialize, Serialize};

/// The losses of a training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Curve {
    /// The stage.
    pub stage: String,
    /// The arm (or variants that share it, joined by commas).
    pub arm: String,
    /// The draw.
    pub draw: Option<String>,
    /// Step and loss, thinned to a few hundred.
    pub loss: Vec<(f64, f64)>,
    /// Step and loss on held-out rows.
    pub held_out: Vec<(f64, f64)>,
}

/// What became of a stage's rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Funnel {
    /// The stage.
    pub stage: String,
    /// The arm (or variants that share it, joined by commas).
    pub arm: String,
    /// Outcomes and rows: `attempted` first, `kept` (or `answered`, `found`) last.
    pub outcomes: Vec<(String, u64)>,
}

/// Variants and stages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sharing {
    /// Columns.
    pub stages: Vec<String>,
    /// Rows.
    pub variants: Vec<String>,
    /// By variant, then stage; `None` where the variant has no such stage.
    pub cells: Vec<Vec<Option<Cell>>>,
    /// What all cells would take, each computed on its own, in seconds.
    pub unshared_seconds: f64,
    /// What the distinct computations took.
    pub seconds: f64,
    /// What this run took of that.
    pub run_seconds: f64,
    /// Variants that are not among the rows, since the page has no room for them.
    pub left_out: usize,
}

/// One computation of a variant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cell {
    /// The beginning of its key; equal keys are one computation, and of one colour.
    pub key: String,
    /// `computed` in this run, `reused` from an earlier one, `failed`, `skipped`, `absent`.
    pub state: String,
    /// What it took.
    pub seconds: f64,
}

/// A computation, for provenance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stage {
    /// The stage.
    pub name: String,
    /// The kind, with its version: `evaluate 3`.
    pub kind: String,
    /// The variants that share it.
    pub variants: Vec<String>,
    /// Its key.
    pub key: String,
    /// What computed it.
    pub software: String,
    /// When it was started, as RFC 3339.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// Parameters of the key, as pretty JSON.
    pub parameters: String,
    /// Sources of the key: label and digest, or value.
    pub sources: Vec<(String, String)>,
    /// Its outputs.
    pub outputs: Vec<Output>,
}

/// An output.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Rows of a table.
    pub rows: Option<u64>,
    /// Its digest.
    pub digest: String,
    /// The way there from the page, with slashes; `None` where nothing is linked.
    pub path: Option<String>,
}
