//! What a running stage sees: its inputs, its outputs, progress, cancellation, and the row memo.

mod gather;
mod inputs;
mod outputs;
mod rows;
mod stream;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use arrow::datatypes::SchemaRef;
use pipe_cache::{Digest, Publication, RowMemo, Store, StreamMemo};

pub use self::{
    inputs::{GatheredFiles, TableInput},
    outputs::TableWriter,
    rows::{MappedRows, PendingRows, RowSink},
    stream::{Attempt, AttemptSink, Flow, StreamCounts},
};
use crate::{
    cancel::{CancelReason, CancelToken},
    events::NodeStats,
    execute::Message,
    keys::KeyRecord,
    kind::{Increment, StageError},
    sources::KeyedSources,
};

/// Memo rows are written down at least this often while a stage emits them. Batches that take longer are written down one
/// by one, so that a kill loses at most the batch in flight.
const FLUSH_EVERY: Duration = Duration::from_millis(100);
/// Progress is reported at most this often per stage.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// What the engine knows of one computation; the context's raw material.
pub(crate) struct ContextParts {
    pub store: Store,
    pub publication: Publication,
    pub record: Arc<KeyRecord>,
    pub recipe: Digest,
    /// What the memo is filed under: the recipe, or something unique when nothing may be reused.
    pub memo: Digest,
    /// Forget what the memo knows before the stage begins.
    pub fresh: bool,
    pub increment: Increment,
    pub label: Arc<str>,
    pub node: u32,
    pub cancel: CancelToken,
    pub messages: mpsc::Sender<Message>,
    pub base_dir: PathBuf,
    pub env: Arc<BTreeMap<String, String>>,
    pub sources: Arc<KeyedSources>,
    pub threads: usize,
    pub log_path: PathBuf,
}

/// The world of one running stage. Everything takes `&self`, so that closures and threads of the stage can share it.
pub struct StageContext {
    parts: ContextParts,
    log: OnceLock<File>,
    progress: Mutex<Option<Instant>>,
    stats: Mutex<NodeStats>,
    /// Objects of inputs that turned out damaged.
    damaged: Arc<Mutex<Vec<Digest>>>,
    /// The memo is to be forgotten when it is first opened.
    fresh: AtomicBool,
}

impl StageContext {
    pub(crate) fn new(parts: ContextParts) -> Self {
        Self {
            fresh: AtomicBool::new(parts.fresh),
            parts,
            log: OnceLock::new(),
            progress: Mutex::default(),
            stats: Mutex::default(),
            damaged: Arc::default(),
        }
    }

    /// What is left when the stage has ended.
    pub(crate) fn finish(self) -> (Publication, NodeStats, Vec<Digest>) {
        let stats = self.stats.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let damaged = self.damaged.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        (self.parts.publication, stats, damaged)
    }

    /// `stage` or `stage@variant`, for messages.
    pub fn label(&self) -> &str {
        &self.parts.label
    }

    /// The digest that randomness is drawn from, as `blake3(recipe, row)`: everything the result depends on, but without
    /// the primary input of a row-wise kind, the extent of a stream kind, and what the kind applies to the rows afterwards.
    pub fn recipe(&self) -> &Digest {
        &self.parts.recipe
    }

    /// The folder that relative paths in the pipeline file are resolved against.
    pub fn base_dir(&self) -> &Path {
        &self.parts.base_dir
    }

    /// An environment variable of the run. What is read here must be declared as [`crate::kind::Source::Env`] if the
    /// result depends on it.
    pub fn env(&self, name: &str) -> Option<&str> {
        self.parts.env.get(name).map(String::as_str)
    }

    /// The CPU slots that the stage holds: a hint for programs it starts. Work inside this process uses rayon's pool,
    /// which all stages share.
    pub fn threads(&self) -> usize {
        self.parts.threads
    }

    /// A token that other threads and waiting loops can ask. It also knows the stage's timeout.
    pub fn cancel_token(&self) -> &CancelToken {
        &self.parts.cancel
    }

    /// Fails with [`StageError::Cancelled`] when the run is being cancelled or the stage's time is up. Call it between
    /// pieces of work.
    pub fn check_cancelled(&self) -> Result<(), StageError> {
        match self.parts.cancel.reason() {
            None => Ok(()),
            Some(CancelReason::Requested | CancelReason::TimedOut) => Err(StageError::Cancelled),
        }
    }

    /// Says how far the stage is. Cheap: most calls only look at the clock.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        let mut last = self.progress.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if Some(done) != total && last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        self.send(Message::Progress { node: self.parts.node, done, total, unit: unit.to_owned() });
    }

    /// Adds to a count that is kept with the result (`tokens_generated`).
    pub fn counter(&self, name: &str, n: u64) {
        let mut stats = self.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match stats.counters.get_mut(name) {
            Some(count) => *count += n,
            None => drop(stats.counters.insert(name.to_owned(), n)),
        }
    }

    /// Tells people something that does not stop the stage.
    pub fn warn(&self, message: impl Into<String>) {
        self.send(Message::Warning { node: self.parts.node, message: message.into() });
    }

    /// Tells people one line about the work.
    pub fn note(&self, line: impl Into<String>) {
        self.send(Message::Log { node: self.parts.node, line: line.into() });
    }

    fn send(&self, message: Message) {
        // The coordinator outlives its workers; it is gone only when it panicked.
        let _ = self.parts.messages.send(message);
    }

    /// The stage's log file, open for appending and reading; made at the first call. Programs may inherit it.
    pub fn log(&self) -> Result<&File, StageError> {
        if let Some(file) = self.log.get() {
            return Ok(file);
        }
        let path = &self.parts.log_path;
        let context = || format!("open the log {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(|e| StageError::other(context(), e))?;
        let file = File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
            .map_err(|e| StageError::other(context(), e))?;
        Ok(self.log.get_or_init(|| file))
    }

    /// An empty directory to work in, removed when the stage ends.
    pub fn workdir(&self) -> Result<PathBuf, StageError> {
        Ok(self.parts.publication.scratch_dir()?)
    }

    /// A directory for checkpoints. It belongs to the key: what a killed, failed or cancelled run left there is there
    /// again in the next one. It is removed when the result is published.
    pub fn checkpoint_dir(&self) -> Result<PathBuf, StageError> {
        Ok(self.parts.publication.work_dir()?)
    }

    /// Where the log is, if the stage wrote one.
    pub(crate) fn log_path(&self) -> Option<PathBuf> {
        self.log.get().map(|_| self.parts.log_path.clone())
    }

    /// Adds to the counts of rows computed and reused.
    fn count_rows(&self, computed: u64, reused: u64) {
        let mut stats = self.stats.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        stats.rows_computed += computed;
        stats.rows_reused += reused;
    }

    /// To be asked before the first row goes to the memo: the row was then made of what the recipe names, and not of a file
    /// that was replaced after the keys were made.
    fn check_sources(&self) -> Result<(), StageError> {
        self.parts.sources.check().map_err(StageError::transient)
    }

    fn open_row_memo(&self, schema: &SchemaRef) -> Result<RowMemo, StageError> {
        if !matches!(self.parts.increment, Increment::RowWise { .. }) {
            return Err(StageError::contract("map_rows is for kinds whose INCREMENT is RowWise"));
        }
        let mut memo = self.parts.store.row_memo(&self.parts.memo, SchemaRef::clone(schema))?;
        if self.fresh.swap(false, Ordering::Relaxed) {
            memo.clear()?;
        }
        Ok(memo)
    }

    fn open_stream_memo(&self, schema: &SchemaRef) -> Result<StreamMemo, StageError> {
        if !matches!(self.parts.increment, Increment::Stream { .. }) {
            return Err(StageError::contract("stream is for kinds whose INCREMENT is Stream"));
        }
        let mut memo = self.parts.store.stream_memo(&self.parts.memo, SchemaRef::clone(schema))?;
        if self.fresh.swap(false, Ordering::Relaxed) {
            memo.clear()?;
        }
        Ok(memo)
    }
}
