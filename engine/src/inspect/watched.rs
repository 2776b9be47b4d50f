//! The files that a pipeline is made of and depends on, for those who want to know when one changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{keys::expand, kind::Source, pipeline::Pipeline};

/// Of a folder with more files, only so many are looked at.
const MOST: usize = 10_000;

/// What is to be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Files and folders.
    paths: BTreeSet<PathBuf>,
    /// Folders, and patterns below them.
    patterns: BTreeSet<(PathBuf, String)>,
}

/// Files with the time of their last change and their size.
pub type Sight = BTreeMap<PathBuf, (SystemTime, u64)>;

impl Watched {
    /// The file of a pipeline, what it includes, and what its stages declare as sources.
    pub fn of(pipeline: &Pipeline) -> Self {
        let mut watched = Self::files(&pipeline.files);
        for node in pipeline.graph.node_weights() {
            for source in node.kind.sources(&node.params).unwrap_or_default() {
                match source {
                    Source::Path { path, .. } | Source::Text { path, .. } => {
                        watched.paths.insert(node.folder.join(path));
                    }
                    Source::Glob { pattern, .. } => {
                        watched.patterns.insert((node.folder.clone(), pattern));
                    }
                    Source::Env { .. } | Source::Value { .. } | Source::Found { .. } => {}
                }
            }
        }
        watched
    }

    /// These files alone.
    pub fn files(files: &[PathBuf]) -> Self {
        Self { paths: files.iter().cloned().collect(), patterns: BTreeSet::new() }
    }

    /// With what another one looks at.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.paths.extend(other.paths.iter().cloned());
        self.patterns.extend(other.patterns.iter().cloned());
        self
    }

    /// What there is now. A file that is not there is not in it.
    pub fn look(&self) -> Sight {
        let mut sight = Sight::new();
        for path in &self.paths {
            see(path, &mut sight);
        }
        for (folder, pattern) in &self.patterns {
            for path in expand(folder, pattern).unwrap_or_default() {
                see(&path, &mut sight);
            }
        }
        sight
    }
}

fn see(path: &Path, sight: &mut Sight) {
    let name = path.file_name().unwrap_or_default();
    if sight.len() >= MOST || pipe_cache::is_leaving(name) {
        return;
    }
    let Ok(meta) = fs::metadata(path) else { return };
    if meta.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        entries.for_each(|entry| see(&entry.path(), sight));
    } else if let Ok(modified) = meta.modified() {
        sight.insert(path.to_owned(), (modified, meta.len()));
    }
}
