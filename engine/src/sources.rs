//! Content outside the store that keys depend on: files, patterns, environment variables, values.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock},
};

use pipe_cache::{Digest, Store, StoreError};

use crate::{
    keys::{FileSource, KeyRecord, SourceContent, SourceRecord},
    kind::{AnyParams, DynKind, Source, SourceHost, StageError},
};

/// Why a source could not be hashed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is not there.
    #[error("`{label}` names a file that does not exist: {}", path.display())]
    Missing {
        /// The kind's name for it.
        label: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It may not be read.
    #[error("failed to read source `{label}` ({})", path.display())]
    Unreadable {
        /// The kind's name for it.
        label: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<StoreError>,
    },
    /// It is a device, a pipe or a socket: its content cannot be known beforehand.
    #[error("source `{label}` ({}) is neither a file nor a directory", path.display())]
    Unhashable {
        /// The kind's name for it.
        label: String,
        /// Where it lies.
        path: PathBuf,
    },
    /// A pattern that cannot be parsed or matches nothing.
    #[error("failed to expand source `{label}`: pattern `{pattern}` {problem}")]
    Pattern {
        /// The kind's name for it.
        label: String,
        /// The pattern as written.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A kind could not find out what it depends on.
    #[error(transparent)]
    Kind(Box<StageError>),
}

type Hashed = Arc<OnceLock<Result<Digest, Arc<StoreError>>>>;

/// Hashes sources, each path once per run however many nodes name it.
pub struct SourceHasher {
    store: Store,
    base_dir: PathBuf,
    env: Arc<BTreeMap<String, String>>,
    paths: Mutex<HashMap<PathBuf, Hashed>>,
}

impl SourceHasher {
    /// Relative paths are resolved against `base_dir`; `env` stands for the environment.
    pub fn new(store: Store, base_dir: PathBuf, env: Arc<BTreeMap<String, String>>) -> Self {
        Self { store, base_dir, env, paths: Mutex::default() }
    }

    /// The records of a stage's sources, in the kind's order. May read much when files are new.
    pub fn records(&self, sources: Vec<Source>) -> Result<Vec<SourceRecord>, SourceError> {
        sources.into_iter().map(|source| self.record(source)).collect()
    }

    /// Forgets what was hashed, so that changes since then are seen.
    pub fn forget(&self) {
        self.paths.lock().expect("hashing does not panic").clear();
    }

    /// A hasher that remembers nothing, and so sees changes since then.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self::new(self.store.clone(), self.base_dir.clone(), Arc::clone(&self.env))
    }

    fn record(&self, source: Source) -> Result<SourceRecord, SourceError> {
        Ok(match source {
            Source::Path { label, path } => {
                let digest = self.digest(&label, &self.base_dir.join(path))?;
                SourceRecord { label, content: SourceContent::Content(digest) }
            }
            Source::Glob { label, pattern, names } => {
                let problem =
                    |problem: String| SourceError::Pattern { label: label.clone(), pattern: pattern.clone(), problem };
                let paths = expand(&self.base_dir, &pattern).map_err(problem)?;
                if paths.is_empty() {
                    return Err(problem(format!("matches no file in {}", self.base_dir.display())));
                }
                let file = |path: &PathBuf| -> Result<FileSource, SourceError> {
                    let name = || path.strip_prefix(&self.base_dir).unwrap_or(path).to_string_lossy().into_owned();
                    Ok(FileSource { digest: self.digest(&label, path)?, name: names.then(name) })
                };
                let files = paths.iter().map(file).collect::<Result<_, _>>()?;
                SourceRecord { label, content: SourceContent::Files(files) }
            }
            Source::Env { name } => {
                let content = SourceContent::Env(self.env.get(&name).cloned());
                SourceRecord { label: name, content }
            }
            Source::Value { label, value } => SourceRecord { label, content: SourceContent::Value(value) },
            Source::Found { label, find } => {
                let value = find.find(self).map_err(|e| SourceError::Kind(Box::new(e)))?;
                SourceRecord { label, content: SourceContent::Value(value) }
            }
        })
    }

    fn digest(&self, label: &str, path: &Path) -> Result<Digest, SourceError> {
        let (label, owned) = (label.to_owned(), path.to_owned());
        match std::fs::metadata(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(SourceError::Missing { label, path: owned });
            }
            Ok(m) if !m.is_file() && !m.is_dir() => {
                return Err(SourceError::Unhashable { label, path: owned });
            }
            _ => {}
        }
        let slot = {
            let mut paths = self.paths.lock().expect("hashing does not panic");
            Arc::clone(paths.entry(path.to_owned()).or_default())
        };
        slot.get_or_init(|| self.store.source_digest(path).map(|s| s.digest).map_err(Arc::new))
            .clone()
            .map_err(|source| SourceError::Unreadable { label, path: owned, source })
    }
}

impl SourceHost for SourceHasher {
    fn base_dir(&self) -> &Path {
        &self.base_dir
    }

    fn env(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str)
    }

    fn digest(&self, path: &Path) -> Result<Digest, StageError> {
        let digest = SourceHasher::digest(self, "file", &self.base_dir.join(path));
        digest.map_err(|e| StageError::other("find out what the stage depends on", e))
    }
}

/// The sources that a key was made of.
pub(crate) struct KeyedSources {
    pub kind: Arc<dyn DynKind>,
    pub params: AnyParams,
    pub record: Arc<KeyRecord>,
    pub hasher: Arc<SourceHasher>,
    /// Some of them could not be hashed: nothing is kept under the key, and there is nothing to compare with.
    pub uncached: bool,
}

impl KeyedSources {
    /// Whether they are still what the key says; else which changed. Costs a `stat` each when nothing did.
    pub(crate) fn check(&self) -> Result<(), String> {
        let before = &self.record.sources;
        if before.is_empty() || self.uncached {
            return Ok(());
        }
        let sources = self.kind.sources(&self.params).map_err(|e| e.to_string())?;
        let now = self.hasher.fresh().records(sources).map_err(|e| e.to_string())?;
        if now == *before {
            return Ok(());
        }
        let differs = |(a, b): &(&SourceRecord, &SourceRecord)| a != b;
        let changed: Vec<&str> = before.iter().zip(&now).filter(differs).map(|(a, _)| a.label.as_str()).collect();
        Err(format!("source `{}` changed during the run", changed.join("`, `")))
    }
}

/// The files that a pattern matches below `base_dir`, sorted. The same for the key and for the kind that reads them.
pub fn expand(base_dir: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let full = Path::new(&glob::Pattern::escape(&base_dir.to_string_lossy())).join(pattern);
    let options =
        glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };
    let matches =
        glob::glob_with(&full.to_string_lossy(), options).map_err(|e| format!("is not a valid pattern: {}", e.msg))?;
    let mut paths = Vec::new();
    for path in matches {
        let path = path.map_err(|e| format!("cannot be followed: {e}"))?;
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
