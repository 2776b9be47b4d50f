//! What is in a store, and what of it is decided to go.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::removed::{Reason, Removable, Removed};
use crate::{
    disk::{
        Manifest,
        manifest::{self, Unreadable},
        paths,
    },
    error::StoreError,
    hash::Digest,
    store::Store,
};

/// Something that can be removed by age or size.
pub(super) struct Item {
    pub what: What,
    pub last_used_ms: u64,
    /// Whether a reference holds it.
    pub reachable: bool,
}

/// What age and size decide on.
#[derive(Clone)]
pub(super) enum What {
    Result(Digest),
    Memo(Digest),
    Work(Digest),
}

/// Something that is decided to go.
pub(super) struct Doomed {
    pub what: What,
    pub bytes: u64,
    pub last_used_ms: u64,
    pub reason: Reason,
    pub record: Value,
}

impl Doomed {
    pub(super) fn removed(&self, what: Removable, path: PathBuf, record: Value) -> Removed {
        let &Self { bytes, last_used_ms, reason, .. } = self;
        Removed { what, path, bytes, last_used_ms, reason, record }
    }
}

/// All that is in the store, and what is to remain of it.
pub(super) struct Census {
    pub manifests: BTreeMap<Digest, Manifest>,
    pub manifest_bytes: HashMap<Digest, u64>,
    pub memos: BTreeMap<Digest, (PathBuf, u64)>,
    pub works: BTreeMap<Digest, (PathBuf, u64)>,
    pub objects: BTreeMap<PathBuf, u64>,
    /// How many remaining manifests name an object.
    pub holders: HashMap<PathBuf, usize>,
    /// A manifest of a newer version: what it names is not known, so no object is an orphan for certain.
    pub future: bool,
    pub doomed: Vec<Doomed>,
}

impl Census {
    pub(super) fn take(store: &Store) -> Result<Self, StoreError> {
        let layout = store.layout();
        let mut census = Self {
            manifests: BTreeMap::new(),
            manifest_bytes: HashMap::new(),
            memos: sized(&layout.join("memo"))?,
            works: sized(&layout.join("work"))?,
            objects: BTreeMap::new(),
            holders: HashMap::new(),
            future: false,
            doomed: Vec::new(),
        };
        for path in paths::list_fanned(&layout.join("manifests"))? {
            match manifest::read(&path) {
                Ok(manifest) => {
                    for object in objects_of(store, &manifest) {
                        *census.holders.entry(object).or_default() += 1;
                    }
                    census.manifest_bytes.insert(manifest.key, paths::size_of(&path));
                    census.manifests.insert(manifest.key, manifest);
                }
                Err(Unreadable::Future(_)) => census.future = true,
                // Damaged ones are for `verify`; what they held is computed again.
                Err(Unreadable::Missing | Unreadable::Damaged(_)) => {}
                Err(Unreadable::Store(e)) => return Err(e),
            }
        }
        for path in paths::list_fanned(&layout.join("objects"))? {
            let bytes = paths::size_of(&path);
            census.objects.insert(path, bytes);
        }
        Ok(census)
    }

    /// A record of a result that came through each memo.
    pub(super) fn records_of_memos(&self) -> HashMap<Digest, Value> {
        let through = |manifest: &Manifest| {
            let recipe = manifest.provenance.recipe.filter(|recipe| self.memos.contains_key(recipe))?;
            Some((recipe, manifest.provenance.record.clone()))
        };
        self.manifests.values().filter_map(through).collect()
    }

    pub(super) fn total(&self) -> u64 {
        let held = |(path, bytes): (&PathBuf, &u64)| if self.holders.contains_key(path) { *bytes } else { 0 };
        self.objects.iter().map(held).sum::<u64>()
            + self.manifest_bytes.values().sum::<u64>()
            + self.memos.values().chain(self.works.values()).map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Decides that something goes; returns the bytes that go with it.
    pub(super) fn doom(&mut self, store: &Store, item: &Item, reason: Reason) -> u64 {
        let mut record = Value::Null;
        let freed = match &item.what {
            What::Result(key) => {
                let Some(mut manifest) = self.manifests.remove(key) else { return 0 };
                record = manifest.provenance.record.take();
                let mut bytes = self.manifest_bytes.remove(key).unwrap_or(0);
                for object in objects_of(store, &manifest) {
                    let holders = self.holders.entry(object.clone()).or_insert(1);
                    *holders -= 1;
                    if *holders == 0 {
                        self.holders.remove(&object);
                        bytes += self.objects.get(&object).copied().unwrap_or(0);
                    }
                }
                bytes
            }
            What::Memo(recipe) => self.memos.remove(recipe).map_or(0, |(_, bytes)| bytes),
            What::Work(key) => self.works.remove(key).map_or(0, |(_, bytes)| bytes),
        };
        let what = item.what.clone();
        self.doomed.push(Doomed { what, bytes: freed, last_used_ms: item.last_used_ms, reason, record });
        freed
    }
}

/// The entries of a directory that are named by digests, with their sizes.
fn sized(dir: &Path) -> Result<BTreeMap<Digest, (PathBuf, u64)>, StoreError> {
    let entries = paths::list(dir)?.into_iter();
    Ok(entries.filter_map(|path| Some((paths::digest_name(&path)?, (path.clone(), paths::size_of(&path))))).collect())
}

pub(super) fn objects_of(store: &Store, manifest: &Manifest) -> BTreeSet<PathBuf> {
    manifest.outputs.iter().map(|o| store.layout().artifact(&o.artifact)).collect()
}
