//! Content outside the store that keys depend on: files, patterns, environment variables, values.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;
use pipe_cache::{Digest, Store, StoreError};

use super::{FileSource, KeyRecord, SourceContent, SourceRecord};
use crate::{
    context::CancelToken,
    diag::did_you_mean,
    kind::{AnyParams, DynKind, Source, SourceHost, StageError, WRITTEN, written},
    pipeline::Node,
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

impl From<SourceError> for StageError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Kind(error) => *error,
            SourceError::Missing { ref path, .. } => Self::user_help(error.to_string(), help_for_missing(path)),
            SourceError::Pattern { .. } | SourceError::Unhashable { .. } => Self::user(error.to_string()),
            SourceError::Unreadable { .. } => Self::other("find out what the stage depends on", error),
        }
    }
}

/// What to do about a file that is not there: the name beside it that was meant, if there is one.
pub fn help_for_missing(path: &Path) -> String {
    let beside = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let names: Vec<String> = beside
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match did_you_mean(&name, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`, which is there?"),
        None => "paths are relative to the file that they are written in; check its spelling".to_owned(),
    }
}

type Hashed = Arc<OnceLock<Result<Digest, Arc<StoreError>>>>;

/// Hashes sources, each path once per run however many nodes name it.
pub struct SourceHasher {
    store: Store,
    env: Arc<BTreeMap<String, String>>,
    paths: Mutex<HashMap<PathBuf, Hashed>>,
    /// Ends what asks far-away places.
    cancel: Option<CancelToken>,
}

impl SourceHasher {
    /// `env` stands for the environment.
    pub fn new(store: Store, env: Arc<BTreeMap<String, String>>) -> Self {
        Self { store, env, paths: Mutex::default(), cancel: None }
    }

    /// With the token that cancels the run.
    #[must_use]
    pub fn cancelled_by(mut self, token: CancelToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// The records of what a node's kind declares. May read much when files are new.
    pub fn of_node(&self, node: &Node) -> Result<Vec<SourceRecord>, SourceError> {
        let sources = node.kind.sources(&node.params).map_err(|e| SourceError::Kind(Box::new(e)))?;
        self.records(&node.folder, sources)
    }

    /// The records of a stage's sources, in the kind's order; relative paths start from `folder`. May read much when
    /// files are new.
    pub fn records(&self, folder: &Path, sources: Vec<Source>) -> Result<Vec<SourceRecord>, SourceError> {
        let host = InFolder { hasher: self, folder, node: None };
        sources.into_iter().map(|source| host.record(source)).collect()
    }

    /// What a node's kind may ask of the world outside the store.
    pub(crate) fn host<'a>(&'a self, node: &'a Node) -> InFolder<'a> {
        InFolder { hasher: self, folder: &node.folder, node: Some(node) }
    }

    /// Forgets what was hashed, so that changes since then are seen.
    pub fn forget(&self) {
        self.paths.lock().clear();
    }

    /// A hasher that remembers nothing, and so sees changes since then.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self { cancel: self.cancel.clone(), ..Self::new(self.store.clone(), Arc::clone(&self.env)) }
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
            let mut paths = self.paths.lock();
            Arc::clone(paths.entry(path.to_owned()).or_default())
        };
        slot.get_or_init(|| self.store.content_digest(path).map(|s| s.digest).map_err(Arc::new))
            .clone()
            .map_err(|source| SourceError::Unreadable { label, path: owned, source })
    }
}

/// The host of a stage that works in a folder.
pub(crate) struct InFolder<'a> {
    hasher: &'a SourceHasher,
    folder: &'a Path,
    /// The stage, where one is asked about.
    node: Option<&'a Node>,
}

impl InFolder<'_> {
    fn record(&self, source: Source) -> Result<SourceRecord, SourceError> {
        Ok(match source {
            Source::Path { label, path } | Source::Text { label, path } => {
                let digest = self.hasher.digest(&label, &place(self.folder, &path))?;
                SourceRecord { label, content: SourceContent::Content(digest) }
            }
            Source::Glob { label, pattern, names } => {
                let problem =
                    |problem: String| SourceError::Pattern { label: label.clone(), pattern: pattern.clone(), problem };
                let paths = expand(self.folder, &pattern).map_err(problem)?;
                if paths.is_empty() {
                    return Err(problem(format!("matches no file in {}", start(self.folder, &pattern).display())));
                }
                let start = start(self.folder, &pattern);
                let file = |path: &PathBuf| -> Result<FileSource, SourceError> {
                    let name = || path.strip_prefix(&start).unwrap_or(path).to_string_lossy().into_owned();
                    Ok(FileSource { digest: self.hasher.digest(&label, path)?, name: names.then(name) })
                };
                let files = paths.iter().map(file).collect::<Result<_, _>>()?;
                SourceRecord { label, content: SourceContent::Files(files) }
            }
            Source::Folder { label, path, find, otherwise } => {
                let is_folder = place(self.folder, &path).is_dir();
                self.record(if is_folder { Source::Found { label, near: Vec::new(), find } } else { *otherwise })?
            }
            Source::Env { name } => {
                let content = SourceContent::Env(self.hasher.env.get(&name).cloned());
                SourceRecord { label: name, content }
            }
            Source::Value { label, value } => SourceRecord { label, content: SourceContent::Value(value) },
            Source::Found { label, find, .. } => {
                let value = find.find(self).map_err(|e| SourceError::Kind(Box::new(e)))?;
                SourceRecord { label, content: SourceContent::Value(value) }
            }
        })
    }
}

impl SourceHost for InFolder<'_> {
    fn connected(&self, port: &str) -> bool {
        self.node.is_some_and(|node| node.inputs.iter().any(|input| input.port == port))
    }
    fn base_dir(&self) -> &Path {
        self.folder
    }

    fn env(&self, name: &str) -> Option<&str> {
        self.hasher.env.get(name).map(String::as_str)
    }

    fn cancelled(&self) -> bool {
        self.hasher.cancel.as_ref().is_some_and(|token| token.reason().is_some())
    }

    fn digest(&self, path: &Path) -> Result<Digest, StageError> {
        let digest = self.hasher.digest("file", &self.folder.join(path));
        digest.map_err(|e| StageError::other("find out what the stage depends on", e))
    }
}

/// A text that is longer is not kept.
const MAX_TEXT: u64 = 32 * 1024;

/// The texts of a stage's sources that are to be kept with its result, by label; of one that is no longer what the key
/// was made of, nothing.
pub(crate) fn texts(
    kind: &dyn DynKind,
    params: &AnyParams,
    folder: &Path,
    keyed: &[SourceRecord],
) -> BTreeMap<String, String> {
    let read = |source: Source| match source {
        Source::Text { label, path } => text(label, &place(folder, &path), keyed),
        _ => None,
    };
    kind.sources(params).unwrap_or_default().into_iter().filter_map(read).collect()
}

fn text(label: String, path: &Path, keyed: &[SourceRecord]) -> Option<(String, String)> {
    let small = std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() <= MAX_TEXT);
    let bytes = small.then(|| std::fs::read(path).ok())??;
    let now = SourceRecord { label, content: SourceContent::Content(Digest::of_bytes(&bytes)) };
    keyed.contains(&now).then(|| String::from_utf8(bytes).ok().map(|text| (now.label, text)))?
}

/// The sources that a key was made of.
pub(crate) struct KeyedSources {
    pub kind: Arc<dyn DynKind>,
    pub params: AnyParams,
    pub record: Arc<KeyRecord>,
    pub hasher: Arc<SourceHasher>,
    pub folder: PathBuf,
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
        let now = self.hasher.fresh().records(&self.folder, sources).map_err(|e| e.to_string())?;
        if now == *before {
            return Ok(());
        }
        let differs = |(a, b): &(&SourceRecord, &SourceRecord)| a != b;
        let changed: Vec<&str> = before.iter().zip(&now).filter(differs).map(|(a, _)| a.label.as_str()).collect();
        Err(format!("source `{}` changed during the run", changed.join("`, `")))
    }
}

/// The folder that a pattern starts from.
fn start(folder: &Path, pattern: &str) -> PathBuf {
    pattern.split_once(WRITTEN).map_or_else(|| folder.to_owned(), |(start, _)| start.into())
}

fn place(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path).components().collect()
}

/// Whether names match a pattern, by the rules of [`expand`].
pub fn matcher(pattern: &str) -> Result<impl Fn(&str) -> bool + use<>, String> {
    let all_below = if pattern.ends_with("**") { "/*" } else { "" };
    let pattern = glob::Pattern::new(&format!("{pattern}{all_below}"))
        .map_err(|e| format!("is not a valid pattern: {}", e.msg))?;
    Ok(move |name: &str| pattern.matches_with(name, OPTIONS))
}

/// How names are matched.
const OPTIONS: glob::MatchOptions =
    glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The files that a pattern matches below `folder`, sorted. The same for the key and for the kind that reads them. A
/// file or folder of that very name is meant itself (`data[1].jsonl`); `lib/**` is all below `lib`. What interpreters
/// leave beside what they read is not matched.
pub fn expand(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let start = start(folder, pattern);
    let pattern = written(pattern);
    let literal = start.join(pattern);
    if literal.exists() {
        return Ok(vec![literal]);
    }
    let all_below = if pattern.ends_with("**") { "/*" } else { "" };
    let pattern = format!("{pattern}{all_below}");
    let full = Path::new(&glob::Pattern::escape(&start.to_string_lossy())).join(pattern);
    let matches =
        glob::glob_with(&full.to_string_lossy(), OPTIONS).map_err(|e| format!("is not a valid pattern: {}", e.msg))?;
    let mut paths = Vec::new();
    for path in matches {
        let path = path.map_err(|e| format!("cannot be followed: {e}"))?;
        let below = path.strip_prefix(&start).unwrap_or(&path);
        if path.is_file() && !below.iter().any(pipe_cache::is_leaving) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_as_the_key_has_it_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("template");
        let digest = |text: &[u8]| SourceContent::Content(Digest::of_bytes(text));
        let keyed = [
            SourceRecord { label: "template".into(), content: digest(b"as it was") },
            SourceRecord { label: "system".into(), content: digest(b"of another") },
            SourceRecord { label: "bytes".into(), content: digest(b"\xff") },
        ];
        let kept = |label: &str, now: &[u8]| {
            std::fs::write(&path, now).unwrap();
            text(label.to_owned(), &path, &keyed).map(|(label, text)| format!("{label}: {text}"))
        };
        assert_eq!(kept("template", b"as it was").as_deref(), Some("template: as it was"));
        for (label, now) in
            [("template", &b"as it is now"[..]), ("template", b""), ("template", b"of another"), ("bytes", b"\xff")]
        {
            assert_eq!(kept(label, now), None, "{label} {now:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text("template".to_owned(), &path, &keyed), None);
    }
}
