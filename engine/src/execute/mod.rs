//! Runs a pipeline: one coordinator thread owns all state, hands ready nodes to workers, and alone emits events.
//!
//! ```text
//! coordinator --Job--> pool --> worker: lease, look up once more, run the kind, publish
//!      ^------------Message------------/
//! ```

mod ask;
mod coordinator;
mod elsewhere;
mod emit;
mod finish;
mod kept;
mod links;
mod message;
mod options;
mod over;
mod pool;
mod remote;
mod rest;
mod retry;
mod seat;
mod settle;
mod sharing;
mod slots;
mod stamp;
mod start;
mod state;
mod wish;
mod worker;

use std::{
    collections::{BinaryHeap, HashMap, VecDeque},
    sync::{Arc, mpsc},
    thread,
};

use petgraph::Direction;
use pipe_cache::{Store, now_ms};

pub(crate) use self::ask::usable;
use self::{
    coordinator::Coordinator, elsewhere::Elsewhere, emit::Emitter, message::Message, pool::Threads, sharing::Sharing,
    slots::Slots, state::NodeState, wish::Wishes, worker::RunContext,
};
pub use self::{
    links::{link_path, results_folder},
    options::{Fit, Offer, RunError, RunOptions},
    wish::wish,
};
use crate::{
    events::{Event, EventKind, JournalWriter, Live, LiveWriter, RunEnd, RunOrigin, RunSummary},
    keys::SourceHasher,
    pipeline::Pipeline,
};

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
        origin: RunOrigin {
            file: pipeline.files.first().cloned().unwrap_or_default(),
            file_digest: Some(pipeline.digest),
            overrides: pipeline.overrides.clone(),
            trial: pipeline.trial.clone(),
            arguments: options.arguments.clone(),
            software: options.software.clone(),
        },
        variants: pipeline.variants.len(),
        nodes: pipeline.graph.node_count(),
        placements: pipeline.graph.node_weights().map(|node| node.placements.len()).sum(),
        selected: selected.run.iter().filter(|run| **run).count(),
        jobs: options.jobs.max(1),
    });
    emitter.tell_others(LiveWriter::new(
        store,
        Live {
            run: run.clone(),
            pipeline: pipeline.name.clone(),
            started_ms,
            worker: options.worker.is_some(),
            place: options.place.clone(),
            ..Live::default()
        },
    ));
    let relevant = pipeline.upstream(selected.nodes());
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
    let hasher = SourceHasher::new(store.clone(), Arc::clone(&options.env)).cancelled_by(options.cancel.clone());
    let hasher = Arc::new(hasher);
    let coordinator = Coordinator {
        pipeline,
        options,
        run: Arc::new(RunContext {
            store: store.clone(),
            run,
            pipeline: pipeline.name.clone(),
            env: Arc::clone(&options.env),
            cancel: options.cancel.clone(),
            software: options.software.clone(),
            machine: options.machine.clone(),
            hasher,
            forgotten: Arc::default(),
        }),
        selected,
        names: pipeline.node_refs(),
        nodes,
        emitter,
        refs: None,
        unnoted: Vec::new(),
        unwritten: links::Unwritten::default(),
        keyable,
        unhashed: Vec::new(),
        asking: remote::Asking::default(),
        ready: std::collections::BTreeSet::new(),
        in_flight: HashMap::new(),
        repairs: HashMap::new(),
        delayed: BinaryHeap::new(),
        wishes: Wishes::default(),
        slots: Slots::new(options.jobs, options.gpus, options.memory),
        returning: VecDeque::new(),
        overtaken: (u32::MAX, 0),
        sharing: Sharing::of(pipeline),
        hashing: 0,
        running: 0,
        stopping: false,
        cancelled: false,
        elsewhere: Elsewhere::new(options, pipeline.graph.node_count()),
        sender,
        receiver,
        summary: RunSummary {
            outcome: RunEnd::Succeeded,
            hits: 0,
            ran: 0,
            failed: 0,
            skipped: 0,
            seconds: 0.0,
            seconds_saved: 0.0,
            rows_computed: 0,
            rows_reused: 0,
            rows_waited: 0,
            remote: None,
        },
        seconds_paid: HashMap::new(),
    };
    Ok(thread::scope(|scope| {
        let mut coordinator = coordinator;
        coordinator.work(&mut Threads::new(scope));
        coordinator.finish()
    })?)
}
