//! The files that a pipeline is made of and depends on, for those who want to know when one changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{keys::expand, kind::Source, pipeline::Pipeline};

/// Of a folder with more files and folders, only so many are looked at.
const MOST: usize = 10_000;

/// What is to be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Files and folders.
    paths: BTreeSet<PathBuf>,
    /// Folders, and patterns below them.
    patterns: BTreeSet<(PathBuf, String)>,
    /// The same, of what stages look for by rules of their own: folders are looked at without what is hidden in them.
    near: BTreeSet<(PathBuf, String)>,
}

/// Files with the time of their last change and their size.
pub type Sight = BTreeMap<PathBuf, (SystemTime, u64)>;

impl Watched {
    /// The file of a pipeline, what it includes, and what its stages declare as sources.
    pub fn of(pipeline: &Pipeline) -> Self {
        let mut watched = Self::files(&pipeline.files);
        for node in pipeline.graph.node_weights() {
            for source in node.kind.sources(&node.params).unwrap_or_default() {
                watched.add(&node.folder, source);
            }
        }
        watched
    }

    fn add(&mut self, folder: &Path, source: Source) {
        match source {
            Source::Path { path, .. } | Source::Text { path, .. } => {
                self.paths.insert(folder.join(path));
            }
            Source::Glob { pattern, .. } => {
                self.patterns.insert((folder.to_owned(), pattern));
            }
            Source::Folder { path, otherwise, .. } => {
                if !folder.join(&path).is_dir() {
                    self.add(folder, *otherwise);
                }
                self.near.insert((folder.to_owned(), path.to_string_lossy().into_owned()));
            }
            Source::Found { near, .. } => {
                self.near.extend(near.into_iter().map(|text| (folder.to_owned(), text)));
            }
            Source::Env { .. } | Source::Value { .. } => {}
        }
    }

    /// These files alone.
    pub fn files(files: &[PathBuf]) -> Self {
        Self { paths: files.iter().cloned().collect(), ..Self::default() }
    }

    /// With what another one looks at.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.paths.extend(other.paths.iter().cloned());
        self.patterns.extend(other.patterns.iter().cloned());
        self.near.extend(other.near.iter().cloned());
        self
    }

    /// What there is now. A file that is not there is not in it.
    pub fn look(&self) -> Sight {
        let mut sight = Sight::new();
        for path in &self.paths {
            Look::new(true, &mut sight).see(path, &mut Vec::new());
        }
        for (patterns, hidden) in [(&self.patterns, true), (&self.near, false)] {
            for (folder, pattern) in patterns {
                let mut look = Look::new(hidden, &mut sight);
                for path in expand(folder, pattern).unwrap_or_default() {
                    look.see(&path, &mut Vec::new());
                }
            }
        }
        sight
    }
}

/// A look at a path and all below it.
struct Look<'s> {
    /// How many files and folders are looked at yet.
    left: usize,
    /// Whether those below it count whose names begin with a dot.
    hidden: bool,
    sight: &'s mut Sight,
}

impl<'s> Look<'s> {
    fn new(hidden: bool, sight: &'s mut Sight) -> Self {
        Self { left: MOST, hidden, sight }
    }

    /// `above` are the folders that it is in, wherever links lead: one that leads back up is not followed.
    fn see(&mut self, path: &Path, above: &mut Vec<PathBuf>) {
        let name = path.file_name().unwrap_or_default();
        if self.left == 0 || pipe_cache::is_leaving(name) {
            return;
        }
        self.left -= 1;
        let Ok(meta) = fs::metadata(path) else { return };
        if !meta.is_dir() {
            self.sight.extend(meta.modified().map(|modified| (path.to_owned(), (modified, meta.len()))));
            return;
        }
        let Ok(real) = fs::canonicalize(path) else { return };
        if above.contains(&real) {
            return;
        }
        above.push(real);
        for entry in fs::read_dir(path).into_iter().flatten().filter_map(Result::ok) {
            if self.hidden || !entry.file_name().as_encoded_bytes().starts_with(b".") {
                self.see(&entry.path(), above);
            }
        }
        above.pop();
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn sees(watched: &Watched) -> Vec<String> {
        let mut names: Vec<String> =
            watched.look().keys().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn folders_that_lead_into_each_other_are_looked_at_once_each() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        for folder in [&one, &other] {
            fs::create_dir(folder).unwrap();
            fs::write(folder.join(format!("in_{}", folder.file_name().unwrap().display())), "").unwrap();
        }
        // Without bounds, as many ways as there are numbers of 40 bits.
        for (link, target) in [("up", dir.path()), ("again", &one), ("over", &other)] {
            symlink(target, one.join(link)).unwrap();
        }
        symlink(&one, other.join("back")).unwrap();
        assert_eq!(sees(&Watched::files(&[one])), ["in_one", "in_other", "in_other"], "by `over`, and by `up`");
    }

    #[test]
    fn folders_are_counted_as_files_are() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..20 {
            fs::create_dir_all(dir.path().join(format!("{n}/empty"))).unwrap();
        }
        for (most, left) in [(10, 0), (41, 0), (50, 9)] {
            let mut sight = Sight::new();
            let mut look = Look { left: most, hidden: true, sight: &mut sight };
            look.see(dir.path(), &mut Vec::new());
            assert_eq!(look.left, left, "of {most}");
        }
    }

    #[test]
    fn what_a_search_is_near_is_seen_without_what_is_hidden() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["notes/a.md", "notes/deep/b.md", "notes/.git/x", "c.md", "d.txt", ".e.md"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let near =
            |text: &str| Watched { near: [(dir.path().to_owned(), text.to_owned())].into(), ..Watched::default() };
        for (text, expect) in [
            ("notes", &["a.md", "b.md"][..]),
            ("*.md", &["c.md"]),
            ("**/*.md", &["a.md", "b.md", "c.md"]),
            ("c.md", &["c.md"]),
            ("none", &[]),
        ] {
            assert_eq!(sees(&near(text)), expect, "{text}");
        }
    }
}
