//! Links for people: below the results folder, to the current objects.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Component, Path, PathBuf},
};

use super::Store;
use crate::{
    disk::{ArtifactKind, ArtifactRef, listing, paths},
    error::{IoContext, StoreError},
    machine,
};

/// A link to be made for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultLink {
    /// Where: a path below the results folder, with its extension.
    pub path: PathBuf,
    /// To what.
    pub artifact: ArtifactRef,
}

impl Store {
    /// Removes the links below `folder` that lead into the store and are not `expected` by name, and the folder if it
    /// is empty then. Whatever was not made here stays. Returns how many went.
    pub fn unlink_results(&self, folder: &Path, expected: &dyn Fn(&str) -> bool) -> Result<usize, StoreError> {
        let Ok(root) = self.layout().root().canonicalize() else { return Ok(0) };
        let Ok(folder) = folder.canonicalize() else { return Ok(0) };
        let mut gone = 0;
        sweep(&folder)?;
        for path in paths::list(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // Another process is making a link of it just now.
            if name.starts_with('.') {
                continue;
            }
            let ours = match fs::read_link(&path) {
                // Where the object is gone, the folder that it lay in may be, too: the text of the link must do.
                Ok(target) => lexical(&folder.join(target)).starts_with(&root),
                Err(_) => path.join(COPY_OF).exists(),
            };
            if ours && !expected(&name) {
                paths::remove(&path).at("remove", &path)?;
                gone += 1;
            }
        }
        // Fails where anything is left, and should.
        let _ = fs::remove_dir(&folder);
        Ok(gone)
    }

    /// Makes links below `results` to current objects: relative symbolic links, or copies where links are not possible.
    /// Links that are right already cost a `readlink` each. Returns how many were made.
    pub fn link_results(&self, results: &Path, links: &[ResultLink]) -> Result<usize, StoreError> {
        let made = self.link_more_results(results, links)?;
        let folders: BTreeSet<&Path> = links.iter().filter_map(|link| link.path.parent()).collect();
        folders.into_iter().try_for_each(|folder| sweep(&results.join(folder)))?;
        Ok(made)
    }

    /// The same without looking for what killed processes have left, for results that come one by one.
    pub fn link_more_results(&self, results: &Path, links: &[ResultLink]) -> Result<usize, StoreError> {
        if links.is_empty() {
            return Ok(0);
        }
        fs::create_dir_all(results).at("create", results)?;
        // Both without symbolic links, so that a relative path between them is right.
        let results = results.canonicalize().at("open", results)?;
        let root = self.layout().root().canonicalize().at("open", self.layout().root())?;
        let mut made = 0;
        for link in links {
            if link.path.components().any(|c| !matches!(c, Component::Normal(_))) {
                let name = link.path.display().to_string();
                return Err(StoreError::misuse("link result", name, "it does not lie below the results folder"));
            }
            let object = self.layout().artifact(&link.artifact);
            let object = root.join(object.strip_prefix(self.layout().root()).unwrap_or(&object));
            let at = results.join(&link.path);
            let target = relative(&object, at.parent().unwrap_or(&results));
            if fs::read_link(&at).is_ok_and(|current| current == target) {
                continue;
            }
            made += usize::from(make_link(&at, &target, &object, link.artifact.kind)?);
        }
        Ok(made)
    }
}

/// Removes what processes left in a folder of links that were killed while they made one.
fn sweep(folder: &Path) -> Result<(), StoreError> {
    for path in paths::list(folder)? {
        let process = path.file_name().and_then(|name| name.to_str()).and_then(paths::writer);
        if process.is_some_and(|pid| pid == std::process::id() || !machine::has_process(pid)) {
            paths::remove(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

/// How often a folder of links is made anew that another process has found empty, and removed, before it had its link.
const TRIES: usize = 10;

/// Makes or replaces one link. Returns whether it did: a copy that stands in for a link may be right already.
fn make_link(at: &Path, target: &Path, object: &Path, kind: ArtifactKind) -> Result<bool, StoreError> {
    for _ in 1..TRIES {
        match try_link(at, target, object, kind) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            made => return made,
        }
    }
    try_link(at, target, object, kind)
}

fn try_link(at: &Path, target: &Path, object: &Path, kind: ArtifactKind) -> Result<bool, StoreError> {
    let parent = at.parent().unwrap_or(at);
    fs::create_dir_all(parent).at("create", parent)?;
    let temp = parent.join(paths::unfinished());
    match std::os::unix::fs::symlink(target, &temp) {
        Ok(()) => {}
        Err(e) if no_links(&e) && is_copy(at, object) => return Ok(false),
        Err(e) if no_links(&e) => copy(object, &temp, kind).at("copy", at)?,
        Err(e) => return Err(StoreError::io("link", at, e)),
    }
    // A directory cannot be replaced by renaming.
    if fs::symlink_metadata(at).is_ok_and(|m| m.is_dir()) {
        if !at.join(COPY_OF).exists() {
            paths::remove(&temp).at("remove", &temp)?;
            let message = "a directory that was not made here is in its place; move it away";
            return Err(StoreError::misuse("link result", at.display().to_string(), message));
        }
        paths::remove(at).at("replace", at)?;
    }
    fs::rename(&temp, at).at("link", at)?;
    Ok(true)
}

/// `path` as seen from the directory `from`; both absolute.
fn relative(path: &Path, from: &Path) -> PathBuf {
    let (path, from): (Vec<_>, Vec<_>) = (path.components().collect(), from.components().collect());
    let common = path.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    up.chain(path[common..].iter().copied()).collect()
}

/// The path without `..`, taken by its text.
fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Whether an error says that the file system has no symbolic links (FAT, some network shares).
fn no_links(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

/// In the copy of a files artifact: the name of the object.
const COPY_OF: &str = ".copy-of";

/// Copies an object so that [`is_copy`] knows it again: a table by the object's time, files by a note among them.
fn copy(object: &Path, to: &Path, kind: ArtifactKind) -> io::Result<()> {
    match kind {
        ArtifactKind::Table => {
            fs::copy(object, to)?;
            writable(to)?;
            fs::File::options().append(true).open(to)?.set_modified(fs::metadata(object)?.modified()?)
        }
        ArtifactKind::Files => {
            for file in listing::walk(object, false, &|_| true)? {
                let target = to.join(&file.name);
                fs::create_dir_all(target.parent().unwrap_or(to))?;
                if let Some(link) = &file.link {
                    std::os::unix::fs::symlink(link, &target)?;
                } else {
                    fs::copy(&file.path, &target)?;
                    writable(&target)?;
                }
            }
            fs::write(to.join(COPY_OF), object.file_name().unwrap_or_default().as_encoded_bytes())
        }
    }
}

/// A copy is the reader's, and not read-only as the object is.
fn writable(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o200))
}

fn is_copy(at: &Path, object: &Path) -> bool {
    if let Ok(note) = fs::read(at.join(COPY_OF)) {
        return object.file_name().is_some_and(|name| name.as_encoded_bytes() == note);
    }
    let stat = |p: &Path| fs::metadata(p).and_then(|m| Ok((m.is_file(), m.len(), m.modified()?))).ok();
    stat(at).is_some_and(|copy| copy.0 && Some(copy) == stat(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths() {
        let check = |path: &str, from: &str, expect: &str| {
            assert_eq!(relative(Path::new(path), Path::new(from)), Path::new(expect));
        };
        check("/a/store/x", "/a/results/v", "../../store/x");
        check("/a/x", "/a", "x");
        check("/x", "/a/b", "../../x");
    }

    #[test]
    fn copies_are_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let (object, at) = (dir.path().join("object"), dir.path().join("copy"));
        fs::write(&object, "rows").unwrap();
        assert!(!is_copy(&at, &object));
        copy(&object, &at, ArtifactKind::Table).unwrap();
        assert!(is_copy(&at, &object));
        fs::write(&at, "edit").unwrap();
        assert!(!is_copy(&at, &object));

        let (object, at) = (dir.path().join("objects"), dir.path().join("copies"));
        fs::create_dir_all(object.join("sub")).unwrap();
        fs::write(object.join("sub/file"), "x").unwrap();
        copy(&object, &at, ArtifactKind::Files).unwrap();
        assert!(is_copy(&at, &object) && !is_copy(&at, dir.path()));
        assert_eq!(fs::read(at.join("sub/file")).unwrap(), b"x");
    }
}
