//! What happens during a run: the only interface between the executor and whoever reports on it.
//!
//! The coordinator thread alone creates events and hands each to the reporters in order; a worker never does. Events
//! serialise to one JSON object each (the JSON-lines reporter, the journal).

use std::{collections::BTreeMap, fmt, sync::Arc};

use pipe_cache::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::highlights::Arm;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Seconds since the run started.
    pub at: f64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The first event of every run.
    RunStarted {
        /// The run's id, also the name of its journal.
        run: String,
        /// The pipeline's name.
        pipeline: String,
        /// Wall clock, milliseconds since 1970.
        started_ms: u64,
        /// Number of arms.
        variants: usize,
        /// Distinct computations in the graph.
        nodes: usize,
        /// (variant, stage) pairs that those computations stand for.
        placements: usize,
        /// Nodes that the selection leaves in.
        selected: usize,
        /// Size of the CPU slot pool.
        jobs: u32,
    },
    /// The node's result was in the store.
    Hit {
        /// Which node.
        node: NodeRef,
        /// Its key.
        key: Digest,
        /// How long it took to compute, back then.
        seconds_saved: f64,
    },
    /// Another process, or another node of this run, is computing the same key; this node waits for it.
    Waiting {
        /// Which node.
        node: NodeRef,
        /// The key being waited for.
        key: Digest,
        /// Whom it waits for.
        on: String,
    },
    /// A worker begins to compute the node.
    Started {
        /// Which node.
        node: NodeRef,
        /// Its key; `None` when it could not be computed and the result will not be cached.
        key: Option<Digest>,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// Work done so far.
    Progress {
        /// Which node.
        node: NodeRef,
        /// Units done.
        done: u64,
        /// Units in all, where known.
        total: Option<u64>,
        /// What is counted: `rows`, `steps`, `bytes`.
        unit: String,
    },
    /// One line for people from the stage.
    Log {
        /// Which node.
        node: NodeRef,
        /// The line.
        line: String,
    },
    /// The attempt failed in passing; another follows.
    Retry {
        /// Which node.
        node: NodeRef,
        /// The attempt that failed.
        attempt: u32,
        /// Seconds until the next.
        wait: f64,
        /// Why it failed.
        error: String,
    },
    /// A damaged artifact was found and put aside; its producer runs again.
    Damaged {
        /// The producer that runs again.
        node: NodeRef,
        /// What was found.
        message: String,
    },
    /// The node was computed and published.
    Finished {
        /// Which node.
        node: NodeRef,
        /// Its key; `None` when the result is not cached.
        key: Option<Digest>,
        /// What it did and how long it took.
        stats: NodeStats,
        /// The stage's log file, when it wrote one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    /// The node failed for good.
    Failed {
        /// Which node.
        node: NodeRef,
        /// The whole chain of causes, outermost first.
        error: Vec<String>,
        /// What to do about it.
        help: Option<String>,
        /// The stage's log file, when it wrote one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<String>,
    },
    /// The node did not run.
    Skipped {
        /// Which node.
        node: NodeRef,
        /// Why not.
        reason: SkipReason,
    },
    /// Something that people should know and that stops nothing.
    Warning {
        /// Which node, if one.
        node: Option<NodeRef>,
        /// What it is.
        message: String,
    },
    /// What the arms came to, when stages with scores have results. Left out of journals.
    Arms {
        /// One per computation with scores, by stage and variant.
        arms: Vec<Arm>,
    },
    /// The last event of every run.
    RunFinished {
        /// How it ended, in numbers.
        summary: RunSummary,
        /// Names what every stage stands at now; see [`crate::journal::Journal::state`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Digest>,
    },
}

/// Names a node in events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeRef {
    /// Index of the node in [`crate::pipeline::Pipeline::graph`].
    pub id: u32,
    /// `stage`, `stage@variant`, or `stage@variant +3` when several variants share it.
    pub label: Label,
}

/// A cheap shared text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(pub Arc<str>);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// Why a node did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum SkipReason {
    /// A stage that it needs failed.
    UpstreamFailed {
        /// That stage.
        upstream: Label,
    },
    /// A stage that it needs is not selected, and its result is not in the store.
    UpstreamNotSelected {
        /// That stage.
        upstream: Label,
    },
    /// Another stage failed, and the run does not keep going.
    RunFailed,
    /// The run was cancelled.
    Cancelled,
}

/// What one computation did. Kept in the manifest and the journal; later runs estimate from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStats {
    /// Wall time of the attempt that succeeded, publishing included.
    pub seconds: f64,
    /// Rows over all table outputs.
    pub rows: u64,
    /// Rows (or attempts) computed now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_computed: u64,
    /// Rows (or attempts) taken from the memo.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_reused: u64,
    /// What the stage counted: `tokens_generated`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every selected node has its result in the store.
    Succeeded,
    /// At least one node failed.
    Failed,
    /// The run was cancelled before it was done.
    Cancelled,
}

/// A run in numbers; nodes are counted once however many variants share them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// How it ended.
    pub outcome: Outcome,
    /// Nodes whose result was in the store.
    pub hits: usize,
    /// Nodes computed.
    pub ran: usize,
    /// Nodes that failed.
    pub failed: usize,
    /// Selected nodes that did not run.
    pub skipped: usize,
    /// Wall time of the run in seconds.
    pub seconds: f64,
    /// Sum of the recorded times of the selected nodes that were hits.
    pub seconds_saved: f64,
}
