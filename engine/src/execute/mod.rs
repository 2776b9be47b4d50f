//! Runs a pipeline: one coordinator thread owns all state, hands ready nodes to workers, and alone emits events.

mod options;

use pipe_cache::Store;

pub use self::options::{RunError, RunOptions};
use crate::{
    events::{Event, RunSummary},
    pipeline::Pipeline,
};

/// What workers and listeners tell the coordinator.
pub(crate) enum Message {
    /// A stage says how far it is.
    Progress { node: u32, done: u64, total: Option<u64>, unit: String },
    /// A stage says a line.
    Log { node: u32, line: String },
    /// A stage warns.
    Warning { node: u32, message: String },
}

/// Runs the selected stages of a pipeline, and reports every event in order to `report`, on the calling thread.
///
/// Failures of stages are in the summary and the events; an error here means that the run could not begin or that the
/// store broke down.
pub fn run(
    _pipeline: &Pipeline,
    _store: &Store,
    _options: &RunOptions,
    _report: &mut dyn FnMut(&Event),
) -> Result<RunSummary, RunError> {
    unimplemented!("lands next")
}
