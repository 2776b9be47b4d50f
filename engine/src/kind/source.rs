//! Content outside the store that a stage depends on, as a kind declares it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use pipe_cache::Digest;
use serde_json::Value;

use crate::context::StageError;

/// Something outside the store whose content enters the key: a file, a directory, or a value such as an environment
/// variable's.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file or directory, hashed by content (with a stat cache). Relative paths start from the stage's folder.
    Path {
        /// The name under which it appears in the key record, for example `path` or `model`.
        label: String,
        /// Where it lies; no part of the key.
        path: PathBuf,
    },
    /// A file as [`Source::Path`], whose text is kept with the result: what changed in it can then be told word by
    /// word. For templates, not for data.
    Text {
        /// The name under which it appears in the key record, for example `template`.
        label: String,
        /// Where it lies; no part of the key.
        path: PathBuf,
    },
    /// The files that a pattern (`data/*.jsonl`, `**` included) matches, in the order of their names; each is hashed
    /// by content.
    Glob {
        /// The name under which it appears in the key record.
        label: String,
        /// Relative patterns start from the stage's folder; no part of the key.
        pattern: String,
        /// Whether the result depends on the names of the files too (relative to that folder).
        names: bool,
    },
    /// Of a folder what is looked for there, where not all that lies below it matters; what is no folder is the other
    /// source.
    Folder {
        /// The name under which it appears in the key record.
        label: String,
        /// Where it lies; no part of the key.
        path: PathBuf,
        /// Looks for what matters.
        find: Finder,
        /// What it is if it is no folder.
        otherwise: Box<Self>,
    },
    /// An environment variable of the run; one that is not set is told apart from an empty one.
    Env {
        /// The variable's name.
        name: String,
    },
    /// A value that stands for itself.
    Value {
        /// The name under which it appears in the key record.
        label: String,
        /// Hashed, and shown in the key record. Never a secret.
        value: Value,
    },
    /// A value that has to be looked for: the files of a directory that matter, the commit that a branch names now.
    Found {
        /// The name under which it appears in the key record.
        label: String,
        /// What it looks at on this disk: files, folders and patterns, as a stage's parameters name them. Whoever waits
        /// for changes looks there; no part of the key.
        near: Vec<String>,
        /// Looks for it. May read files and ask servers.
        find: Finder,
    },
}

/// What a [`Finder`] may ask.
pub trait SourceHost {
    /// The folder that relative paths are resolved against.
    fn base_dir(&self) -> &Path;
    /// An environment variable of the run.
    fn env(&self, name: &str) -> Option<&str>;
    /// Whether something is connected to an input of the stage.
    fn connected(&self, _port: &str) -> bool {
        false
    }
    /// Whether the run is being cancelled: who waits for a far-away place asks many times a second.
    fn cancelled(&self) -> bool {
        false
    }
    /// The digest of a file or directory, remembered between runs.
    fn digest(&self, path: &Path) -> Result<Digest, StageError>;
}

type Find = dyn Fn(&dyn SourceHost) -> Result<Value, StageError> + Send + Sync;

/// Finds the value of a [`Source::Found`]. The same state of the world gives the same value.
#[derive(Clone)]
pub struct Finder(Arc<Find>);

impl Finder {
    /// A finder.
    pub fn new(find: impl Fn(&dyn SourceHost) -> Result<Value, StageError> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// The value now.
    pub fn find(&self, host: &dyn SourceHost) -> Result<Value, StageError> {
        (self.0)(host)
    }
}

impl fmt::Debug for Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Finder(..)")
    }
}

/// Stands in a path or pattern between a folder, from the root on, and what is written in the pipeline file, where
/// that lies in another folder than the stage works in. To the file system it is a `/`.
pub const WRITTEN: &str = "/././";

/// A path or pattern as it is written in the pipeline file: what of it may enter a key.
pub fn written(path: &str) -> &str {
    path.split_once(WRITTEN).map_or(path, |(_, written)| written)
}
