//! How to run.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use pipe_cache::{Remote, StoreError};
use serde_json::Value;

use crate::{
    context::CancelToken,
    events::JournalError,
    pipeline::{Resources, SelectError, Selection},
};

/// How to run. Nothing here enters a key.
#[derive(Clone)]
pub struct RunOptions {
    /// Which stages to run.
    pub selection: Selection,
    /// Size of the CPU slot pool (`--jobs`).
    pub jobs: u32,
    /// Size of the GPU slot pool; stages' wishes for GPU slots are ignored when it is 0.
    pub gpus: u32,
    /// Bytes of memory that stages may reserve together; their wishes are ignored when it is 0.
    pub memory: u64,
    /// Start further stages after one has failed, as far as they do not need it.
    pub keep_going: bool,
    /// A worker takes of a run what it may, and leaves the rest to others; `None` of a run that does all itself.
    pub worker: Option<Offer>,
    /// What somebody else calls this process: `slurm 17_3`.
    pub place: Option<String>,
    /// The folder below which `<pipeline>/<variant>/<stage>` links are kept; none are made when `None`.
    pub results: Option<PathBuf>,
    /// Where results come from that the store lacks, and where new ones go.
    pub remote: Option<Remote>,
    /// Compute nothing: only what the remote has is fetched.
    pub pull_only: bool,
    /// The environment that stages may ask for.
    pub env: Arc<BTreeMap<String, String>>,
    /// Cancels the run.
    pub cancel: CancelToken,
    /// The command line, kept in the journal.
    pub arguments: Vec<String>,
    /// Name, version and commit of the program, kept with results.
    pub software: String,
    /// The machine, in fields, kept with results.
    pub machine: Value,
}

impl Default for RunOptions {
    /// Everything, two CPU slots, no environment, no links.
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            jobs: 2,
            gpus: 0,
            memory: 0,
            keep_going: false,
            worker: None,
            place: None,
            results: None,
            remote: None,
            pull_only: false,
            env: Arc::default(),
            cancel: CancelToken::new(),
            arguments: Vec::new(),
            software: concat!("pipe ", env!("CARGO_PKG_VERSION")).to_owned(),
            machine: Value::Null,
        }
    }
}

/// What a worker offers besides CPU slots, GPUs and memory, and how long it stays.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// The classes of machines that it is.
    pub classes: Vec<String>,
    /// It ends when it has had nothing to do for so long. `None`: when nobody computes anything that it waits for.
    pub idle: Option<Duration>,
    /// When it is going to be cancelled.
    pub until: Option<Instant>,
}

impl RunOptions {
    /// Whether this process is to compute a node that wants that, `now`: a run does whatever there is, a worker what
    /// fits it. What goes on where it stopped (`is_resumed`) may be begun however little time is left.
    pub fn offers(&self, wish: &Resources, is_resumed: bool, now: Instant) -> Fit {
        let Some(offer) = &self.worker else { return Fit::Fits };
        let class = wish.class.as_deref().is_none_or(|class| offer.classes.iter().any(|offered| offered == class));
        if !class || wish.gpu > self.gpus || (self.memory > 0 && wish.memory > self.memory) {
            return Fit::Unfit;
        }
        let left = offer.until.map(|until| until.saturating_duration_since(now));
        let in_time = is_resumed || wish.time.zip(left).is_none_or(|(time, left)| time <= left);
        if in_time { Fit::Fits } else { Fit::TooLate }
    }
}

/// Whether a node is for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It is.
    Fits,
    /// It would be, had the worker as much time left as the node wants.
    TooLate,
    /// It wants something else of a machine.
    Unfit,
}

/// Why a run could not begin, or broke down.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The selection names something that is not there.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal could not be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
