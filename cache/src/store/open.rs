//! The store itself: opening it, and looking up keys.

mod closing;

use std::{
    collections::HashMap,
    fs::{self, File},
    path::Path,
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard, RwLock};
use rustix::fs::Access;

use super::{
    aside,
    content::StatCache,
    index::{self, Index},
    recover,
};
use crate::{
    disk::{
        Entry, Layout, Manifest, Near,
        manifest::{self, Unreadable},
        object::{self, Stamp},
        paths, record_log,
        stat::{self, Stat},
    },
    error::{Damage, IoContext, StoreError},
    hash::Digest,
    machine::LeaseOwner,
    share::{
        LeaseAttempt, Mount, lease, lock,
        session::Session,
        sync::{SyncJob, Syncer},
    },
};

/// How to open a store.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// Serve hits, write nothing.
    pub read_only: bool,
    /// Do without locks of files: the store lies where they are not seen by other machines. Whoever opens it later does
    /// so, too. What is known to be such a place is found out by itself.
    pub no_locks: bool,
    /// Without locks: after how long without a sign of life a lease is free. All that use a store say the same; 30
    /// seconds if nothing is said.
    pub lease_timeout: Option<Duration>,
}

impl StoreOptions {
    /// For those who only look.
    pub const READ_ONLY: Self = Self { read_only: true, no_locks: false, lease_timeout: None };
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// Its outputs are there.
    Hit(Arc<Entry>),
    /// It has not been computed, or was collected.
    Miss,
    /// It has been computed, but its manifest is unreadable or an object is missing or of the wrong size: compute it
    /// again.
    Damaged(Damage),
    /// Its manifest was written by a newer version: compute it again; publishing keeps the newer manifest in
    /// quarantine.
    Future {
        /// The format of the manifest.
        format: u32,
    },
}

/// An artifact store. Clones share everything; all methods may be called from any thread.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    manifests: Near,
    objects: Near,
    options: StoreOptions,
    index: RwLock<Index>,
    /// Objects whose bytes were verified in this process, and what `stat` said then.
    verified: Mutex<HashMap<Digest, Stamp>>,
    stat_cache: Mutex<Option<StatCache>>,
    syncer: Syncer,
    session: Mutex<Option<Arc<Session>>>,
    recovered: Vec<Damage>,
}

impl Store {
    /// Opens the store below `root`, making it where it is missing. A read-only one that is missing is empty.
    pub fn open(root: impl AsRef<Path>, options: StoreOptions) -> Result<Self, StoreError> {
        let mut layout = Layout::new(root.as_ref())?;
        layout.check_format()?;
        let mut recovered = Vec::new();
        if !options.read_only {
            prepare(&layout)?;
            let mount = Mount::of(layout.root());
            if mount.as_ref().is_some_and(Mount::remembers) {
                layout = layout.with_memory();
            }
            let is_known = || mount.is_some_and(|mount| !mount.locks_reach_others());
            if !layout.no_locks().exists() && (options.no_locks || is_known()) {
                let path = layout.no_locks();
                fs::write(&path, NO_LOCKS).at("write", &path)?;
            }
        }
        if options.no_locks || layout.no_locks().exists() {
            layout = layout.without_locks();
        }
        if !options.read_only {
            recovered = recover::recover(&layout)?;
        }
        let index = Index::load(&layout)?;
        let missing = index.is_none();
        let store = Self {
            inner: Arc::new(Inner {
                manifests: Near::open(&layout.join("manifests")),
                objects: Near::open(&layout.join("objects")),
                layout,
                options,
                index: RwLock::new(index.unwrap_or_default()),
                verified: Mutex::default(),
                stat_cache: Mutex::default(),
                syncer: Syncer::default(),
                session: Mutex::default(),
                recovered,
            }),
        };
        if missing && !store.read_only() {
            store.rebuild_index()?;
        }
        Ok(store)
    }

    /// Whether a folder holds a store, of whatever format.
    pub fn is_at(root: impl AsRef<Path>) -> bool {
        Layout::is_at(root.as_ref())
    }

    /// The paths of this store.
    pub fn layout(&self) -> &Layout {
        &self.inner.layout
    }

    /// Whether nothing may be written.
    pub fn read_only(&self) -> bool {
        self.inner.options.read_only
    }

    /// Results that were dropped when the store was opened, because the machine had gone down before they were on the
    /// disk.
    pub fn recovered(&self) -> &[Damage] {
        &self.inner.recovered
    }

    /// What is known of a key. Costs a few microseconds: a look into the index and a `stat` of the manifest and every
    /// output.
    pub fn lookup(&self, key: &Digest) -> Result<Lookup, StoreError> {
        if let Some(entry) = self.indexed(key) {
            return Ok(Lookup::Hit(entry));
        }
        let path = self.layout().manifest(key);
        let there = Stat::at(&path).at("read", &path)?;
        // What another process has published meanwhile stands in the log, beside all else that it has.
        if there.is_some()
            && self.index_mut(|index| index.follow(self.layout())).is_ok()
            && let Some(entry) = self.indexed(key)
        {
            return Ok(Lookup::Hit(entry));
        }
        // Not in the index, or no longer as the index says: the manifest has the last word.
        let found = if there.is_some() { manifest::read(&path) } else { Err(Unreadable::Missing) };
        let manifest = match found {
            Ok(manifest) => manifest,
            Err(unreadable) => {
                self.index_mut(|index| index.entries.remove(key));
                return match unreadable {
                    Unreadable::Missing => Ok(Lookup::Miss),
                    Unreadable::Damaged(damage) => Ok(Lookup::Damaged(damage)),
                    Unreadable::Future(format) => Ok(Lookup::Future { format }),
                    Unreadable::Store(e) => Err(e),
                };
            }
        };
        for output in &manifest.outputs {
            match object::stat_object(self.layout(), &output.artifact) {
                Ok(()) => {}
                Err(StoreError::Damaged(damage)) => return Ok(Lookup::Damaged(damage)),
                Err(other) => return Err(other),
            }
        }
        Ok(Lookup::Hit(self.index_entry(manifest.entry(), there)))
    }

    /// [`Store::lookup`] by who is about to compute the key: what another machine has published is seen although this
    /// one has looked for it in vain just before.
    pub fn lookup_anew(&self, key: &Digest) -> Result<Lookup, StoreError> {
        let found = self.lookup(key)?;
        if !self.layout().remembers() || matches!(found, Lookup::Hit(_)) {
            return Ok(found);
        }
        self.layout().refresh(self.layout().manifest(key).parent().unwrap_or(self.layout().root()));
        self.lookup(key)
    }

    /// The entry of a key, if the index has one and its manifest and outputs are there as that says.
    fn indexed(&self, key: &Digest) -> Option<Arc<Entry>> {
        let index = self.inner.index.read();
        let indexed = index.entries.get(key)?;
        let is_there = self.inner.manifests.manifest(key) == Some(indexed.manifest)
            && indexed.entry.outputs.iter().all(|(_, artifact)| self.inner.objects.has(artifact));
        is_there.then(|| {
            indexed.touch(index::today());
            indexed.entry.clone()
        })
    }

    /// The whole manifest of a key, or `None` where it has none that can be read.
    pub fn manifest(&self, key: &Digest) -> Result<Option<Manifest>, StoreError> {
        match manifest::read(&self.layout().manifest(key)) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(Unreadable::Store(e)) => Err(e),
            Err(_) => Ok(None),
        }
    }

    /// All keys that have a manifest, sorted.
    pub fn keys(&self) -> Result<Vec<Digest>, StoreError> {
        let paths = paths::list_fanned(&self.layout().join("manifests"))?;
        Ok(paths.iter().filter_map(|path| paths::digest_name(path)).collect())
    }

    /// Takes the lease of a key if nobody holds it. A lease whose owner died is free at once.
    pub fn try_lease(&self, key: &Digest) -> Result<LeaseAttempt, StoreError> {
        let path = self.layout().lease(key);
        self.writable("take the lease", &path)?;
        self.no_directory(&path)?;
        let manifest = self.layout().manifest(key);
        let found = Stat::at(&manifest).at("read", &manifest)?;
        Ok(match lease::try_lease(&path, key, self.lease_by(), self.own_session())? {
            LeaseAttempt::Acquired(mut lease) => {
                lease.found = found;
                LeaseAttempt::Acquired(lease)
            }
            held @ LeaseAttempt::Held(_) => held,
        })
    }

    /// Who holds the lease of a key just now, if anybody does. Nothing is taken.
    pub fn lease_owner(&self, key: &Digest) -> Result<Option<LeaseOwner>, StoreError> {
        let path = self.layout().lease(key);
        if !self.read_only() {
            self.layout().refresh(path.parent().unwrap_or(&path));
        }
        lease::owner(&path, self.lease_by())
    }

    /// How leases are held here.
    pub(crate) fn lease_by(&self) -> lease::By {
        self.inner.lease_by()
    }

    /// Waits until all that was published is on the disk. Publishing returns when a result survives the death of this
    /// process; from here on it survives the death of the machine. Dropping the last clone of the store does it, too.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.inner.log_uses();
        self.inner.syncer.flush()
    }

    /// Refuses to write to a read-only store.
    pub(crate) fn writable(&self, action: &'static str, path: &Path) -> Result<(), StoreError> {
        if self.read_only() { Err(StoreError::ReadOnly { action, path: path.to_owned() }) } else { Ok(()) }
    }

    /// This process's session, begun when it first writes.
    pub(crate) fn session(&self) -> Result<Arc<Session>, StoreError> {
        self.writable("write to", self.layout().root())?;
        let mut session = self.inner.session.lock();
        if let Some(session) = &*session {
            return Ok(session.clone());
        }
        let begun = Arc::new(Session::begin(self.layout(), &self.inner.syncer)?);
        *session = Some(begun.clone());
        Ok(begun)
    }

    /// This process's session, if it has begun.
    pub(crate) fn own_session(&self) -> Option<Arc<Session>> {
        self.inner.session.lock().clone()
    }

    /// Held while objects and the manifest that names them are put in place (shared), or removed by gc (exclusive).
    /// `None` where the file system has no locks; then gc falls back on the age of things.
    pub(crate) fn lock(&self, exclusive: bool) -> Result<Option<File>, StoreError> {
        if !self.layout().locks() {
            return Ok(None);
        }
        let path = self.layout().join("lock");
        let file = lock::create(&path).at("open", &path)?;
        let locked = if exclusive { lock::exclusive(&file) } else { lock::shared(&file) };
        Ok(locked.at("lock", &path)?.then_some(file))
    }

    pub(crate) fn submit_sync(&self, job: SyncJob) {
        self.inner.syncer.submit(job);
    }

    pub(crate) fn verified(&self) -> MutexGuard<'_, HashMap<Digest, Stamp>> {
        self.inner.verified.lock()
    }

    pub(crate) fn stat_cache(&self) -> MutexGuard<'_, Option<StatCache>> {
        self.inner.stat_cache.lock()
    }

    pub(crate) fn index_mut<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.inner.index.write())
    }

    /// Adds an entry to the index, in memory and in the log, with what `stat` said of its manifest before that was
    /// read. The log is only a cache, so failing to write it (the disk is full, or read-only) fails nothing else.
    pub(crate) fn index_entry(&self, entry: Entry, manifest: Option<Stat>) -> Arc<Entry> {
        let Some(manifest) = manifest else { return Arc::new(entry) };
        let day = index::today();
        let later = self.layout().remembers();
        if !self.read_only()
            && !later
            && let Err(error) = Index::log_put(self.layout(), &entry, manifest, day)
        {
            tracing::warn!(%error, "the index was not written");
        }
        self.index_mut(|index| {
            if later {
                index.log_later(entry.key);
            }
            index.insert(entry, manifest, day)
        })
    }

    /// Builds the index from the manifests.
    pub(crate) fn rebuild_index(&self) -> Result<(), StoreError> {
        let mut index = Index::default();
        for path in paths::list_fanned(&self.layout().join("manifests"))? {
            if let (Ok(Some(stat)), Ok(manifest)) = (Stat::at(&path), manifest::read(&path)) {
                let age = (stat::now_ns() - stat.modified_ns).max(0) / 86_400_000_000_000;
                index.insert(manifest.entry(), stat, index::today().saturating_sub(age as u32));
            }
        }
        if index.entries.is_empty() {
            // The common case of a new store is not worth a session.
            let path = self.layout().join("index");
            paths::put_file(&path, &record_log::encode([])).at("write", &path)?;
        } else {
            index.write(self.layout(), &*self.session()?)?;
        }
        self.index_mut(|current| *current = index);
        Ok(())
    }
}

const NO_LOCKS: &str = "Locks of files are not believed in here: they may end at each machine. Remove this file while \
no process uses the store, if that is no longer so.\n";

const CACHEDIR_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
# This directory is a cache of computed results (https://bford.info/cachedir/).\n";

/// Makes the directories of a store that is to be written to, and puts aside what is in the way of what has a fixed
/// name.
fn prepare(layout: &Layout) -> Result<(), StoreError> {
    let top = layout.join("");
    if top.is_dir() && rustix::fs::access(&top, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Err(StoreError::ReadOnly { action: "write to", path: layout.root().to_owned() });
    }
    let held_nothing = paths::list(layout.root())?.is_empty();
    for name in ["objects", "manifests", "memo", "leases", "claims", "refs", "tmp", "quarantine", "logs", "runs"] {
        aside::make_dir(layout, &layout.join(name))?;
    }
    for name in ["index", "sources", "lock", "births", "refs/.lock"] {
        aside::no_directory(layout, &layout.join(name))?;
    }
    let tags = [layout.root().join("CACHEDIR.TAG"), layout.join("CACHEDIR.TAG")];
    if !tags.iter().any(|tag| tag.exists()) {
        // Of a folder that holds other things, too, the store's part alone may be left out of backups.
        let tag = if held_nothing { &tags[0] } else { &tags[1] };
        fs::write(tag, CACHEDIR_TAG).at("write", tag)?;
    }
    Ok(())
}
