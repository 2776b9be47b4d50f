//! What a run would do: for every node, hit, run (and why), or pending on an upstream that runs.

use pipe_cache::Digest;
use serde::Serialize;

use crate::events::{Label, NodeRef};

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: String,
    /// All nodes, producers before consumers.
    pub nodes: Vec<PlanNode>,
    /// How the stages of the variants collapse, in file order.
    pub sharing: Vec<StageSharing>,
    /// Sum of the estimates of what would run, in seconds; nodes without history are left out.
    pub estimated_seconds: f64,
    /// How many nodes would run (or may) whose time is unknown.
    pub unknown: usize,
}

/// One node of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanNode {
    /// The node.
    pub node: NodeRef,
    /// The stage's name (of the first placement).
    pub stage: String,
    /// The kind's name.
    pub kind: String,
    /// All variants that it stands for.
    pub variants: Vec<String>,
    /// What would happen.
    #[serde(flatten)]
    pub action: Action,
    /// Estimated seconds if it runs; `None` where there is no history.
    pub estimate: Option<f64>,
}

/// What would happen to a node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Its result is in the store.
    Hit {
        /// Its key.
        key: Digest,
    },
    /// It would run.
    Run {
        /// Its key; `None` when it cannot be computed.
        key: Option<Digest>,
        /// Why, in one line per change.
        reasons: Vec<String>,
    },
    /// Whether it runs depends on what those upstreams yield.
    Pending {
        /// The upstreams that run or are pending themselves.
        on: Vec<Label>,
    },
    /// It cannot run: an upstream is neither selected nor in the store.
    Blocked {
        /// That upstream.
        on: Label,
    },
    /// It is not selected, and its result is not in the store or not known.
    NotSelected,
    /// Its sources cannot be read.
    Error {
        /// Why.
        message: String,
    },
}

/// How many (variant, stage) pairs of one stage collapse to how many computations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageSharing {
    /// The stage.
    pub stage: String,
    /// Variants that have it.
    pub placements: usize,
    /// Distinct computations among them.
    pub nodes: usize,
}
