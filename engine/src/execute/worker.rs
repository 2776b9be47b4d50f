//! What a worker does with one job: hash sources, or compute and publish one key.

use std::{
    any::Any,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use pipe_cache::{
    ArtifactKind, ArtifactRef, Digest, Hasher, LeaseAttempt, LeaseOwner, Lookup, Provenance, Publication, Store, now_ms,
};
use serde_json::{Value, json};

use super::{
    ask::AskJob,
    message::{Failure, JobEnd, Message},
    seat::NodeSeat,
};
use crate::{
    context::{
        CancelReason, CancelToken, ContextParts, Forgotten, Kept, Shared, StageContext, StageError, StageMessage,
    },
    events::{NodeStats, WAITING},
    keys::{KeyRecord, KeyedSources, ResultRecord, SourceHasher, look_up_anew, texts},
    kind::{AnyParams, DynKind, OutputPort, Source},
    pipeline::Label,
};

/// Something for a worker to do.
pub(super) enum Job {
    /// Hash the sources of some nodes.
    Sources(SourcesJob),
    /// Ask the remote for a result.
    Ask(AskJob),
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
                let hash = |u: Unhashed| (u.node, job.hasher.records(&u.folder, u.sources));
                let records = job.nodes.into_iter().map(hash).collect();
                Report { message: Message::Sources { records }, messages: job.messages }
            }
            Self::Ask(job) => {
                let messages = job.messages.clone();
                Report { message: job.run(), messages }
            }
            Self::Compute(job) => {
                let node = job.node;
                let messages = job.messages.clone();
                let end = Box::new(job.run());
                Report { message: Message::Done { node, end }, messages }
            }
        }
    }
}

/// A node whose sources are to be hashed.
pub(super) struct Unhashed {
    pub node: u32,
    /// Where relative paths start from.
    pub folder: PathBuf,
    pub sources: Vec<Source>,
}

/// Hash the sources of some nodes.
pub(super) struct SourcesJob {
    pub hasher: Arc<SourceHasher>,
    pub nodes: Vec<Unhashed>,
    pub messages: mpsc::Sender<Message>,
}

/// What all computations of a run have in common.
pub(super) struct RunContext {
    pub store: Store,
    pub run: String,
    pub pipeline: String,
    pub env: Arc<BTreeMap<String, String>>,
    pub cancel: CancelToken,
    pub software: String,
    pub machine: Value,
    pub hasher: Arc<SourceHasher>,
    /// The memos that were forgotten because stages are forced.
    pub forgotten: Arc<Forgotten>,
}

/// Compute and publish one key. Holds all that is needed: it does not look at the pipeline.
pub(super) struct ComputeJob {
    pub node: u32,
    pub label: Label,
    /// The first variant that it is computed for, as its results are kept, and the stage in it.
    pub variant: String,
    pub stage: String,
    pub attempt: u32,
    pub kind: Arc<dyn DynKind>,
    pub params: AnyParams,
    /// Where relative paths in the parameters start from.
    pub folder: PathBuf,
    pub outputs: Vec<OutputPort>,
    pub key: Digest,
    /// The key is not made of everything the result depends on: never look it up, never reuse rows.
    pub uncached: bool,
    /// Compute even if the store has it, and forget memo rows.
    pub force: bool,
    /// Add rows where another process computes the key.
    pub help: bool,
    pub record: Arc<KeyRecord>,
    pub recipe: Digest,
    pub timeout: Option<Duration>,
    pub threads: usize,
    /// Bytes of memory that it may take, where that is counted.
    pub memory: Option<u64>,
    /// What has to be gone before it begins.
    pub in_the_way: Vec<Kept>,
    /// What stages of the run keep for each other.
    pub shared: Shared,
    pub run: Arc<RunContext>,
    pub messages: mpsc::Sender<Message>,
}

impl ComputeJob {
    fn ports(&self) -> Vec<&str> {
        self.outputs.iter().map(|output| &*output.name).collect()
    }

    fn run(mut self) -> JobEnd {
        let span = tracing::info_span!("node", label = %self.label, key = ?self.key, attempt = self.attempt);
        let _entered = span.enter();
        self.in_the_way.clear();
        let store = &self.run.store;
        let lease = {
            let _span = tracing::info_span!("lease").entered();
            match store.try_lease(&self.key) {
                Ok(LeaseAttempt::Acquired(lease)) => lease,
                Ok(LeaseAttempt::Held(owner)) if self.help => return self.help(owner),
                Ok(LeaseAttempt::Held(owner)) => return JobEnd::Busy(owner),
                Err(e) => return Failure::early(e),
            }
        };
        let sources = Arc::new(self.sources());
        if let Err(change) = sources.check() {
            return JobEnd::SourcesChanged(change);
        }
        if !self.uncached && !self.force {
            // The last holder of the lease may have published it.
            match look_up_anew(store, &self.key, &self.outputs) {
                Ok(Lookup::Hit(entry)) => return JobEnd::Found(entry),
                Ok(_) => {}
                Err(e) => return Failure::early(e),
            }
        }
        let publication = match store.begin(lease, &self.ports()) {
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
        let cx = self.context(publication, &sources, &cancel, false);
        let (result, cx) = {
            let _span = tracing::info_span!("run").entered();
            self.call(cx)
        };
        let log = cx.log_path();
        let (publication, counts, damaged) = cx.finish();
        if let Err(error) = &result
            && !matches!(error, StageError::Cancelled)
            && !publication.lease().is_current()
        {
            // Stopped for long, it lost the lease; whoever has it now may have cleared the work directory under it.
            return JobEnd::Busy(None);
        }
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
                return JobEnd::SourcesChanged(change);
            }
            return JobEnd::Failed(Failure { error, damaged, cancelled: reason == Some(CancelReason::Requested), log });
        }
        if let Err(change) = sources.check() {
            // Checkpoints may be made of what was there meanwhile.
            return match publication.clear_work_dir() {
                Ok(()) => JobEnd::SourcesChanged(change),
                Err(e) => Failure::early(e),
            };
        }
        let _span = tracing::info_span!("publish").entered();
        let mut stats = NodeStats {
            seconds: started.elapsed().as_secs_f64(),
            rows: 0,
            rows_in: self.rows_in(),
            rows_computed: counts.computed,
            rows_reused: counts.reused,
            rows_waited: counts.waited,
            counters: counts.counters,
        };
        let waiting = (!counts.waiting.is_zero()).then_some(counts.waiting.as_secs_f64());
        let record = ResultRecord {
            key: KeyRecord::clone(&self.record),
            pipeline: self.run.pipeline.clone(),
            variant: self.variant.clone(),
            stage: self.stage.clone(),
            label: self.label.clone(),
            log: log.clone(),
            texts: texts(&*self.kind, &self.params, &self.folder, &self.record.sources),
        };
        let mut counters = stats.counters.clone();
        let rows = [
            ("rows_computed", stats.rows_computed),
            ("rows_reused", stats.rows_reused),
            ("rows_waited", stats.rows_waited),
        ];
        counters.extend(rows.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name.to_owned(), n)));
        let provenance = Provenance {
            record: serde_json::to_value(&record).expect("records serialise"),
            recipe: Some(self.recipe),
            run_id: self.run.run.clone(),
            started_ms,
            seconds: stats.seconds,
            timings: waiting.map(|seconds| (WAITING.to_owned(), seconds)).into_iter().collect(),
            counters,
            software: self.run.software.clone(),
            machine: with_others(self.run.machine.clone(), counts.took_part),
        };
        match publication.commit(provenance) {
            Ok(entry) => {
                stats.rows = entry.outputs.first().map_or(0, |(_, artifact)| table_rows(artifact));
                JobEnd::Published { entry, stats, log }
            }
            Err(e) => JobEnd::Failed(Failure { error: e.into(), damaged, cancelled: false, log }),
        }
    }

    /// Another process computes the key: computes rows that it has not begun, as long as there are any. What comes of
    /// it is in the memo alone; a mistake is for the other to find.
    fn help(&self, owner: Option<LeaseOwner>) -> JobEnd {
        let mut h = Hasher::new("pipe.helper.v1");
        h.digest(&self.key).str(&pipe_cache::host_name()).u64(u64::from(std::process::id()));
        let id = h.str(&self.run.run).u64(u64::from(self.node)).finish();
        let store = &self.run.store;
        let publication = match store.try_lease(&id) {
            Ok(LeaseAttempt::Acquired(lease)) => store.begin(lease, &self.ports()),
            Ok(LeaseAttempt::Held(_)) => return JobEnd::Busy(owner),
            Err(e) => return Failure::early(e),
        };
        let publication = match publication {
            Ok(publication) => publication,
            Err(e) => return Failure::early(e),
        };
        let sources = Arc::new(self.sources());
        let cx = self.context(publication, &sources, &self.run.cancel.child(None), true);
        let (result, cx) = {
            let _span = tracing::info_span!("help").entered();
            self.call(cx)
        };
        let may_help = cx.has_helped() || self.run.cancel.is_cancelled();
        if let Err(error) = result
            && !may_help
        {
            tracing::info!(%error, "a stage of another process could not be helped with");
        }
        let (publication, counts, _) = cx.finish();
        if let Err(error) = publication.clear_work_dir() {
            tracing::debug!(%error, "the work directory of a helper was not removed");
        }
        JobEnd::Helped { owner, rows: counts.computed, may_help }
    }

    fn context(
        &self,
        publication: Publication,
        sources: &Arc<KeyedSources>,
        cancel: &CancelToken,
        helping: bool,
    ) -> StageContext {
        let log_path = self.run.store.layout().logs().join(&self.run.run).join(format!("{}.log", self.node));
        let sources = Arc::clone(sources);
        StageContext::new(ContextParts {
            store: self.run.store.clone(),
            publication,
            inputs: self.record.inputs.clone(),
            recipe: self.recipe,
            memo: if self.uncached { self.key } else { self.recipe },
            forgotten: self.force.then(|| Arc::clone(&self.run.forgotten)),
            maker: format!("{} {}", self.kind.name(), self.kind.version()),
            seat: Box::new(NodeSeat { node: self.node, messages: self.messages.clone() }),
            helping,
            increment: self.kind.increment(&self.params),
            label: Arc::clone(&self.label.0),
            cancel: cancel.clone(),
            tell: self.tell(),
            base_dir: self.folder.clone(),
            env: Arc::clone(&self.run.env),
            sources_hold: Box::new(move || sources.check()),
            threads: self.threads,
            memory: self.memory,
            log_path,
            shared: self.shared.clone(),
            shares: self.kind.shares(&self.params),
        })
    }

    /// Runs the kind; a panic is a failure like any other.
    fn call(&self, mut cx: StageContext) -> (Result<(), StageError>, StageContext) {
        let result = catch_unwind(AssertUnwindSafe(|| self.kind.run(&self.params, &mut cx)))
            .unwrap_or_else(|panic| Err(StageError::contract(format!("it panicked: {}", panic_message(&*panic)))));
        (result.and_then(|()| cx.check_lent()), cx)
    }

    /// Passes on what the stage says.
    fn tell(&self) -> Box<dyn Fn(StageMessage) + Send + Sync> {
        let (node, messages) = (self.node, self.messages.clone());
        Box::new(move |said| {
            // The coordinator outlives its workers; it is gone only when it panicked.
            let _ = messages.send(Message::Stage { node, said });
        })
    }

    fn rows_in(&self) -> u64 {
        self.record.inputs.iter().flat_map(|input| &input.artifacts).map(|input| table_rows(&input.artifact)).sum()
    }

    fn sources(&self) -> KeyedSources {
        KeyedSources {
            kind: Arc::clone(&self.kind),
            params: Arc::clone(&self.params),
            record: Arc::clone(&self.record),
            hasher: Arc::clone(&self.run.hasher),
            folder: self.folder.clone(),
            uncached: self.uncached,
        }
    }
}

/// The machine, and what programs beside this one had a part in a result.
fn with_others(mut machine: Value, took_part: BTreeMap<String, String>) -> Value {
    if !took_part.is_empty() {
        machine["took_part"] = json!(took_part);
    }
    machine
}

fn table_rows(artifact: &ArtifactRef) -> u64 {
    if artifact.kind == ArtifactKind::Table { artifact.rows } else { 0 }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    (panic.downcast_ref::<&str>().copied())
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
