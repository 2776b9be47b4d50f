//! Checks everything in the store against its digests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::de::IgnoredAny;

use crate::{
    disk::{
        ArtifactRef, Manifest,
        checked_json::Broken,
        manifest::{self, Unreadable},
        object, paths,
    },
    error::{Damage, StoreError, damage},
    hash::Digest,
    memo::shard,
    share::session,
    store::{StatCache, Store, index::Index},
};

/// How to verify.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Quarantine what is damaged, with the manifests that name it, and rebuild the index.
    pub repair: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Damaged: never served, computed again when needed.
    Damaged {
        /// Which file or directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// The results that need it, sorted.
        keys: Vec<Digest>,
    },
    /// A manifest of a newer version.
    Future {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
    /// It could not be read: whether it is sound is not known.
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// An object that no manifest names: harmless, `gc` removes it.
    Orphan {
        /// The object.
        path: PathBuf,
    },
    /// Left in `tmp/` by a process that died: harmless, `gc` removes it.
    Leftover {
        /// The entry.
        path: PathBuf,
    },
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Manifests read.
    pub manifests: usize,
    /// Objects hashed.
    pub objects: usize,
    /// Memo shards hashed.
    pub shards: usize,
    /// Bytes hashed.
    pub bytes: u64,
    /// Other files read: the index, references, journals, logs, unfinished work.
    pub others: usize,
    /// Everything that is not as it should be, by kind and path.
    pub findings: Vec<Finding>,
    /// What was found and has been put right.
    pub repaired: Vec<Finding>,
}

impl VerifyReport {
    /// Whether all could be read and nothing is damaged, or no longer (orphans and leftovers are not damage).
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|f| matches!(f, Finding::Damaged { .. } | Finding::Unreadable { .. }))
    }

    /// Notes what came of checking something: a damage, or that it cannot be read. Checking goes on.
    fn note(&mut self, path: &Path, result: Result<(), StoreError>, keys: Vec<Digest>) {
        match result {
            Ok(()) => {}
            Err(StoreError::Damaged(damage)) => self.damaged(damage, keys),
            Err(e) => self.findings.push(Finding::Unreadable { path: path.to_owned(), reason: told(&e) }),
        }
    }

    fn damaged(&mut self, damage: Damage, keys: Vec<Digest>) {
        self.findings.push(Finding::Damaged { path: damage.path, reason: damage.reason, keys });
    }
}

/// The objects that manifests name, and the keys that name them. Two manifests may disagree on the size of an object.
type Named = BTreeMap<PathBuf, Vec<(Digest, ArtifactRef)>>;

impl Store {
    /// Reads and checks every file of the store: manifests, objects, memo shards, references, the index and what is
    /// known of sources, journals, logs and unfinished work; and looks for orphans and leftovers.
    pub fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport, StoreError> {
        if options.repair {
            self.writable("repair", self.layout().root())?;
        }
        let mut report = VerifyReport::default();
        let (named, present) = self.survey(&mut report)?;
        self.verify_objects(&named, &mut report);
        if !report.findings.iter().any(|f| matches!(f, Finding::Future { .. })) {
            let orphans = present.into_iter().filter(|path| !named.contains_key(path));
            report.findings.extend(orphans.map(|path| Finding::Orphan { path }));
        }
        self.verify_memos(&mut report);
        self.verify_refs(&mut report)?;
        self.verify_others(&mut report);
        let dead = session::dead(self.layout(), !self.read_only())?;
        report.findings.extend(dead.into_iter().map(|session| Finding::Leftover { path: session.dir }));
        report.findings.sort();
        if options.repair {
            self.repair(&mut report)?;
        }
        Ok(report)
    }

    /// Reads all manifests and lists all objects, while no publication is between the two.
    fn survey(&self, report: &mut VerifyReport) -> Result<(Named, BTreeSet<PathBuf>), StoreError> {
        let lock = if self.read_only() { None } else { self.lock(true)? };
        let paths = self.fanned("manifests", report);
        let read: Vec<Result<Manifest, Unreadable>> = paths.par_iter().map(|path| manifest::read(path)).collect();
        let objects = self.fanned("objects", report).into_iter().collect();
        drop(lock);
        let mut named = Named::new();
        for (path, read) in paths.into_iter().zip(read) {
            match read {
                Ok(manifest) => {
                    for output in &manifest.outputs {
                        let object = self.layout().artifact(&output.artifact);
                        named.entry(object).or_default().push((manifest.key, output.artifact));
                    }
                }
                Err(Unreadable::Missing) => continue,
                Err(Unreadable::Damaged(damage)) => {
                    report.damaged(damage, paths::digest_name(&path).into_iter().collect());
                }
                Err(Unreadable::Future(format)) => report.findings.push(Finding::Future { path, format }),
                Err(Unreadable::Store(e)) => report.note(&path, Err(e), Vec::new()),
            }
            report.manifests += 1;
        }
        Ok((named, objects))
    }

    /// The entries of the directories in a directory; what is no directory there is damage.
    fn fanned(&self, name: &str, report: &mut VerifyReport) -> Vec<PathBuf> {
        let dir = self.layout().join(name);
        let mut found = Vec::new();
        for fan in listed(&dir, report) {
            if fan.is_dir() {
                found.extend(listed(&fan, report));
            } else {
                report.damaged(damage(&fan, "it is not a directory"), Vec::new());
            }
        }
        found
    }

    fn verify_objects(&self, named: &Named, report: &mut VerifyReport) {
        let named: Vec<_> = named.iter().collect();
        let checked: Vec<_> = named
            .par_iter()
            .map(|(_, named)| {
                let mut distinct: Vec<&ArtifactRef> = named.iter().map(|(_, artifact)| artifact).collect();
                distinct.dedup();
                distinct.into_iter().try_for_each(|artifact| object::check_object(self.layout(), artifact).map(drop))
            })
            .collect();
        for ((path, named), result) in named.into_iter().zip(checked) {
            report.objects += 1;
            if result.is_ok() {
                report.bytes += named[0].1.bytes;
                continue;
            }
            // Unless gc removed the results in the meantime.
            let keys = named.iter().map(|(key, _)| *key).filter(|key| self.layout().manifest(key).exists());
            let keys: BTreeSet<_> = keys.collect();
            if !keys.is_empty() {
                report.note(path, result, keys.into_iter().collect());
            }
        }
    }

    fn verify_memos(&self, report: &mut VerifyReport) {
        let mut shards = Vec::new();
        for memo in listed(&self.layout().join("memo"), report) {
            if memo.is_dir() {
                shards.extend(listed(&memo, report).into_iter().filter(|path| !path.ends_with(shard::LOCK)));
            } else {
                report.damaged(damage(&memo, "it is not a directory"), Vec::new());
            }
        }
        let checked: Vec<_> = shards.par_iter().map(|path| (paths::size_of(path), shard::check(path))).collect();
        for (path, (bytes, result)) in shards.iter().zip(checked) {
            // Merged into another in the meantime.
            if result.is_err() && !paths::is_there(path) {
                continue;
            }
            report.shards += 1;
            report.bytes += bytes;
            match result {
                Ok(Ok(_)) => {}
                Ok(Err(damage)) => report.damaged(damage, Vec::new()),
                Err(e) => report.note(path, Err(e), Vec::new()),
            }
        }
    }

    fn verify_refs(&self, report: &mut VerifyReport) -> Result<(), StoreError> {
        for pipeline in self.pipelines()? {
            let path = self.layout().join("refs").join(format!("{pipeline}.json"));
            report.others += 1;
            match self.read_refs(&pipeline) {
                Ok(Ok(_) | Err(Broken::Future(_))) => {}
                Ok(Err(Broken::Damaged(reason))) => report.damaged(Damage { path: path.clone(), reason }, Vec::new()),
                Err(e) => report.note(&path, Err(e), Vec::new()),
            }
            match self.damage_of_ref_log(&pipeline) {
                Ok(damage) => damage.into_iter().for_each(|damage| report.damaged(damage, Vec::new())),
                Err(e) => report.note(&path, Err(e), Vec::new()),
            }
        }
        Ok(())
    }

    /// What is neither a result nor a memo nor a reference.
    fn verify_others(&self, report: &mut VerifyReport) {
        for (name, sound) in [
            ("index", Index::load(self.layout()).map(|index| index.is_some())),
            ("sources", StatCache::check(self.layout())),
        ] {
            let path = self.layout().join(name);
            if paths::is_there(&path) {
                report.others += 1;
                match sound {
                    Ok(true) => {}
                    Ok(false) => report.damaged(damage(&path, "some of its records are damaged"), Vec::new()),
                    Err(e) => report.note(&path, Err(e), Vec::new()),
                }
            }
        }
        for name in ["runs", "logs", "work"] {
            let dir = self.layout().join(name);
            for path in files_below(&dir, report) {
                // The engine writes there as we read: what is gone by now, is.
                let result = read_other(&path);
                if result.is_err() && !paths::is_there(&path) {
                    continue;
                }
                report.others += 1;
                match result {
                    Ok(bytes) => report.bytes += bytes,
                    Err(e) => report.note(&path, Err(e), Vec::new()),
                }
            }
        }
    }

    /// Puts aside what is damaged, with the manifests that need it, and writes the index anew.
    fn repair(&self, report: &mut VerifyReport) -> Result<(), StoreError> {
        let mut left = Vec::new();
        for finding in std::mem::take(&mut report.findings) {
            let Finding::Damaged { path, reason, keys } = &finding else {
                left.push(finding);
                continue;
            };
            // The sound beginning of a log of references goes on to stand.
            let pipeline =
                path.extension().filter(|e| *e == "log").and(path.file_stem()).and_then(|name| name.to_str());
            match pipeline.filter(|_| path.parent() == Some(&self.layout().join("refs"))) {
                Some(pipeline) => self.set_refs(pipeline, &[])?,
                None => self.quarantine(path, reason)?,
            }
            keys.iter().try_for_each(|key| self.quarantine(&self.layout().manifest(key), reason))?;
            report.repaired.push(finding);
        }
        report.findings = left;
        if !report.repaired.is_empty() || Index::load(self.layout())?.is_none() {
            let _lock = self.lock(true)?;
            self.rebuild_index()?;
        }
        Ok(())
    }
}

/// The entries of a directory, sorted; that it cannot be read is noted.
fn listed(dir: &Path, report: &mut VerifyReport) -> Vec<PathBuf> {
    paths::list(dir).unwrap_or_else(|e| {
        report.note(dir, Err(e), Vec::new());
        Vec::new()
    })
}

/// All files below a directory.
fn files_below(dir: &Path, report: &mut VerifyReport) -> Vec<PathBuf> {
    let (dirs, mut files): (Vec<_>, Vec<_>) = listed(dir, report).into_iter().partition(|path| path.is_dir());
    for dir in dirs {
        files.extend(files_below(&dir, report));
    }
    files
}

/// Reads a file of the engine; returns its bytes' number. Of journals (`.jsonl`) every line but the last, which a kill
/// may have cut, has to be JSON; other `.json` files as a whole.
fn read_other(path: &Path) -> Result<u64, StoreError> {
    let is_json = |bytes: &[u8]| serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(StoreError::io("read", path, e)),
    };
    let wrong = |reason: String| Err(StoreError::Damaged(damage(path, reason)));
    let of_runs = path.components().any(|part| part.as_os_str() == "runs");
    match path.extension().and_then(|e| e.to_str()) {
        Some("jsonl") if of_runs => {
            let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            match lines.iter().rev().skip(1).rev().position(|line| !is_json(line)) {
                Some(line) => wrong(format!("its line {} is damaged", line + 1)),
                None => Ok(bytes.len() as u64),
            }
        }
        Some("json") if of_runs && !is_json(&bytes) => wrong("it is not JSON".to_owned()),
        _ => Ok(bytes.len() as u64),
    }
}

/// An error with its causes, in one line.
fn told(e: &dyn std::error::Error) -> String {
    match e.source() {
        Some(cause) => format!("{e}: {}", told(cause)),
        None => e.to_string(),
    }
}
