//! Names for people: which key a stage of a variant stands at, and links to the current objects.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    ArtifactKind, ArtifactRef, Digest, Store, StoreError,
    checked_json::{self, Broken},
    error::IoContext,
    files, fsio,
    publish::with_parents,
    sync::SyncJob,
};

const FORMAT: u32 = 1;

/// variant -> stage -> key.
pub type PipelineRefs = BTreeMap<String, BTreeMap<String, Digest>>;

/// `refs/<pipeline>/<variant>/<stage>` -> key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEntry {
    /// The variant's name.
    pub variant: String,
    /// The stage's name.
    pub stage: String,
    /// The key that it stands at.
    pub key: Digest,
}

/// A link to be made for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultLink {
    /// Where: a path below the results folder, with its extension.
    pub path: PathBuf,
    /// To what.
    pub artifact: ArtifactRef,
}

#[derive(Serialize, Deserialize)]
struct RefsFile {
    format: u32,
    refs: PipelineRefs,
}

impl Store {
    fn refs_path(&self, pipeline: &str) -> Result<PathBuf, StoreError> {
        if pipeline.is_empty() || pipeline.starts_with('.') || pipeline.contains(['/', '\\', '\0']) {
            let message = "it cannot be the name of a file".to_owned();
            return Err(StoreError::misuse("find the references of pipeline", pipeline, message));
        }
        Ok(self.layout().join("refs").join(format!("{pipeline}.json")))
    }

    /// Points references of a pipeline at keys, leaving its others as they are. Costs nearly nothing where nothing changes.
    pub fn set_refs(&self, pipeline: &str, entries: &[RefEntry]) -> Result<(), StoreError> {
        self.change_refs(pipeline, |refs| {
            let mut changed = false;
            for RefEntry { variant, stage, key } in entries {
                if refs.get(variant).and_then(|stages| stages.get(stage)) != Some(key) {
                    refs.entry(variant.clone()).or_default().insert(stage.clone(), *key);
                    changed = true;
                }
            }
            changed
        })
    }

    /// Drops the references of all variants but these, so that gc may collect what only the others named.
    pub fn retain_variants(&self, pipeline: &str, variants: &[impl AsRef<str>]) -> Result<(), StoreError> {
        self.change_refs(pipeline, |refs| {
            let before = refs.len();
            refs.retain(|name, _| variants.iter().any(|v| v.as_ref() == name));
            refs.len() != before
        })
    }

    /// `change` says whether it changed anything.
    fn change_refs(&self, pipeline: &str, change: impl Fn(&mut PipelineRefs) -> bool) -> Result<(), StoreError> {
        let path = self.refs_path(pipeline)?;
        if !change(&mut self.refs(pipeline)?) {
            return Ok(());
        }
        let session = self.session()?;
        let lock_path = self.layout().join("refs/.lock");
        let lock = fs::OpenOptions::new().append(true).create(true).open(&lock_path).at("open", &lock_path)?;
        // Without locks, of two runs of one pipeline that end at the same moment the last one names its keys.
        let _ = lock.lock();
        let mut refs = self.refs(pipeline)?;
        if !change(&mut refs) {
            return Ok(());
        }
        fsio::replace(&session.temp(), &path, &checked_json::encode(&RefsFile { format: FORMAT, refs }))?;
        let mut job = SyncJob::default();
        with_parents(&mut job.then, &path);
        self.submit_sync(job);
        Ok(())
    }

    /// The references of a pipeline. Damaged ones are quarantined, and set anew by the next run.
    pub fn refs(&self, pipeline: &str) -> Result<PipelineRefs, StoreError> {
        let path = self.refs_path(pipeline)?;
        match read_refs(&path)? {
            Ok(refs) => Ok(refs),
            Err(Broken::Damaged(reason)) => {
                self.quarantine(&path, &reason)?;
                Ok(PipelineRefs::new())
            }
            Err(Broken::Future(format)) => {
                let message = format!("they have format {format}, and this version knows up to {FORMAT}");
                Err(StoreError::misuse("read the references of pipeline", pipeline, message))
            }
        }
    }

    /// The pipelines that have references, sorted.
    pub fn pipelines(&self) -> Result<Vec<String>, StoreError> {
        let paths = fsio::list(&self.layout().join("refs"))?;
        let name = |p: &PathBuf| p.file_name()?.to_str()?.strip_suffix(".json").map(str::to_owned);
        Ok(paths.iter().filter_map(name).collect())
    }

    /// Makes links below `results` to current objects: relative symbolic links, or copies where links are not possible.
    /// Links that are right already cost a `readlink` each. Returns how many were made.
    pub fn link_results(&self, results: &Path, links: &[ResultLink]) -> Result<usize, StoreError> {
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

/// Makes or replaces one link. Returns whether it did: a copy that stands in for a link may be right already.
fn make_link(at: &Path, target: &Path, object: &Path, kind: ArtifactKind) -> Result<bool, StoreError> {
    let parent = at.parent().unwrap_or(at);
    fs::create_dir_all(parent).at("create", parent)?;
    let name = at.file_name().unwrap_or_default().to_string_lossy();
    let temp = parent.join(format!(".{name}.{}", std::process::id()));
    fsio::remove(&temp).at("remove", &temp)?;
    match std::os::unix::fs::symlink(target, &temp) {
        Ok(()) => {}
        Err(e) if no_links(&e) && is_copy(at, object) => return Ok(false),
        Err(e) if no_links(&e) => copy(object, &temp, kind).at("copy", at)?,
        Err(e) => return Err(StoreError::io("link", at, e)),
    }
    // A directory cannot be replaced by renaming.
    if fs::symlink_metadata(at).is_ok_and(|m| m.is_dir()) {
        if !at.join(COPY_OF).exists() {
            fsio::remove(&temp).at("remove", &temp)?;
            let message = "a directory that was not made here is in its place; move it away";
            return Err(StoreError::misuse("link result", at.display().to_string(), message));
        }
        fsio::remove(at).at("replace", at)?;
    }
    fs::rename(&temp, at).at("link", at)?;
    Ok(true)
}

/// Reads a references file; none is the same as an empty one.
pub(crate) fn read_refs(path: &Path) -> Result<Result<PipelineRefs, Broken>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(checked_json::decode::<RefsFile>(&bytes, FORMAT).map(|file| file.refs)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Ok(PipelineRefs::new())),
        Err(e) => Err(StoreError::io("read", path, e)),
    }
}

/// `path` as seen from the directory `from`; both absolute.
fn relative(path: &Path, from: &Path) -> PathBuf {
    let (path, from): (Vec<_>, Vec<_>) = (path.components().collect(), from.components().collect());
    let common = path.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    up.chain(path[common..].iter().copied()).collect()
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
            fs::File::options().append(true).open(to)?.set_modified(fs::metadata(object)?.modified()?)
        }
        ArtifactKind::Files => {
            for file in files::walk(object, false)? {
                let target = to.join(&file.name);
                fs::create_dir_all(target.parent().unwrap_or(to))?;
                fs::copy(&file.path, &target)?;
            }
            fs::write(to.join(COPY_OF), object.file_name().unwrap_or_default().as_encoded_bytes())
        }
    }
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
