//! Kinds that take a little time, and write down in a file outside the store every piece of work they do: for tests
//! with several processes, and with such as are killed.

mod answer;
mod mark;
mod thirds;

use std::{
    fs::File,
    io::Write as _,
    path::PathBuf,
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pipe_engine::kind::{Registry, StageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows and attempts per batch.
const BATCH: usize = 5;

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// What all of them share.
#[derive(Clone)]
pub(crate) struct Work {
    journal: PathBuf,
    pause: Duration,
}

impl Work {
    /// One appended line is one write: it is there whole, or not at all.
    fn note(&self, line: &str) -> Result<(), StageError> {
        let file = File::options().create(true).append(true).open(&self.journal);
        file.and_then(|mut f| f.write_all(format!("{} {line}\n", now()).as_bytes()))
            .map_err(|e| StageError::other("note work", e))
    }

    fn pause(&self) {
        sleep(self.pause);
    }
}

/// Parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Params {
    /// Stands in everything that the stage makes.
    #[serde(default)]
    tag: String,
    /// How many rows a stream is to keep.
    #[serde(default)]
    count: u64,
    /// Bytes of memory that the stage estimates to take.
    #[serde(default)]
    takes: u64,
}

/// The kinds, writing down what they do in `journal`.
pub fn registry(journal: PathBuf) -> Registry {
    slow_registry(journal, Duration::from_millis(2))
}

/// The same, each batch taking that long.
pub fn slow_registry(journal: PathBuf, pause: Duration) -> Registry {
    let work = Work { journal, pause };
    Registry::default().with(thirds::Thirds(work.clone())).with(answer::Answer(work.clone())).with(mark::Mark(work))
}
