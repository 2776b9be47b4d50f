//! What happens during a run, and the journal that keeps it: the only interface between the executor and whoever
//! reports on it.
//!
//! The coordinator thread alone creates events and hands each to the reporters in order; a worker never does. Events
//! serialise to one JSON object each (the JSON-lines reporter, the journal).

mod arm;
mod journal;
mod live;
mod timings;

use std::{collections::BTreeMap, path::PathBuf};

use indexmap::IndexMap;
use pipe_cache::{ArtifactKind, Digest, RemoteCounts};
use serde::{Deserialize, Serialize};

pub use self::{
    arm::{Arm, ArmCount, ArmScore, ArmYield},
    journal::{EndState, Journal, JournalError, RunInfo},
    live::{Live, LiveStage, live},
    timings::{Timings, Work},
};
pub(crate) use self::{journal::JournalWriter, live::LiveWriter};
pub use crate::context::{Fact, Measure};
use crate::pipeline::{Label, NodeRef};

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
        /// What was run.
        #[serde(flatten)]
        origin: RunOrigin,
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
    /// Another process, or another node of this run, is computing the same key, or rows that this node needs; it waits
    /// for them.
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
        /// Units that earlier work had done: they say nothing of how fast it goes.
        #[serde(default, skip_serializing_if = "is_zero")]
        known: u64,
        /// What else there is to tell.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        facts: Vec<Fact>,
    },
    /// Numbers of a step, such as the loss of a training. Left out of journals.
    Series {
        /// Which node.
        node: NodeRef,
        /// Which step.
        step: u64,
        /// The numbers, by name: `train/loss`.
        values: IndexMap<String, f64>,
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
        /// The kind's name.
        #[serde(default)]
        kind: String,
        /// Its recipe, which computations share that differ in their rows alone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recipe: Option<Digest>,
        /// What it did and how long it took.
        stats: NodeStats,
        /// What it left, in declared order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        outputs: Vec<OutputCount>,
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
    /// What other processes do for the pipeline, now that it has changed. Left out of journals.
    Elsewhere {
        /// One for each process.
        runs: Vec<Live>,
    },
    /// All is computed, and some of it is still on its way to the remote. Left out of journals.
    Pushing {
        /// How many results, and memos, are.
        on_the_way: usize,
    },
    /// The last event of every run.
    RunFinished {
        /// How it ended, in numbers.
        summary: RunSummary,
        /// Names what every stage stands at now; see [`Journal::state`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Digest>,
    },
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
    /// Nothing is computed, and neither the store nor the remote has its result, or that of a stage that it needs.
    NotOnRemote,
}

/// What was run, so that a run can be told from others of the same pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOrigin {
    /// The pipeline file.
    #[serde(default)]
    pub file: PathBuf,
    /// The digest of what stood in it and in the files that it includes; `None` in journals of earlier versions.
    #[serde(default)]
    pub file_digest: Option<Digest>,
    /// What `--set` changed, each `name=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    /// What a run with overrides is called; see [`Pipeline::trial`](crate::pipeline::Pipeline::trial).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<String>,
    /// The command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// Name, version and commit of the program.
    #[serde(default)]
    pub software: String,
}

/// How much of an output there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputCount {
    /// The port.
    pub port: String,
    /// Table or files.
    pub kind: ArtifactKind,
    /// Rows of a table, or number of files.
    pub rows: u64,
}

/// The name, in a manifest's timings, of the seconds that a stage waited for rows of others.
pub const WAITING: &str = "waiting";

/// What one computation did. Kept in the manifest and the journal; later runs estimate from it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeStats {
    /// Wall time of the attempt that succeeded, publishing included.
    pub seconds: f64,
    /// Rows of the first output; 0 where that is files.
    pub rows: u64,
    /// Rows of the input tables.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_in: u64,
    /// Rows (or attempts) computed now.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_computed: u64,
    /// Rows (or attempts) taken from the memo.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_reused: u64,
    /// Rows (or attempts) that other stages or processes computed meanwhile.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_waited: u64,
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
pub enum RunEnd {
    /// Every selected node has its result in the store.
    Succeeded,
    /// At least one node failed.
    Failed,
    /// The run was cancelled before it was done; a worker may also have had too little time for what is left.
    Cancelled,
    /// A worker ended: what is left is for other workers.
    Left,
}

/// A run in numbers; nodes are counted once however many variants share them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// How it ended.
    pub outcome: RunEnd,
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
    /// Rows and attempts that the nodes computed here.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_computed: u64,
    /// Rows and attempts that those nodes took from earlier work.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_reused: u64,
    /// Rows and attempts that those nodes left to others that computed them just then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows_waited: u64,
    /// What came from the remote and went there, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteCounts>,
}
