//! What a worker does with one job: hash sources, or compute and publish one key.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use pipe_cache::{Digest, Entry, LeaseAttempt, LeaseOwner, Lookup, Provenance, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Message;
use crate::{
    cancel::{CancelReason, CancelToken},
    context::{ContextParts, StageContext},
    events::{Label, NodeStats},
    journal::now_ms,
    keys::KeyRecord,
    kind::{AnyParams, DynKind, Source, StageError},
    sources::{KeyedSources, SourceHasher},
};

/// What the engine keeps in a manifest: [`Provenance::record`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// All components of the key.
    pub key: KeyRecord,
    /// The pipeline that computed it first.
    pub pipeline: String,
    /// The stage, as people know it: `stage` or `stage@variant`.
    pub label: Label,
    /// The stage's log file, when it wrote one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
}

/// Something for a worker to do.
pub(super) enum Job {
    /// Hash the sources of some nodes.
    Sources(SourcesJob),
    /// Compute a key.
    Compute(Box<ComputeJob>),
}

/// What is to be told to the coordinator when a job is done.
pub(super) struct Report {
    messages: mpsc::Sender<Message>,
    message: Message,
}

impl Report {
    pub(super) fn send(self) {
        // The coordinator listens until all its jobs have reported; it is gone only when it panicked.
        let _ = self.messages.send(self.message);
    }
}

impl Job {
    pub(super) fn run(self) -> Report {
        match self {
            Self::Sources(job) => {
                let hash = |(node, sources)| (node, job.hasher.records(sources));
                let records = job.nodes.into_iter().map(hash).collect();
                Report { message: Message::Sources { records }, messages: job.messages }
            }
            Self::Compute(job) => {
                let node = job.node;
                let messages = job.messages.clone();
                let outcome = Box::new(job.run());
                Report { message: Message::Done { node, outcome }, messages }
            }
        }
    }
}

/// Hash the sources of some nodes.
pub(super) struct SourcesJob {
    pub hasher: Arc<SourceHasher>,
    pub nodes: Vec<(u32, Vec<Source>)>,
    pub messages: mpsc::Sender<Message>,
}

/// What all computations of a run have in common.
pub(super) struct RunContext {
    pub store: Store,
    pub run: String,
    pub pipeline: String,
    pub base_dir: PathBuf,
    pub env: Arc<BTreeMap<String, String>>,
    pub cancel: CancelToken,
    pub software: String,
    pub machine: Value,
    pub hasher: Arc<SourceHasher>,
}

/// Compute and publish one key. Holds all that is needed: it does not look at the pipeline.
pub(super) struct ComputeJob {
    pub node: u32,
    pub label: Label,
    pub attempt: u32,
    pub kind: Arc<dyn DynKind>,
    pub params: AnyParams,
    pub ports: Vec<String>,
    pub key: Digest,
    /// The key is not made of everything the result depends on: never look it up, never reuse rows.
    pub uncached: bool,
    /// Compute even if the store has it, and forget memo rows.
    pub force: bool,
    pub record: Arc<KeyRecord>,
    pub recipe: Digest,
    pub timeout: Option<Duration>,
    pub threads: usize,
    pub run: Arc<RunContext>,
    pub messages: mpsc::Sender<Message>,
}

/// How a computation ended.
pub(crate) enum Outcome {
    /// Another process had computed the key in the meantime.
    Found(Arc<Entry>),
    /// Another process is computing the key.
    Busy(Option<LeaseOwner>),
    /// Computed and published.
    Published { entry: Arc<Entry>, stats: NodeStats, log: Option<PathBuf> },
    /// A source is not what the key was made of any more; what the stage yielded, if it ran, was thrown away.
    SourcesChanged(String),
    /// It failed.
    Failed(Failure),
}

/// How a computation failed.
pub(crate) struct Failure {
    pub error: StageError,
    /// Objects of inputs that turned out damaged: the reason, and something that can be repaired.
    pub damaged: Vec<Digest>,
    /// Stopped because the run is being cancelled.
    pub cancelled: bool,
    pub log: Option<PathBuf>,
}

impl Failure {
    fn early(error: impl Into<StageError>) -> Outcome {
        Outcome::Failed(Self { error: error.into(), damaged: Vec::new(), cancelled: false, log: None })
    }
}

impl ComputeJob {
    fn run(self) -> Outcome {
        let span = tracing::info_span!("node", label = %self.label, key = ?self.key, attempt = self.attempt);
        let _entered = span.enter();
        let store = &self.run.store;
        let lease = {
            let _span = tracing::info_span!("lease").entered();
            match store.try_lease(&self.key) {
                Ok(LeaseAttempt::Acquired(lease)) => lease,
                Ok(LeaseAttempt::Held(owner)) => return Outcome::Busy(owner),
                Err(e) => return Failure::early(e),
            }
        };
        let sources = Arc::new(self.sources());
        if let Err(change) = sources.check() {
            return Outcome::SourcesChanged(change);
        }
        if !self.uncached && !self.force {
            // The last holder of the lease may have published it.
            match store.lookup(&self.key) {
                Ok(Lookup::Hit(entry)) => return Outcome::Found(entry),
                Ok(_) => {}
                Err(e) => return Failure::early(e),
            }
        }
        let publication = match store.begin(lease, &self.ports) {
            Ok(publication) => publication,
            Err(e) => return Failure::early(e),
        };
        if self.force
            && let Err(e) = publication.clear_work_dir()
        {
            return Failure::early(e);
        }
        let started_ms = now_ms();
        let started = Instant::now();
        let cancel = self.run.cancel.child(self.timeout);
        let log_path = self.run.store.layout().logs().join(&self.run.run).join(format!("{}.log", self.node));
        let cx = StageContext::new(ContextParts {
            store: store.clone(),
            publication,
            record: Arc::clone(&self.record),
            recipe: self.recipe,
            memo: if self.uncached { self.key } else { self.recipe },
            fresh: self.force,
            increment: self.kind.increment(),
            label: Arc::clone(&self.label.0),
            node: self.node,
            cancel: cancel.clone(),
            messages: self.messages.clone(),
            base_dir: self.run.base_dir.clone(),
            env: Arc::clone(&self.run.env),
            sources: Arc::clone(&sources),
            threads: self.threads,
            log_path,
        });
        let (result, cx) = {
            let _span = tracing::info_span!("run").entered();
            self.call(cx)
        };
        let log = cx.log_path();
        let (publication, mut stats, damaged) = cx.finish();
        if let Err(error) = result {
            let reason = if matches!(error, StageError::Cancelled) { cancel.reason() } else { None };
            let error = match (reason, self.timeout) {
                (Some(CancelReason::TimedOut), Some(timeout)) => StageError::user_help(
                    format!("it ran longer than its timeout of {timeout:?}"),
                    "raise `timeout`, or find out what it waits for",
                ),
                _ => error,
            };
            if reason.is_none()
                && let Err(change) = sources.check()
            {
                return Outcome::SourcesChanged(change);
            }
            return Outcome::Failed(Failure {
                error,
                damaged,
                cancelled: reason == Some(CancelReason::Requested),
                log,
            });
        }
        if let Err(change) = sources.check() {
            // Checkpoints may be made of what was there meanwhile.
            return match publication.clear_work_dir() {
                Ok(()) => Outcome::SourcesChanged(change),
                Err(e) => Failure::early(e),
            };
        }
        let _span = tracing::info_span!("publish").entered();
        stats.seconds = started.elapsed().as_secs_f64();
        let record = ResultRecord {
            key: KeyRecord::clone(&self.record),
            pipeline: self.run.pipeline.clone(),
            label: self.label.clone(),
            log: log.clone(),
        };
        let mut counters = stats.counters.clone();
        let rows = [("rows_computed", stats.rows_computed), ("rows_reused", stats.rows_reused)];
        counters.extend(rows.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)));
        let provenance = Provenance {
            record: serde_json::to_value(&record).expect("records serialise"),
            recipe: Some(self.recipe),
            run_id: self.run.run.clone(),
            started_ms,
            seconds: stats.seconds,
            timings: BTreeMap::new(),
            counters,
            software: self.run.software.clone(),
            machine: self.run.machine.clone(),
        };
        match publication.commit(provenance) {
            Ok(entry) => {
                let rows = |(_, a): &(String, pipe_cache::ArtifactRef)| match a.kind {
                    pipe_cache::ArtifactKind::Table => a.rows,
                    pipe_cache::ArtifactKind::Files => 0,
                };
                stats.rows = entry.outputs.iter().map(rows).sum();
                Outcome::Published { entry, stats, log }
            }
            Err(e) => Outcome::Failed(Failure { error: e.into(), damaged, cancelled: false, log }),
        }
    }

    /// Runs the kind; a panic is a failure like any other.
    fn call(&self, mut cx: StageContext) -> (Result<(), StageError>, StageContext) {
        let result = catch_unwind(AssertUnwindSafe(|| self.kind.run(&self.params, &mut cx)))
            .unwrap_or_else(|panic| Err(StageError::contract(format!("it panicked: {}", panic_message(&*panic)))));
        (result, cx)
    }

    fn sources(&self) -> KeyedSources {
        KeyedSources {
            kind: Arc::clone(&self.kind),
            params: Arc::clone(&self.params),
            record: Arc::clone(&self.record),
            hasher: Arc::clone(&self.run.hasher),
            uncached: self.uncached,
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    (panic.downcast_ref::<&str>().copied())
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
