//! Arms that are held against each other, and what is told of each.

use pipe_engine::pipeline::NodeId;
use pipe_report::Comparison;
use serde::{Deserialize, Serialize};

/// What the stage of an arm is called among its factors.
pub(super) const STAGE: &str = "stage";

/// Arms that are held against each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Study {
    /// What is shown of it, without samples.
    pub comparison: Comparison,
    /// In the order of [`Comparison::arms`].
    pub arms: Vec<StudyArm>,
    /// Why there are no effects.
    pub not_compared: Option<String>,
    /// Whether the tasks were left out of the questions: there are too many of both.
    pub tasks_left_out: bool,
}

/// What is told of an arm in a line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StudyArm {
    /// The stage with the scores.
    pub stage: String,
    /// Variants, one for each draw; several where they share a computation.
    pub variants: Vec<String>,
    /// By metric, in the order of [`Comparison::metrics`].
    pub scores: Vec<Score>,
    /// Draws, and the nodes with their scores (by index); one without a name where there are no draws.
    pub nodes: Vec<(String, u32)>,
    /// How many draws it has.
    pub draws: usize,
    /// How many draws it lacks that others have.
    pub draws_missing: usize,
    /// Items, the most of a draw.
    pub items: usize,
    /// Attempted and kept, the mean of draws.
    pub kept: Option<(f64, f64)>,
    /// Names, headings and counts, the mean of draws.
    pub counts: Vec<(String, String, f64)>,
    /// What a draw takes from nothing, in seconds.
    pub seconds: f64,
    /// What the run took of that, of all draws.
    pub seconds_paid: f64,
    /// Computations of all draws.
    pub stages: usize,
    /// How many of them the run did not have to do.
    pub reused: usize,
}

/// A score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mean over items; of several draws, the mean of their means.
    pub mean: Option<f64>,
    /// The standard error of that: over items where there is one draw, over draws where there are several.
    pub standard_error: Option<f64>,
}

/// One input of a comparison, and which nodes it is from.
pub(super) struct From {
    pub input: String,
    /// The variant where it is gathered, and the node.
    pub nodes: Vec<(Option<usize>, NodeId)>,
}
