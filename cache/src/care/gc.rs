//! Garbage collection.
//!
//! What holds what: a result (manifest) holds its objects and the memo that it came through; references hold results,
//! and a run that is going on holds what has been published since it began. Objects that no manifest names are orphans.
//! A memo that no manifest names, or that was opened after all that name it were published, and the work directory of a
//! key that has none, are the unfinished work of a run that was interrupted, and are kept as long as age and size
//! allow.
//!
//! Other processes may run meanwhile. The store's lock keeps publications out between their objects and their manifest;
//! locks on sessions, leases and memos tell the live from the dead. A process that was about to read a result that is
//! collected here finds it missing, and computes it again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::{
    census::{Census, Item, What, objects_of},
    removed::{Reason, Removable, Removed, useless},
};
use crate::{
    disk::{listing, manifest, paths},
    error::{IoContext, StoreError},
    hash::Digest,
    machine,
    memo::{claims, shard},
    share::{LeaseAttempt, lease, session, sync},
    store::{Store, index::Index, manifests_since},
};

/// A large file that nobody has written to for so long is not on its way here any more.
const UNFINISHED: Duration = Duration::from_hours(24);

/// What may go. The default removes only what no run can use again: leftovers of dead processes, orphaned objects,
/// quarantine.
#[derive(Debug, Clone, Default)]
pub struct GcPolicy {
    /// Remove results, memos and unfinished work, least recently used first, until the store is at most this large.
    pub max_bytes: Option<u64>,
    /// Remove results, memos and unfinished work that were not used for so long (uses are known to the day).
    pub max_age: Option<Duration>,
    /// Remove every result that no reference names.
    pub unreachable: bool,
    /// Let `max_bytes` and `max_age` remove also what references name.
    pub even_reachable: bool,
    /// Only report.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Results (manifests).
    pub manifests: usize,
    /// Objects.
    pub objects: usize,
    /// Memos.
    pub memos: usize,
    /// Entries of `tmp/` and leases of dead processes, and work directories.
    pub leftovers: usize,
    /// Quarantined things.
    pub quarantined: usize,
    /// Bytes freed.
    pub freed_bytes: u64,
    /// Bytes of results and memos that remain.
    pub kept_bytes: u64,
    /// Each of them.
    pub removed: Vec<Removed>,
}

/// Without locks, orphans younger than this may belong to a publication that is going on.
const UNLOCKED_GRACE: Duration = Duration::from_hours(24);

fn modified_ms(path: &Path) -> u64 {
    let modified = fs::metadata(path).and_then(|m| m.modified()).ok();
    modified.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |d| d.as_millis() as u64)
}

impl Store {
    /// Collects garbage. Safe while other processes run: what they are publishing stays, and what they lose they
    /// recompute.
    pub fn gc(&self, policy: &GcPolicy) -> Result<GcReport, StoreError> {
        if !policy.dry_run {
            self.writable("collect garbage in", self.layout().root())?;
            if !self.layout().locks() && session::live_since_ms(self.layout(), self.own_session().as_deref())?.is_some()
            {
                let why = "other processes use it, and without locks nothing keeps what they publish just now; wait \
                           for them, and remove what dead ones of other machines left below tmp/";
                return Err(StoreError::misuse(
                    "collect garbage in the store",
                    self.layout().root().display().to_string(),
                    why,
                ));
            }
            // So that this process's uses count, and nothing it published is half durable.
            self.flush()?;
        }
        let mut report = GcReport::default();
        let now_ms = machine::now_ms();
        self.collect_leftovers(policy, &mut report)?;

        let lock = if self.read_only() { None } else { self.lock(true)? };
        let mut census = Census::take(self)?;
        let orphans: BTreeSet<PathBuf> =
            census.objects.keys().filter(|path| !census.holders.contains_key(*path)).cloned().collect();
        let records = census.records_of_memos();
        self.choose(policy, &mut census)?;
        report.kept_bytes = census.total();

        // Manifests first: none may name what is gone.
        let doomed = std::mem::take(&mut census.doomed);
        let mut keys = Vec::new();
        for doomed in &doomed {
            if let What::Result(key) = doomed.what {
                let path = self.layout().manifest(&key);
                remove(&path, policy, &mut report.freed_bytes)?;
                keys.push(key);
                report.manifests += 1;
                report.removed.push(doomed.removed(Removable::Result, path, doomed.record.clone()));
            }
        }
        if !policy.dry_run && !keys.is_empty() {
            self.forget(&keys)?;
        }
        for path in census.objects.keys().filter(|path| !census.holders.contains_key(*path)) {
            let last_used_ms = modified_ms(path);
            let young = || last_used_ms + UNLOCKED_GRACE.as_millis() as u64 > now_ms;
            if census.future || (lock.is_none() && !self.read_only() && young()) {
                continue;
            }
            let before = report.freed_bytes;
            remove(path, policy, &mut report.freed_bytes)?;
            report.objects += 1;
            if orphans.contains(path) {
                let bytes = report.freed_bytes - before;
                report.removed.push(useless(Removable::Object, path.clone(), bytes, last_used_ms));
            }
        }
        drop(lock);

        for doomed in &doomed {
            let (path, count, what, record) = match &doomed.what {
                What::Result(_) => continue,
                What::Memo(recipe) => {
                    let record = records.get(recipe).cloned().unwrap_or_default();
                    (self.layout().memo(recipe), &mut report.memos, Removable::Memo, record)
                }
                What::Work(key) => (self.layout().work(key), &mut report.leftovers, Removable::Work, Value::Null),
            };
            let bytes = paths::size_of(&path);
            if policy.dry_run || self.remove_unused(&doomed.what, &path)? {
                *count += 1;
                report.freed_bytes += bytes;
                report.removed.push(doomed.removed(what, path, record));
            } else {
                report.kept_bytes += bytes;
            }
        }
        Ok(report)
    }

    /// Decides by the policy which results and memos go.
    fn choose(&self, policy: &GcPolicy, census: &mut Census) -> Result<(), StoreError> {
        let mut referenced = HashSet::new();
        for pipeline in self.pipelines()? {
            match self.read_refs(&pipeline)? {
                Ok(file) => {
                    let all = file.refs.into_values().chain(file.earlier.into_values());
                    referenced.extend(all.flat_map(BTreeMap::into_values));
                }
                // What it references is not known: nothing that is named anywhere may go.
                Err(_) => return Ok(()),
            }
        }
        // What a run that is going on has published, and not noted as its own yet.
        let live = session::live_since_ms(self.layout(), self.own_session().as_deref())?.unwrap_or(u64::MAX);
        referenced.extend(census.manifests.keys().filter(|key| modified_ms(&self.layout().manifest(key)) >= live));
        // Which memos are held by references, and when the last result that came through each was published.
        let mut held: HashSet<Digest> = HashSet::new();
        let mut named: HashMap<Digest, u64> = HashMap::new();
        for (key, manifest) in &census.manifests {
            if let Some(recipe) = manifest.provenance.recipe {
                let published = named.entry(recipe).or_default();
                *published = modified_ms(&self.layout().manifest(key)).max(*published);
                if referenced.contains(key) {
                    held.insert(recipe);
                }
            }
        }
        let mut items = self.items(census, &referenced, &held)?;
        items.sort_by_key(|item| item.last_used_ms);
        let mut total = census.total();
        items.retain(|item| {
            let unreachable = match &item.what {
                What::Result(_) => !item.reachable,
                What::Memo(recipe) => {
                    !item.reachable && named.get(recipe).is_some_and(|published| item.last_used_ms <= *published)
                }
                // Of a key that is published: a leftover.
                What::Work(key) => census.manifests.contains_key(key),
            };
            let leftover = matches!(item.what, What::Work(_)) && unreachable;
            let age = Duration::from_millis(machine::now_ms().saturating_sub(item.last_used_ms));
            let old = policy.max_age.is_some_and(|max| age > max) && (policy.even_reachable || !item.reachable);
            let reason = if leftover {
                Some(Reason::Useless)
            } else if policy.unreachable && unreachable {
                Some(Reason::Unreachable)
            } else {
                old.then_some(Reason::Old)
            };
            if let Some(reason) = reason {
                total -= census.doom(self, item, reason);
                return false;
            }
            policy.even_reachable || !item.reachable
        });
        for item in items {
            if policy.max_bytes.is_none_or(|max| total <= max) {
                break;
            }
            total -= census.doom(self, &item, Reason::Room);
        }
        Ok(())
    }

    fn items(
        &self,
        census: &Census,
        referenced: &HashSet<Digest>,
        held: &HashSet<Digest>,
    ) -> Result<Vec<Item>, StoreError> {
        // Other processes have noted uses since this one opened the store.
        let index = Index::load(self.layout())?.unwrap_or_default();
        let day_ms = |key: &Digest| index.entries.get(key).map_or(0, |i| u64::from(i.last_used()) * 86_400_000);
        let results = census.manifests.keys().map(|key| Item {
            what: What::Result(*key),
            last_used_ms: modified_ms(&self.layout().manifest(key)).max(day_ms(key)),
            reachable: referenced.contains(key),
        });
        let memos = census.memos.iter().map(|(recipe, (path, _))| Item {
            what: What::Memo(*recipe),
            last_used_ms: modified_ms(&path.join(shard::LOCK)),
            reachable: held.contains(recipe),
        });
        let works = census.works.iter().map(|(key, (path, _))| Item {
            what: What::Work(*key),
            last_used_ms: paths::list(path)
                .unwrap_or_default()
                .iter()
                .chain([path])
                .map(|p| modified_ms(p))
                .max()
                .unwrap_or(0),
            reachable: false,
        });
        Ok(results.chain(memos).chain(works).collect())
    }

    /// Removes a memo or a work directory, unless a process is using it. Returns whether it did.
    fn remove_unused(&self, what: &What, path: &Path) -> Result<bool, StoreError> {
        match what {
            What::Memo(_) => shard::remove_if_closed(path),
            What::Work(key) => match self.try_lease(key)? {
                LeaseAttempt::Acquired(_lease) => paths::remove(path).at("remove", path).map(|()| true),
                LeaseAttempt::Held(_) => Ok(false),
            },
            What::Result(_) => Ok(false),
        }
    }

    /// Takes keys out of the index, and writes its log anew. The store's lock is held.
    fn forget(&self, keys: &[Digest]) -> Result<(), StoreError> {
        let mut index = Index::load(self.layout())?.unwrap_or_default();
        for key in keys {
            index.entries.remove(key);
        }
        index.write(self.layout(), &*self.session()?)?;
        self.index_mut(|index| keys.iter().for_each(|key| drop(index.entries.remove(key))));
        Ok(())
    }

    /// What dead processes left, and quarantine.
    fn collect_leftovers(&self, policy: &GcPolicy, report: &mut GcReport) -> Result<(), StoreError> {
        let dead = session::dead(self.layout(), !policy.dry_run)?;
        if let Some(since) = dead.iter().map(|d| d.since).min().filter(|_| !policy.dry_run) {
            self.make_durable(since)?;
        }
        for session in dead {
            let bytes = remove(&session.dir, policy, &mut report.freed_bytes)?;
            report.leftovers += 1;
            let since = session.since.duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64);
            report.removed.push(useless(Removable::Leftover, session.dir, bytes, since));
        }
        if !policy.dry_run {
            report.leftovers += claims::sweep(self)?;
            for lease in paths::list(&self.layout().join("leases"))? {
                report.leftovers += usize::from(lease::remove_if_free(&lease, self.lease_by())?);
            }
        }
        // Large files that were not fetched to their ends: who fetches one writes to it all the time.
        for path in paths::list(&self.layout().join("parts"))? {
            let since = modified_ms(&path);
            if machine::now_ms().saturating_sub(since) > UNFINISHED.as_millis() as u64 {
                let bytes = remove(&path, policy, &mut report.freed_bytes)?;
                report.leftovers += 1;
                report.removed.push(useless(Removable::Leftover, path, bytes, since));
            }
        }
        for path in paths::list(&self.layout().join("quarantine"))? {
            let since = modified_ms(&path);
            let bytes = remove(&path, policy, &mut report.freed_bytes)?;
            report.quarantined += 1;
            report.removed.push(useless(Removable::Damaged, path, bytes, since));
        }
        Ok(())
    }

    /// Syncs what was published since then: with the markers of their sessions, nothing would tell any more that it may
    /// not have reached the disk.
    fn make_durable(&self, since: std::time::SystemTime) -> Result<(), StoreError> {
        let manifests = manifests_since(self.layout(), since)?;
        let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
        for path in manifests {
            if let Ok(manifest) = manifest::read(&path) {
                for object in objects_of(self, &manifest) {
                    paths.extend(object.parent().map(Path::to_owned));
                    if object.is_dir() {
                        let files = listing::walk(&object, false, &|_| true).at("list", &object)?;
                        paths.extend(files.into_iter().filter(|f| f.link.is_none()).map(|f| f.path));
                    }
                    paths.insert(object);
                }
            }
            paths.extend(path.parent().map(Path::to_owned));
            paths.insert(path);
        }
        let paths: Vec<_> = paths.into_iter().collect();
        sync::sync_all(paths.iter()).map_err(|(path, e)| StoreError::io("sync", &path, e))
    }
}

/// Removes something, unless this is a dry run; adds its size to `freed`, and returns it.
fn remove(path: &Path, policy: &GcPolicy, freed: &mut u64) -> Result<u64, StoreError> {
    let bytes = paths::size_of(path);
    *freed += bytes;
    if !policy.dry_run {
        paths::remove(path).at("remove", path)?;
    }
    Ok(bytes)
}
