//! What a running stage sees: its inputs, its outputs, progress, cancellation, and the row memo.

mod cancel;
mod connected;
mod draws;
mod error;
mod fact;
mod follow;
mod gather;
mod increment;
mod inputs;
mod message;
mod outputs;
mod rows;
mod shared;
mod stream;

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use pipe_cache::{ArtifactRef, Digest, Publication, RowMemo, Store, StoreError, StreamMemo, put_file};

pub use self::{
    cancel::{CancelReason, CancelToken},
    connected::{GatheredFrom, InputArtifact, InputRecord, MissingFrom},
    draws::{Draws, level},
    error::{StageError, causes},
    fact::{Fact, Measure},
    increment::Increment,
    inputs::{GatheredFiles, TableInput},
    message::StageMessage,
    outputs::TableWriter,
    rows::{MappedRows, PendingRows, RowSink},
    stream::{Attempt, AttemptSink, StreamCounts, Wanted},
};
pub(crate) use self::{
    follow::Seat,
    shared::{Kept, Shared},
};

/// The pace from what a stage computes to the disk: rows are handed over and written down this often while a stage
/// emits them. Batches that take longer are written down one by one. A kill loses what is younger, and the batch in
/// flight.
pub const FLUSH_EVERY: Duration = Duration::from_millis(250);
/// Progress is reported at most this often per stage.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// What a stage counted while it ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// Rows (or attempts) computed now.
    pub computed: u64,
    /// Rows (or attempts) taken from the memo.
    pub reused: u64,
    /// Rows (or attempts) that others computed meanwhile.
    pub waited: u64,
    /// The time spent waiting for them.
    pub waiting: Duration,
    /// What the kind counted: `tokens_generated`.
    pub counters: BTreeMap<String, u64>,
    /// What else took part, by name, as it called itself: servers and their versions.
    pub took_part: BTreeMap<String, String>,
}

/// The memos that a run has forgotten: by recipe and columns.
pub(crate) type Forgotten = Mutex<HashSet<(Digest, SchemaRef)>>;

/// What the engine knows of one computation; the context's raw material.
pub(crate) struct ContextParts {
    pub store: Store,
    pub publication: Publication,
    /// What is connected, sorted by port.
    pub inputs: Vec<InputRecord>,
    pub recipe: Digest,
    /// What the memo is filed under: the recipe, or something unique when nothing may be reused.
    pub memo: Digest,
    /// What the memo knew before the run is to be forgotten, by the first stage of the run that opens it: these have
    /// been.
    pub forgotten: Option<Arc<Forgotten>>,
    /// The kind that computes, and its version.
    pub maker: String,
    pub seat: Box<dyn Seat>,
    /// Another process computes the key; rows are added to the memo, and nothing is published.
    pub helping: bool,
    pub increment: Increment,
    pub label: Arc<str>,
    pub cancel: CancelToken,
    /// Hears what the stage says.
    pub tell: Box<dyn Fn(StageMessage) + Send + Sync>,
    pub base_dir: PathBuf,
    pub env: Arc<BTreeMap<String, String>>,
    /// Whether the sources are still what the key was made of; else which changed.
    pub sources_hold: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    pub threads: usize,
    pub memory: Option<u64>,
    pub log_path: PathBuf,
    /// What stages of the run keep for each other, and under which name this one does.
    pub shared: Shared,
    pub shares: Option<String>,
}

/// What was told of the stage's progress.
#[derive(Default)]
struct Told {
    last: Option<Instant>,
    /// Set while earlier work is looked through; what is done then is known.
    recalling: bool,
    known: u64,
    facts: Vec<Fact>,
}

/// The world of one running stage. Everything takes `&self`, so that closures and threads of the stage can share it.
pub struct StageContext {
    parts: ContextParts,
    log: OnceLock<File>,
    progress: Mutex<Told>,
    counts: Mutex<StageCounts>,
    /// Objects of inputs that turned out damaged.
    damaged: Arc<Mutex<Vec<Digest>>>,
    /// Directories of inputs that the stage was given.
    lent: Mutex<Vec<ArtifactRef>>,
    /// Whether a helper is done.
    helped: AtomicBool,
}

impl StageContext {
    pub(crate) fn new(parts: ContextParts) -> Self {
        Self {
            parts,
            log: OnceLock::new(),
            progress: Mutex::default(),
            counts: Mutex::default(),
            damaged: Arc::default(),
            lent: Mutex::default(),
            helped: AtomicBool::new(false),
        }
    }

    /// To be returned by what computes rows, where only rows are wanted and none is left: it ends the stage.
    fn helped(&self, computed: u64) -> StageError {
        self.helped.store(true, Ordering::Relaxed);
        self.count_rows(computed, 0, 0);
        StageError::Cancelled
    }

    /// Whether it ended because no rows are left to help with.
    pub(crate) fn has_helped(&self) -> bool {
        self.helped.load(Ordering::Relaxed)
    }

    /// What is left when the stage has ended.
    pub(crate) fn finish(self) -> (Publication, StageCounts, Vec<Digest>) {
        let damaged = self.damaged.lock().clone();
        (self.parts.publication, self.counts.into_inner(), damaged)
    }

    /// `stage` or `stage@variant`, for messages.
    pub fn label(&self) -> &str {
        &self.parts.label
    }

    /// The digest that randomness is drawn from, as `blake3(recipe, row)`: everything the result depends on, but
    /// without the primary input of a row-wise kind, the extent of a stream kind, and what the kind applies to the rows
    /// afterwards.
    pub fn recipe(&self) -> &Digest {
        &self.parts.recipe
    }

    /// The folder that relative paths in the parameters start from: that of the file in which the stage is written.
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

    /// Bytes of memory that the stage was given; `None` where memory is not counted.
    pub fn memory(&self) -> Option<u64> {
        self.parts.memory
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
        let mut told = self.progress.lock();
        if told.recalling {
            told.known = done;
        }
        if Some(done) != total && told.last.is_some_and(|last| last.elapsed() < PROGRESS_EVERY) {
            return;
        }
        told.last = Some(Instant::now());
        let (known, facts) = (told.known, told.facts.clone());
        self.tell(StageMessage::Progress { done, total, unit: unit.to_owned(), known, facts });
    }

    /// Takes note of a number that tells people how the work goes; it is told with the next progress.
    pub fn fact(&self, name: &str, measure: Measure, value: f64) {
        self.change_fact(name, measure, |fact| *fact = value);
    }

    /// Adds to such a number.
    pub fn add_to_fact(&self, name: &str, measure: Measure, more: f64) {
        self.change_fact(name, measure, |fact| *fact += more);
    }

    fn change_fact(&self, name: &str, measure: Measure, change: impl FnOnce(&mut f64)) {
        let facts = &mut self.progress.lock().facts;
        let place = facts.iter().position(|fact| fact.name == name).unwrap_or_else(|| {
            facts.push(Fact { name: name.to_owned(), value: 0.0, measure });
            facts.len() - 1
        });
        change(&mut facts[place].value);
    }

    /// Tells the numbers of a step, each of which is wanted: for those who draw curves.
    pub fn series(&self, step: u64, values: &[(&str, f64)]) {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        self.tell(StageMessage::Series { step, values });
    }

    /// Says that earlier work is being looked through, or no longer.
    fn recall(&self, recalling: bool) {
        self.progress.lock().recalling = recalling;
    }

    /// Adds to a count that is kept with the result (`tokens_generated`).
    pub fn counter(&self, name: &str, n: u64) {
        let mut counts = self.counts.lock();
        match counts.counters.get_mut(name) {
            Some(count) => *count += n,
            None => drop(counts.counters.insert(name.to_owned(), n)),
        }
    }

    /// Tells people something that does not stop the stage.
    pub fn warn(&self, message: impl Into<String>) {
        self.tell(StageMessage::Warning(message.into()));
    }

    /// Tells people one line about the work.
    pub fn note(&self, line: impl Into<String>) {
        self.tell(StageMessage::Log(line.into()));
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

    /// A log of the run that is no stage's alone, open for appending, and where it lies.
    pub fn run_log(&self, name: &str) -> Result<(File, PathBuf), StageError> {
        let path = self.parts.log_path.with_file_name(format!("{name}.log"));
        let context = || format!("open the log {}", path.display());
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(|e| StageError::other(context(), e))?;
        let file = File::options().create(true).append(true).open(&path);
        file.map_err(|e| StageError::other(context(), e)).map(|file| (file, path))
    }

    /// Keeps `thing` for the stages of the run that share what this one does ([`crate::kind::StageKind::shares`]), in
    /// place of what was kept for them, which is gone when this returns. It is dropped when none of them is left, when
    /// a stage needs the GPUs that theirs lie on, or at the run's end; that may take its time, nobody but who needs
    /// the room waits for it.
    pub fn keep_for_others(&self, thing: impl Send + 'static) {
        self.parts.shared.keep(self.parts.shares.as_deref().unwrap_or_default(), Box::new(thing));
    }

    /// Takes note of a program that had a part in the result, and of what it says it is: kept with the result, no part
    /// of its key.
    pub fn took_part(&self, name: &str, version: &str) {
        self.counts.lock().took_part.insert(name.to_owned(), version.to_owned());
    }

    /// Takes note of a text under a name, beyond this run; what stood there before, if it is another.
    pub fn remember(&self, name: &str, text: &str) -> Result<Option<String>, StageError> {
        let path = self.parts.store.layout().noted(name);
        let before = fs::read_to_string(&path).ok();
        if before.as_deref() == Some(text) {
            return Ok(None);
        }
        put_file(&path, text.as_bytes())
            .map_err(|e| StageError::other(format!("take a note in {}", path.display()), e))?;
        Ok(before)
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

    fn count(&self, add: impl FnOnce(&mut StageCounts)) {
        add(&mut self.counts.lock());
    }

    /// Adds to the counts of rows computed, reused and waited for.
    fn count_rows(&self, computed: u64, reused: u64, waited: u64) {
        self.count(|counts| {
            counts.computed += computed;
            counts.reused += reused;
            counts.waited += waited;
        });
    }

    fn tell(&self, message: StageMessage) {
        (self.parts.tell)(message);
    }

    /// Opens a memo, and forgets what it knows if this is the first of a forced run to do so: what the run's other
    /// stages have written down since is as fresh as can be.
    fn open_memo<M>(
        &self,
        schema: &SchemaRef,
        open: impl FnOnce(&Digest, SchemaRef) -> Result<M, StoreError>,
        clear: impl FnOnce(&mut M) -> Result<(), StoreError>,
    ) -> Result<M, StageError> {
        let mut forgotten = self.parts.forgotten.as_ref().map(|forgotten| forgotten.lock());
        let mut memo = open(&self.parts.memo, SchemaRef::clone(schema))?;
        if let Some(forgotten) = &mut forgotten
            && forgotten.insert((self.parts.memo, SchemaRef::clone(schema)))
        {
            clear(&mut memo)?;
        }
        Ok(memo)
    }

    /// To be asked before the first row goes to the memo: the row was then made of what the recipe names, and not of a
    /// file that was replaced after the keys were made.
    fn check_sources(&self) -> Result<(), StageError> {
        (self.parts.sources_hold)().map_err(StageError::transient)
    }

    fn open_row_memo(&self, schema: &SchemaRef) -> Result<RowMemo, StageError> {
        if !matches!(self.parts.increment, Increment::RowWise { .. }) {
            return Err(StageError::contract("map_rows is for kinds whose INCREMENT is RowWise"));
        }
        let mut memo =
            self.open_memo(schema, |recipe, schema| self.parts.store.row_memo(recipe, schema), RowMemo::clear)?;
        memo.sign(self.parts.maker.clone());
        Ok(memo)
    }

    fn open_stream_memo(&self, schema: &SchemaRef) -> Result<StreamMemo, StageError> {
        if !matches!(self.parts.increment, Increment::Stream { .. }) {
            return Err(StageError::contract("stream is for kinds whose INCREMENT is Stream"));
        }
        let open = |recipe: &Digest, schema| self.parts.store.stream_memo(recipe, schema);
        let mut memo = self.open_memo(schema, open, StreamMemo::clear)?;
        memo.sign(self.parts.maker.clone());
        Ok(memo)
    }
}
