//! The journal: one append-only file of events per run, `runs/<run>.jsonl` in the store.
//!
//! Hits, progress, series, log lines, what other processes do and the table of arms are left out: a run that finds
//! everything done writes two lines, however large the pipeline. What every stage stands at when a run ends is written
//! once per distinct state, to `runs/states/<digest>.json`, and named in the last line. A run that was killed lacks its
//! last line, and perhaps the end of the one before: readers take what is whole.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use pipe_cache::{Digest, Store, put_file};
use serde::Serialize;

use super::{Event, EventKind, RunOrigin, RunSummary};

/// The journal could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("failed to {action} {}", path.display())]
pub struct JournalError {
    /// Completes "failed to ...".
    pub action: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub source: io::Error,
}

fn at<T>(action: &'static str, path: &Path, result: io::Result<T>) -> Result<T, JournalError> {
    result.map_err(|source| JournalError { action, path: path.to_owned(), source })
}

/// variant -> stage -> key, for everything that a run found or made.
pub type EndState = BTreeMap<String, BTreeMap<String, Digest>>;

/// A run as its journal tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunInfo {
    /// The run's id; ids sort by time.
    pub run: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// Wall clock, milliseconds since 1970.
    pub started_ms: u64,
    /// What was run.
    #[serde(flatten)]
    pub origin: RunOrigin,
    /// How it ended; `None` when it was killed (or is still going on).
    pub summary: Option<RunSummary>,
    /// The file [`Journal::state`] reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Digest>,
}

/// A new run's id: the time in milliseconds as ten base-32 digits, so that ids sort by time, and the process.
fn new_run_id(started_ms: u64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let time: String =
        (0..10).rev().map(|place| char::from(DIGITS[(started_ms >> (place * 5)) as usize & 31])).collect();
    format!("{time}-{:x}", std::process::id())
}

/// Writes the journal of one run.
pub(crate) struct JournalWriter {
    file: Option<File>,
    path: PathBuf,
    line: Vec<u8>,
}

impl JournalWriter {
    /// Opens a new journal; returns it with the run's id. With a read-only store nothing is written.
    pub(crate) fn create(store: &Store, started_ms: u64) -> Result<(Self, String), JournalError> {
        let dir = store.layout().runs();
        let base = new_run_id(started_ms);
        if store.read_only() {
            return Ok((Self { file: None, path: dir, line: Vec::new() }, base));
        }
        at("create", &dir, fs::create_dir_all(&dir))?;
        // Two runs of one process may begin in the same millisecond.
        for n in 0.. {
            let run = if n == 0 { base.clone() } else { format!("{base}-{n}") };
            let path = dir.join(format!("{run}.jsonl"));
            match File::options().append(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Self { file: Some(file), path, line: Vec::new() }, run)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return at("create the journal", &path, Err(e)),
            }
        }
        unreachable!("the loop ends at the first free name")
    }

    /// Appends an event, unless it is of a sort that journals leave out.
    pub(crate) fn write(&mut self, event: &Event) -> Result<(), JournalError> {
        let left_out = matches!(
            event.kind,
            EventKind::Hit { .. }
                | EventKind::Progress { .. }
                | EventKind::Series { .. }
                | EventKind::Log { .. }
                | EventKind::Arms { .. }
                | EventKind::Elsewhere { .. }
                | EventKind::Pushing { .. }
        );
        if left_out {
            return Ok(());
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        self.line.clear();
        at("encode an event of", &self.path, serde_json::to_writer(&mut self.line, event).map_err(io::Error::from))?;
        self.line.push(b'\n');
        at("append to the journal", &self.path, file.write_all(&self.line))
    }
}

/// Reads journals.
pub struct Journal {
    dir: PathBuf,
}

impl Journal {
    /// The journals of a store.
    pub fn new(store: &Store) -> Self {
        Self { dir: store.layout().runs() }
    }

    /// The ids of all runs, newest first.
    pub fn runs(&self) -> Result<Vec<String>, JournalError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => at("list", &self.dir, entries)?,
        };
        let mut runs = Vec::new();
        for entry in entries {
            let name = at("list", &self.dir, entry)?.file_name();
            runs.extend(name.to_str().and_then(|n| n.strip_suffix(".jsonl")).map(str::to_owned));
        }
        runs.sort_unstable_by(|a, b| b.cmp(a));
        Ok(runs)
    }

    /// The events of a run, as far as they were written. Lines that cannot be read (a kill in the middle of one, a
    /// newer version's events) are left out.
    pub fn events(&self, run: &str) -> Result<Vec<Event>, JournalError> {
        let path = self.dir.join(format!("{run}.jsonl"));
        let text = at("read the journal", &path, fs::read(&path))?;
        Ok(text.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }

    /// What a run was and how it ended; `None` when not even its first line is whole.
    pub fn info(&self, run: &str) -> Result<Option<RunInfo>, JournalError> {
        let events = self.events(run)?;
        let Some(Event { kind: EventKind::RunStarted { pipeline, started_ms, origin, .. }, .. }) = events.first()
        else {
            return Ok(None);
        };
        let (summary, state) = match events.last() {
            Some(Event { kind: EventKind::RunFinished { summary, state }, .. }) => (Some(summary.clone()), *state),
            _ => (None, None),
        };
        Ok(Some(RunInfo {
            run: run.to_owned(),
            pipeline: pipeline.clone(),
            started_ms: *started_ms,
            origin: origin.clone(),
            summary,
            state,
        }))
    }

    /// What every stage stood at when the run ended; `None` for a run that was killed.
    pub fn state(&self, info: &RunInfo) -> Result<Option<EndState>, JournalError> {
        let Some(digest) = info.state else { return Ok(None) };
        let path = self.state_path(&digest);
        let text = at("read", &path, fs::read(&path))?;
        at("parse", &path, serde_json::from_slice(&text).map_err(io::Error::from)).map(Some)
    }

    /// Keeps a state under its digest, unless it is there already.
    pub(crate) fn keep_state(&self, digest: &Digest, state: impl FnOnce() -> EndState) -> Result<(), JournalError> {
        let path = self.state_path(digest);
        if path.exists() {
            return Ok(());
        }
        let text = at("encode", &path, serde_json::to_vec(&state()).map_err(io::Error::from))?;
        at("write", &path, put_file(&path, &text))
    }

    fn state_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("states/{digest}.json"))
    }
}
