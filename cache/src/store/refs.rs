//! Names for people: which key a stage of a variant stands at; what they name, gc keeps.
//!
//! `refs/<pipeline>.json` is how the last run left them, `refs/<pipeline>.log` what has changed since: a run notes
//! there what it finds and makes, as it goes, so that its results are held although it may be killed. When it ends, the
//! one is written anew and the other removed.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Store, publish::with_parents};
use crate::{
    disk::{
        checked_json::{self, Broken},
        paths, record_log,
    },
    error::{Damage, IoContext, StoreError, damage},
    hash::{Digest, Hasher},
    share::{Lease, LeaseAttempt, lock, sync::SyncJob},
};

const FORMAT: u32 = 1;
/// Without locks: how long another's change of references is waited for, and how often it is asked for.
const PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(3);

/// What keeps others from changing references.
#[expect(dead_code, reason = "held, not looked at")]
enum RefsLock {
    File(File),
    Lease(Lease),
    /// Somebody else holds it and does not let go.
    Nothing,
}

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

impl RefEntry {
    fn encode(&self) -> Vec<u8> {
        let names = serde_json::to_vec(&(&self.variant, &self.stage)).expect("texts serialise to JSON");
        [self.key.as_bytes().as_slice(), &names].concat()
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let (key, names) = payload.split_first_chunk()?;
        let (variant, stage) = serde_json::from_slice(names).ok()?;
        Some(Self { variant, stage, key: Digest::from_bytes(*key) })
    }
}

/// Points a reference at a key; whether that changed it.
fn point(refs: &mut PipelineRefs, entry: &RefEntry) -> bool {
    let RefEntry { variant, stage, key } = entry;
    if refs.get(variant).and_then(|stages| stages.get(stage)) == Some(key) {
        return false;
    }
    refs.entry(variant.clone()).or_default().insert(stage.clone(), *key);
    true
}

/// What a run changes of the references of a pipeline.
pub struct RefsChange<'a> {
    /// What stages stand at now.
    pub current: &'a [RefEntry],
    /// Stages (variant, stage) that have no result any more for what the pipeline says now.
    pub superseded: &'a [(String, String)],
    /// Whether a stage (variant, stage) is still one of the pipeline's; the references of others are dropped.
    pub belongs: &'a dyn Fn(&str, &str) -> bool,
}

impl RefsChange<'_> {
    /// Returns whether anything changed.
    fn apply(&self, file: &mut RefsFile) -> bool {
        let mut changed = false;
        for refs in [&mut file.refs, &mut file.earlier] {
            for (variant, stages) in refs.iter_mut() {
                let before = stages.len();
                stages.retain(|stage, _| (self.belongs)(variant, stage));
                changed |= stages.len() != before;
            }
        }
        for (variant, stage) in self.superseded {
            if let Some(key) = file.refs.get_mut(variant).and_then(|stages| stages.remove(stage)) {
                file.earlier.entry(variant.clone()).or_default().insert(stage.clone(), key);
                changed = true;
            }
        }
        for entry in self.current {
            changed |= point(&mut file.refs, entry);
            if let Some(stages) = file.earlier.get_mut(&entry.variant) {
                changed |= stages.remove(&entry.stage).is_some();
            }
        }
        file.refs.retain(|_, stages| !stages.is_empty());
        file.earlier.retain(|_, stages| !stages.is_empty());
        changed
    }
}

/// A file of references.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct RefsFile {
    format: u32,
    /// Version 0.1.0 does not write it.
    #[serde(default)]
    pipeline: Option<String>,
    /// What stages stand at.
    pub(crate) refs: PipelineRefs,
    /// What stages without a current result stood at last: kept from gc, and to be compared with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) earlier: PipelineRefs,
    /// The log that is part of it already: one that was not removed, because the process died first, says nothing new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merged: Option<Digest>,
}

/// Notes the references of a pipeline while a run goes on.
pub struct RefLog {
    store: Store,
    pipeline: String,
    /// What stands.
    refs: PipelineRefs,
    /// What others note, too: of several that find the same, one does.
    log: record_log::Follower,
    /// Whether the log was looked at, and can be appended to.
    open: bool,
}

impl RefLog {
    /// Points references at keys, until [`Store::set_refs`] makes it final. Writes nothing where nothing changes.
    pub fn set(&mut self, entries: impl IntoIterator<Item = RefEntry>) -> Result<(), StoreError> {
        self.follow()?;
        let changed = entries.into_iter().filter(|entry| point(&mut self.refs, entry)).map(|entry| entry.encode());
        let records: Vec<Vec<u8>> = changed.collect();
        if records.is_empty() || self.store.read_only() {
            return Ok(());
        }
        let session = self.store.session()?;
        let path = self.store.refs_path(&self.pipeline, "log")?;
        let _lock = self.store.lock_refs()?;
        if !std::mem::replace(&mut self.open, true) {
            let log = read_log(&path)?;
            if log.as_ref().is_some_and(|log| !log.whole) {
                // What is appended to a damaged end would not be read.
                let sound: Vec<_> = log.iter().flat_map(|log| &log.entries).map(RefEntry::encode).collect();
                self.store.no_directory(&path)?;
                paths::replace(&session.temp(), &path, &record_log::encode(sound.iter().map(Vec::as_slice)))?;
            }
        }
        if !path.exists() {
            let temp = session.temp();
            fs::write(&temp, record_log::encode([])).at("write", &temp)?;
            paths::place(&temp, &path).at("write", &path)?;
        }
        record_log::append_alone(&path, records.iter().map(Vec::as_slice)).at("write", &path)?;
        let mut job = SyncJob::default();
        with_parents(&mut job.then, &path);
        self.store.submit_sync(job);
        Ok(())
    }

    fn follow(&mut self) -> Result<(), StoreError> {
        let path = self.store.refs_path(&self.pipeline, "log")?;
        if self.log.is_another(&path).at("read", &path)? {
            // What stood there before is in the file now.
            self.refs = self.store.refs(&self.pipeline)?;
        }
        let followed = self
            .log
            .follow(&path, |payload| RefEntry::decode(payload).map(|entry| point(&mut self.refs, &entry)).is_some());
        followed.at("read", &path)
    }
}

impl Store {
    fn refs_path(&self, pipeline: &str, extension: &str) -> Result<PathBuf, StoreError> {
        if pipeline.is_empty() || pipeline.starts_with('.') || pipeline.contains(['/', '\\', '\0']) {
            let message = "it cannot be the name of a file".to_owned();
            return Err(StoreError::misuse("find the references of pipeline", pipeline, message));
        }
        Ok(self.layout().join("refs").join(format!("{pipeline}.{extension}")))
    }

    /// Held by whoever changes references. Where nobody can be alone, of two runs of one pipeline that end at the same
    /// moment the last one names its keys.
    fn lock_refs(&self) -> Result<RefsLock, StoreError> {
        if !self.layout().locks() {
            let key = Hasher::new("pipe.refs.v1").finish();
            let patience = Instant::now();
            loop {
                match self.try_lease(&key)? {
                    LeaseAttempt::Acquired(lease) => return Ok(RefsLock::Lease(lease)),
                    LeaseAttempt::Held(_) if patience.elapsed() < PATIENCE => std::thread::sleep(POLL),
                    LeaseAttempt::Held(_) => return Ok(RefsLock::Nothing),
                }
            }
        }
        let path = self.layout().join("refs/.lock");
        let file = lock::create(&path).at("open", &path)?;
        lock::exclusive(&file).at("lock", &path)?;
        Ok(RefsLock::File(file))
    }

    /// Begins to note references of a pipeline.
    pub fn ref_log(&self, pipeline: &str) -> Result<RefLog, StoreError> {
        let (refs, log) = (PipelineRefs::new(), record_log::Follower::default());
        Ok(RefLog { store: self.clone(), pipeline: pipeline.to_owned(), refs, log, open: false })
    }

    /// Points references of a pipeline at keys, leaving its others as they are. Costs nearly nothing where nothing
    /// changes.
    pub fn set_refs(&self, pipeline: &str, entries: &[RefEntry]) -> Result<(), StoreError> {
        self.change_refs(pipeline, &RefsChange { current: entries, superseded: &[], belongs: &|_, _| true })
    }

    /// Changes the references of a pipeline. Costs nearly nothing where nothing changes.
    pub fn change_refs(&self, pipeline: &str, change: &RefsChange<'_>) -> Result<(), StoreError> {
        let path = self.refs_path(pipeline, "json")?;
        let log_path = self.refs_path(pipeline, "log")?;
        if !change.apply(&mut self.refs_file(pipeline)?) && !paths::is_there(&log_path) {
            return Ok(());
        }
        let session = self.session()?;
        let _lock = self.lock_refs()?;
        // A file that was missing when this machine looked last.
        self.layout().refresh(&self.layout().join("refs"));
        let mut file = self.refs_file(pipeline)?;
        let log = read_log(&log_path)?;
        if !change.apply(&mut file) && log.is_none() {
            return Ok(());
        }
        let merged = log.map(|log| log.digest);
        let file = RefsFile { format: FORMAT, pipeline: Some(pipeline.to_owned()), merged, ..file };
        paths::replace(&session.temp(), &path, &checked_json::encode(&file))?;
        paths::remove(&log_path).at("remove", &log_path)?;
        let mut job = SyncJob::default();
        with_parents(&mut job.then, &path);
        self.submit_sync(job);
        Ok(())
    }

    /// The references of a pipeline. Damaged ones are quarantined, and set anew by the next run.
    pub fn refs(&self, pipeline: &str) -> Result<PipelineRefs, StoreError> {
        Ok(self.refs_file(pipeline)?.refs)
    }

    /// What the stages of a pipeline that have no current result stood at last.
    pub fn earlier_refs(&self, pipeline: &str) -> Result<PipelineRefs, StoreError> {
        Ok(self.refs_file(pipeline)?.earlier)
    }

    fn refs_file(&self, pipeline: &str) -> Result<RefsFile, StoreError> {
        let path = self.refs_path(pipeline, "json")?;
        match self.read_refs(pipeline)? {
            Ok(file) => Ok(file),
            Err(Broken::Damaged(reason)) => {
                self.quarantine(&path, &reason)?;
                // What the log says stands.
                let log = read_log(&self.refs_path(pipeline, "log")?)?;
                let refs = log.map(|log| log.apply(PipelineRefs::new())).unwrap_or_default();
                Ok(RefsFile { refs, ..RefsFile::default() })
            }
            Err(Broken::Future(format)) => {
                let message = format!("they have format {format}, and this version knows up to {FORMAT}");
                Err(StoreError::misuse("read the references of pipeline", pipeline, message))
            }
        }
    }

    /// The pipelines that have references, sorted.
    pub fn pipelines(&self) -> Result<Vec<String>, StoreError> {
        let name = |p: &PathBuf| {
            let name = p.file_name()?.to_str()?;
            name.strip_suffix(".json").or_else(|| name.strip_suffix(".log")).map(str::to_owned)
        };
        let mut names: Vec<_> = paths::list(&self.layout().join("refs"))?.iter().filter_map(name).collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Reads the references of a pipeline; none at all are the same as empty ones.
    pub(crate) fn read_refs(&self, pipeline: &str) -> Result<Result<RefsFile, Broken>, StoreError> {
        let path = self.refs_path(pipeline, "json")?;
        let file = match fs::read(&path) {
            Ok(bytes) => checked_json::decode::<RefsFile>(&bytes, FORMAT),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(RefsFile { format: FORMAT, ..RefsFile::default() }),
            Err(e) if e.kind() == io::ErrorKind::IsADirectory => Err(Broken::Damaged("it is a directory".to_owned())),
            Err(e) => return Err(StoreError::io("read", &path, e)),
        };
        let file = match file {
            Ok(file) => file,
            Err(broken) => return Ok(Err(broken)),
        };
        if let Some(other) = file.pipeline.as_ref().filter(|name| *name != pipeline) {
            return Ok(Err(Broken::Damaged(format!("they are the references of pipeline `{other}`"))));
        }
        let log = read_log(&self.refs_path(pipeline, "log")?)?.filter(|log| Some(log.digest) != file.merged);
        Ok(Ok(match log {
            Some(log) => log.onto(file),
            None => file,
        }))
    }

    /// What is wrong with the log of a pipeline's references, if anything is.
    pub(crate) fn damage_of_ref_log(&self, pipeline: &str) -> Result<Option<Damage>, StoreError> {
        let path = self.refs_path(pipeline, "log")?;
        let broken = read_log(&path)?.is_some_and(|log| !log.whole);
        Ok(broken.then(|| damage(&path, "its end is damaged")))
    }
}

/// What a log says.
struct Log {
    entries: Vec<RefEntry>,
    /// Whether all of it could be read.
    whole: bool,
    /// Of its bytes.
    digest: Digest,
}

impl Log {
    /// What a run noted stands, and is no longer of an earlier one.
    fn onto(&self, mut file: RefsFile) -> RefsFile {
        file.refs = self.apply(file.refs);
        for entry in &self.entries {
            if let Some(stages) = file.earlier.get_mut(&entry.variant) {
                stages.remove(&entry.stage);
            }
        }
        file
    }

    fn apply(&self, mut refs: PipelineRefs) -> PipelineRefs {
        for entry in &self.entries {
            point(&mut refs, entry);
        }
        refs
    }
}

/// Reads a log; `None` where there is none.
fn read_log(path: &Path) -> Result<Option<Log>, StoreError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => Vec::new(),
        Err(e) => return Err(StoreError::io("read", path, e)),
    };
    let mut entries = Vec::new();
    let whole = record_log::decode(&bytes, |payload| match RefEntry::decode(payload) {
        Some(entry) => {
            entries.push(entry);
            true
        }
        None => false,
    });
    Ok(Some(Log { entries, whole, digest: Digest::of_bytes(&bytes) }))
}
