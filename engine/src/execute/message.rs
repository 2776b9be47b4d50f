//! What workers and listeners tell the coordinator.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
};

use pipe_cache::{Digest, Entry, LeaseOwner};

use crate::{
    context::{StageError, StageMessage},
    events::NodeStats,
    keys::{SourceError, SourceRecord},
};

/// What workers and listeners tell the coordinator.
pub(super) enum Message {
    /// A stage says something.
    Stage { node: u32, said: StageMessage },
    /// A stage waits for rows of others, and gives its slots back meanwhile.
    SeatLeft { node: u32 },
    /// It wants them again.
    SeatWanted { node: u32, grant: mpsc::Sender<()> },
    /// Sources were hashed.
    Sources { records: Vec<(u32, Result<Vec<SourceRecord>, SourceError>)> },
    /// The remote was asked for the result of a node.
    Asked { node: u32, entry: Option<Arc<Entry>> },
    /// A computation ended.
    Done { node: u32, end: Box<JobEnd> },
    /// The run is to be cancelled.
    Cancel,
}

/// How a computation ended.
pub(super) enum JobEnd {
    /// Another process had computed the key in the meantime.
    Found(Arc<Entry>),
    /// Another process is computing the key.
    Busy(Option<LeaseOwner>),
    /// So it is, and this one has added rows as long as there were any to add.
    Helped { owner: Option<LeaseOwner>, rows: u64, may_help: bool },
    /// Computed and published.
    Published { entry: Arc<Entry>, stats: NodeStats, log: Option<PathBuf> },
    /// A source is not what the key was made of any more; what the stage yielded, if it ran, was thrown away.
    SourcesChanged(String),
    /// It failed.
    Failed(Failure),
}

/// How a computation failed.
pub(super) struct Failure {
    pub error: StageError,
    /// Objects of inputs that turned out damaged: the reason, and something that can be repaired.
    pub damaged: Vec<Digest>,
    /// Stopped because the run is being cancelled.
    pub cancelled: bool,
    pub log: Option<PathBuf>,
}

impl Failure {
    /// Before anything was computed.
    pub(super) fn early(error: impl Into<StageError>) -> JobEnd {
        JobEnd::Failed(Self { error: error.into(), damaged: Vec::new(), cancelled: false, log: None })
    }
}
