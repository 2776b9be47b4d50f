//! Runs a pipeline: one coordinator thread owns all state, hands ready nodes to workers, and alone emits events.
//!
//! ```text
//! coordinator --Job--> pool --> worker: lease, look up once more, run the kind, publish
//!      ^------------Message------------/
//! ```

mod arms;
mod coordinator;
mod emit;
mod finish;
mod options;
mod pool;
mod retry;
mod settle;
mod slots;
mod stamp;
mod state;
mod worker;

use std::{
    collections::{BinaryHeap, HashMap},
    sync::{Arc, mpsc},
    thread,
};

use petgraph::Direction;
use pipe_cache::Store;

use self::{
    coordinator::Coordinator, emit::Emitter, pool::Threads, slots::Slots, state::NodeState, worker::RunContext,
};
pub use self::{
    options::{RunError, RunOptions},
    worker::ResultRecord,
};
use crate::{
    events::{Event, EventKind, Outcome, RunSummary},
    journal::{JournalWriter, now_ms},
    keys::SourceRecord,
    labels,
    pipeline::{NodeId, Pipeline},
    select::Selected,
    sources::{SourceError, SourceHasher},
};

/// What workers and listeners tell the coordinator.
pub(crate) enum Message {
    /// A stage says how far it is.
    Progress { node: u32, done: u64, total: Option<u64>, unit: String },
    /// A stage says a line.
    Log { node: u32, line: String },
    /// A stage warns.
    Warning { node: u32, message: String },
    /// Sources were hashed.
    Sources { records: Vec<(u32, Result<Vec<SourceRecord>, SourceError>)> },
    /// A computation ended.
    Done { node: u32, outcome: Box<worker::Outcome> },
    /// The run is to be cancelled.
    Cancel,
}

/// Runs the selected stages of a pipeline, and reports every event in order to `report`, on the calling thread.
///
/// Failures of stages are in the summary and the events; an error here means that the run could not begin or that the
/// store broke down.
pub fn run(
    pipeline: &Pipeline,
    store: &Store,
    options: &RunOptions,
    report: &mut dyn FnMut(&Event),
) -> Result<RunSummary, RunError> {
    let selected = options.selection.resolve(pipeline)?;
    let started_ms = now_ms();
    let (journal, run) = JournalWriter::create(store, started_ms)?;
    let mut emitter = Emitter::new(journal, report);
    emitter.emit(EventKind::RunStarted {
        run: run.clone(),
        pipeline: pipeline.name.clone(),
        started_ms,
        variants: pipeline.variants.len(),
        nodes: pipeline.graph.node_count(),
        placements: pipeline.graph.node_weights().map(|node| node.placements.len()).sum(),
        selected: selected.run.iter().filter(|run| **run).count(),
        jobs: options.jobs.max(1),
    });
    let relevant = relevant(pipeline, &selected);
    let nodes: Vec<NodeState> = (pipeline.graph.node_indices())
        .map(|id| {
            let inputs = pipeline.graph.edges_directed(id, Direction::Incoming).count();
            NodeState::new(inputs as u32, relevant[id.index()])
        })
        .collect();
    let first = |(i, node): (usize, &NodeState)| (node.missing == 0 && relevant[i]).then_some(i as u32);
    let keyable = nodes.iter().enumerate().filter_map(first).collect();
    let (sender, receiver) = mpsc::channel();
    let cancel = sender.clone();
    options.cancel.on_cancel(move || {
        // Nobody listens when the run is over.
        let _ = cancel.send(Message::Cancel);
    });
    let hasher = Arc::new(SourceHasher::new(store.clone(), pipeline.base_dir.clone(), Arc::clone(&options.env)));
    let coordinator = Coordinator {
        pipeline,
        options,
        run: Arc::new(RunContext {
            store: store.clone(),
            run,
            pipeline: pipeline.name.clone(),
            base_dir: pipeline.base_dir.clone(),
            env: Arc::clone(&options.env),
            cancel: options.cancel.clone(),
            software: options.software.clone(),
            machine: options.machine.clone(),
            hasher,
        }),
        selected,
        names: labels::node_refs(pipeline),
        nodes,
        emitter,
        keyable,
        unhashed: Vec::new(),
        ready: std::collections::BTreeSet::new(),
        in_flight: HashMap::new(),
        repairs: HashMap::new(),
        delayed: BinaryHeap::new(),
        slots: Slots::new(options.jobs, options.gpus, options.memory),
        overtaken: (u32::MAX, 0),
        hashing: 0,
        running: 0,
        stopping: false,
        cancelled: false,
        sender,
        receiver,
        summary: RunSummary {
            outcome: Outcome::Succeeded,
            hits: 0,
            ran: 0,
            failed: 0,
            skipped: 0,
            seconds: 0.0,
            seconds_saved: 0.0,
        },
    };
    Ok(thread::scope(|scope| {
        let mut coordinator = coordinator;
        coordinator.work(&mut Threads::new(scope));
        coordinator.finish()
    })?)
}

/// The selected nodes and everything upstream of them.
pub(crate) fn relevant(pipeline: &Pipeline, selected: &Selected) -> Vec<bool> {
    let mut relevant = vec![false; selected.run.len()];
    let mut stack: Vec<NodeId> = pipeline.graph.node_indices().filter(|id| selected.run[id.index()]).collect();
    while let Some(id) = stack.pop() {
        if !std::mem::replace(&mut relevant[id.index()], true) {
            stack.extend(pipeline.graph.neighbors_directed(id, Direction::Incoming));
        }
    }
    relevant
}
