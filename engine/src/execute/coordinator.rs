//! The coordinator: the loop, and what becomes of finished jobs.
//!
//! ```text
//! Blocked --inputs done--> (Hashing) --key, lookup--> Done                     a hit
//!                                                 \-> Ready -> Running -> Done computed and published
//!                                                       ^         |  \-> Over failed
//!                                                       \-Waiting-/           next attempt, another process, a repair
//! ```

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap, VecDeque},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use pipe_cache::{ArtifactRef, Digest, RefLog};

use super::{
    elsewhere::Elsewhere,
    emit::Emitter,
    links::Unwritten,
    message::{Failure, JobEnd, Message},
    options::RunOptions,
    pool::Executor,
    remote::Asking,
    retry,
    sharing::Sharing,
    slots::Slots,
    state::{NodeState, Phase},
    wish::Wishes,
    worker::{Job, RunContext, SourcesJob, Unhashed},
};
use crate::{
    context::{StageError, StageMessage},
    events::{EventKind, OutputCount, RunSummary, SkipReason},
    pipeline::{Node, NodeId, NodeRef, Pipeline, Selected},
};

/// Nodes per job that hashes sources.
const HASH_BATCH: usize = 64;
/// How often a node's sources may change while it runs before it fails.
const SOURCE_CHANGES: u32 = 3;

pub(super) struct Coordinator<'a> {
    pub pipeline: &'a Pipeline,
    pub options: &'a RunOptions,
    pub run: Arc<RunContext>,
    pub selected: Selected,
    pub names: Vec<NodeRef>,
    pub nodes: Vec<NodeState>,
    pub emitter: Emitter<'a>,
    /// The references of the pipeline while the run goes on; opened when something is computed.
    pub refs: Option<RefLog>,
    /// Nodes that are done and not noted there yet.
    pub unnoted: Vec<u32>,
    /// Of results with links: where they come from.
    pub unwritten: Unwritten,
    /// Nodes whose inputs are done: to be keyed and looked up.
    pub keyable: VecDeque<u32>,
    /// Nodes whose sources are to be hashed.
    pub unhashed: Vec<Unhashed>,
    /// Nodes that the remote is asked for, or is to be asked for.
    pub asking: Asking,
    /// Nodes that wait for slots, in the order of the graph.
    pub ready: BTreeSet<u32>,
    /// Key -> nodes of the same key that wait for the one which is ready or running.
    pub in_flight: HashMap<Digest, Vec<u32>>,
    /// Producer under repair -> consumers that wait for it.
    pub repairs: HashMap<u32, Vec<u32>>,
    /// Nodes that are to be tried again at some time.
    pub delayed: BinaryHeap<Reverse<(Instant, u32)>>,
    pub slots: Slots,
    pub wishes: Wishes,
    /// Running nodes that have followed others and want their slots again.
    pub returning: VecDeque<(u32, mpsc::Sender<()>)>,
    /// The first node that did not fit, and how many have overtaken it.
    pub overtaken: (u32, usize),
    /// What stages keep for each other.
    pub sharing: Sharing,
    pub hashing: usize,
    pub running: usize,
    /// A node failed and the run does not keep going: nothing is started any more.
    pub stopping: bool,
    pub cancelled: bool,
    /// What other processes do.
    pub elsewhere: Elsewhere,
    pub sender: mpsc::Sender<Message>,
    pub receiver: mpsc::Receiver<Message>,
    pub summary: RunSummary,
    /// What computations of this run took.
    pub seconds_paid: HashMap<u32, f64>,
}

impl<'a> Coordinator<'a> {
    /// Runs until nothing is left to do.
    pub(super) fn work(&mut self, executor: &mut dyn Executor) {
        loop {
            if self.options.cancel.is_cancelled() {
                self.cancel();
            }
            while let Some(node) = self.keyable.pop_front() {
                self.settle(node);
            }
            self.start_hashing(executor);
            self.start_asking(executor);
            self.start_ready(executor);
            if !self.keyable.is_empty() {
                continue;
            }
            self.let_go();
            let idle = self.running == 0 && self.hashing == 0 && self.asking.under_way == 0;
            if idle && (self.delayed.is_empty() || self.stopping || self.cancelled) {
                break;
            }
            if !self.cancelled && self.leaves() {
                self.elsewhere.left = true;
                // Those that follow others end, too.
                self.options.cancel.cancel();
                continue;
            }
            if let Some(message) = self.receive() {
                self.handle(message);
                while let Ok(message) = self.receiver.try_recv() {
                    self.handle(message);
                }
            }
            self.exchange();
            self.wake_delayed();
        }
    }

    pub(super) fn node(&self, node: u32) -> &'a Node {
        &self.pipeline.graph[NodeId::new(node as usize)]
    }

    pub(super) fn state(&mut self, node: u32) -> &mut NodeState {
        &mut self.nodes[node as usize]
    }

    pub(super) fn name(&self, node: u32) -> NodeRef {
        self.names[node as usize].clone()
    }

    /// The next message, or `None` when something else is due first.
    fn receive(&self) -> Option<Message> {
        let due = self
            .delayed
            .peek()
            .map_or_else(|| self.elsewhere.due(), |Reverse((due, _))| self.elsewhere.due().min(*due));
        self.receiver.recv_timeout(due.saturating_duration_since(Instant::now())).ok()
    }

    fn wake_delayed(&mut self) {
        let now = Instant::now();
        while self.delayed.peek().is_some_and(|Reverse((due, _))| *due <= now) {
            let Some(Reverse((_, node))) = self.delayed.pop() else { break };
            // What it needs may have failed meanwhile, when it was computed again: then it is over.
            if self.nodes[node as usize].phase != Phase::Waiting {
                continue;
            }
            self.state(node).phase = Phase::Ready;
            self.ready.insert(node);
        }
    }

    pub(super) fn delay(&mut self, node: u32, wait: Duration) {
        self.state(node).phase = Phase::Waiting;
        self.delayed.push(Reverse((Instant::now() + wait, node)));
    }

    fn start_hashing(&mut self, executor: &mut dyn Executor) {
        while !self.unhashed.is_empty() && self.hashing < self.options.jobs.max(1) as usize && !self.cancelled {
            let rest = self.unhashed.len().saturating_sub(HASH_BATCH);
            let nodes = self.unhashed.split_off(rest);
            self.hashing += 1;
            let hasher = Arc::clone(&self.run.hasher);
            executor.submit(Job::Sources(SourcesJob { hasher, nodes, messages: self.sender.clone() }));
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Stage { node, said } => {
                if !matches!(said, StageMessage::Waiting(_)) {
                    self.elsewhere.worked = Instant::now();
                }
                let key = self.state(node).work.as_ref().map(|work| work.key);
                let node = self.name(node);
                self.emitter.emit(match said {
                    StageMessage::Progress { done, total, unit, known, facts } => {
                        EventKind::Progress { node, done, total, unit, known, facts }
                    }
                    StageMessage::Series { step, values } => EventKind::Series { node, step, values },
                    StageMessage::Log(line) => EventKind::Log { node, line },
                    StageMessage::Warning(message) => EventKind::Warning { node: Some(node), message },
                    StageMessage::Waiting(on) => EventKind::Waiting { node, key: key.expect("a running node"), on },
                });
            }
            Message::SeatLeft { node } => {
                let work = self.state(node).work.as_mut().expect("a running node has been keyed");
                if let Some(held) = work.held.take() {
                    self.slots.give(held);
                    self.elsewhere.following += 1;
                }
            }
            Message::SeatWanted { node, grant } => self.returning.push_back((node, grant)),
            Message::Sources { records } => {
                self.hashing -= 1;
                for (node, records) in records {
                    self.sources_known(node, records);
                }
            }
            Message::Asked { node, entry } => self.asked(node, entry),
            Message::Done { node, end } => self.job_done(node, *end),
            Message::Cancel => self.cancel(),
        }
    }

    fn job_done(&mut self, node: u32, end: JobEnd) {
        self.running -= 1;
        self.returning.retain(|(returning, _)| *returning != node);
        self.elsewhere.helping.remove(&node);
        let work = self.state(node).work.as_mut().expect("a running node has been keyed");
        let (key, uncached, recipe) = (work.key, work.uncached, work.recipe);
        match work.held.take() {
            Some(held) => self.slots.give(held),
            None => self.elsewhere.following -= 1,
        }
        if !matches!(end, JobEnd::Busy(_) | JobEnd::Helped { .. }) {
            self.elsewhere.worked = Instant::now();
        }
        match end {
            JobEnd::Found(entry) => self.hit(node, &entry),
            JobEnd::Published { entry, stats, log } => {
                self.summary.ran += 1;
                self.summary.rows_computed += stats.rows_computed;
                self.summary.rows_reused += stats.rows_reused;
                self.summary.rows_waited += stats.rows_waited;
                let log = log.map(|path| path.display().to_string());
                let count = |(port, artifact): &(String, ArtifactRef)| OutputCount {
                    port: port.clone(),
                    kind: artifact.kind,
                    rows: artifact.rows,
                };
                self.seconds_paid.insert(node, stats.seconds);
                self.emitter.emit(EventKind::Finished {
                    node: self.name(node),
                    key: (!uncached).then_some(key),
                    kind: self.node(node).kind.name().to_owned(),
                    recipe: (!uncached).then_some(recipe),
                    outputs: entry.outputs.iter().map(count).collect(),
                    stats,
                    log,
                });
                self.push(node, (!uncached).then_some(key), recipe);
                self.done(node, &entry);
                self.note_refs();
                self.link_result(node);
            }
            JobEnd::Busy(owner) => self.busy(node, owner),
            JobEnd::Helped { owner, rows, may_help } => self.helped(node, owner, rows, may_help),
            JobEnd::SourcesChanged(message) => {
                let state = self.state(node);
                state.source_changes += 1;
                let again = state.source_changes < SOURCE_CHANGES;
                if again && !self.stopping && !self.cancelled {
                    self.emitter.emit(EventKind::Warning {
                        node: Some(self.name(node)),
                        message: format!("{message}; its result is thrown away and computed again"),
                    });
                    let followers = self.in_flight.remove(&key).unwrap_or_default();
                    for node in followers.into_iter().chain([node]) {
                        self.state(node).phase = Phase::Blocked;
                        self.rehash(node);
                    }
                } else {
                    let error = StageError::user_help(message, "run again when nothing writes to it");
                    self.fail(node, &error, None);
                }
            }
            JobEnd::Failed(failure) => self.job_failed(node, failure),
        }
    }

    fn job_failed(&mut self, node: u32, failure: Failure) {
        let Failure { error, damaged, cancelled, log } = failure;
        self.push_rows(node);
        if cancelled {
            self.skip(node, SkipReason::Cancelled);
            return;
        }
        if !damaged.is_empty() && !self.cancelled && self.repair(node, &damaged, &error) {
            return;
        }
        let policy = self.node(node).retry.clone();
        let state = self.state(node);
        let attempt = state.attempts;
        let passing = matches!(error, StageError::Transient { .. });
        if passing && attempt <= policy.retries && !self.stopping && !self.cancelled {
            let key = self.state(node).work.as_ref().map_or_else(|| Digest::of_bytes(b""), |work| work.key);
            let wait = retry::backoff(policy.backoff, attempt, &key);
            self.emitter.emit(EventKind::Retry {
                node: self.name(node),
                attempt,
                wait: wait.as_secs_f64(),
                error: error.to_string(),
            });
            self.delay(node, wait);
            return;
        }
        self.fail(node, &error, log);
    }
}
