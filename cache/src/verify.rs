//! Checks everything in the store against its digests.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use crate::{
    ArtifactRef, Damage, Digest, Store, StoreError,
    checked_json::Broken,
    fsio,
    index::Index,
    manifest::{self, Manifest, Unreadable},
    memo::shard,
    read, refs, session,
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
    /// Everything that is not as it should be, by kind and path.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing is damaged (orphans and leftovers are not damage).
    pub fn is_sound(&self) -> bool {
        !self.findings.iter().any(|f| matches!(f, Finding::Damaged { .. }))
    }

    fn damaged(&mut self, damage: Damage, keys: Vec<Digest>) {
        self.findings.push(Finding::Damaged { path: damage.path, reason: damage.reason, keys });
    }
}

/// The objects that manifests name, and the keys that name them. Two manifests may disagree on the size of an object.
type Named = BTreeMap<PathBuf, Vec<(Digest, ArtifactRef)>>;

impl Store {
    /// Reads and checks everything: manifests, objects, memo shards, references; and looks for orphans and leftovers.
    pub fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport, StoreError> {
        if options.repair {
            self.writable("repair", self.layout().root())?;
        }
        let mut report = VerifyReport::default();
        let (named, present) = self.survey(&mut report)?;
        self.verify_objects(&named, &mut report)?;
        if !report.findings.iter().any(|f| matches!(f, Finding::Future { .. })) {
            let orphans = present.into_iter().filter(|path| !named.contains_key(path));
            report.findings.extend(orphans.map(|path| Finding::Orphan { path }));
        }
        self.verify_memos(&mut report)?;
        for path in fsio::list(&self.layout().join("refs"))? {
            if path.extension().is_some_and(|e| e == "json")
                && let Err(Broken::Damaged(reason)) = refs::read_refs(&path)?
            {
                report.damaged(Damage { path, reason }, Vec::new());
            }
        }
        let dead = session::dead(self.layout())?;
        report.findings.extend(dead.into_iter().map(|session| Finding::Leftover { path: session.dir }));
        report.findings.sort();
        if options.repair {
            self.repair(&report)?;
        }
        Ok(report)
    }

    /// Reads all manifests and lists all objects, while no publication is between the two.
    fn survey(&self, report: &mut VerifyReport) -> Result<(Named, BTreeSet<PathBuf>), StoreError> {
        let lock = if self.read_only() { None } else { self.lock(true)? };
        let paths = fsio::list_fanned(&self.layout().join("manifests"))?;
        let read: Vec<Result<Manifest, Unreadable>> = paths.par_iter().map(|path| manifest::read(path)).collect();
        let objects = fsio::list_fanned(&self.layout().join("objects"))?.into_iter().collect();
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
                    report.damaged(damage, fsio::digest_name(&path).into_iter().collect());
                }
                Err(Unreadable::Future(format)) => report.findings.push(Finding::Future { path, format }),
                Err(Unreadable::Store(e)) => return Err(e),
            }
            report.manifests += 1;
        }
        Ok((named, objects))
    }

    fn verify_objects(&self, named: &Named, report: &mut VerifyReport) -> Result<(), StoreError> {
        let named: Vec<_> = named.values().collect();
        let checked: Vec<_> = named
            .par_iter()
            .map(|named| {
                let mut distinct: Vec<&ArtifactRef> = named.iter().map(|(_, artifact)| artifact).collect();
                distinct.dedup();
                distinct.into_iter().try_for_each(|artifact| read::check_object(self.layout(), artifact).map(drop))
            })
            .collect();
        for (named, result) in named.into_iter().zip(checked) {
            report.objects += 1;
            match result {
                Ok(()) => report.bytes += named[0].1.bytes,
                Err(StoreError::Damaged(damage)) => {
                    // Unless gc removed the results in the meantime.
                    let keys = named.iter().map(|(key, _)| *key).filter(|key| self.layout().manifest(key).exists());
                    let keys: BTreeSet<_> = keys.collect();
                    if !keys.is_empty() {
                        report.damaged(damage, keys.into_iter().collect());
                    }
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    fn verify_memos(&self, report: &mut VerifyReport) -> Result<(), StoreError> {
        let mut shards = Vec::new();
        for memo in fsio::list(&self.layout().join("memo"))? {
            shards.extend(shard::list(&memo, "")?);
        }
        let checked: Vec<_> = shards.par_iter().map(|path| (fsio::size_of(path), shard::check(path))).collect();
        for (bytes, result) in checked {
            match result {
                Ok(damage) => {
                    report.shards += 1;
                    report.bytes += bytes;
                    if let Some(damage) = damage {
                        report.damaged(damage, Vec::new());
                    }
                }
                // Merged into another in the meantime.
                Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn repair(&self, report: &VerifyReport) -> Result<(), StoreError> {
        let damaged = report.findings.iter().filter_map(|f| match f {
            Finding::Damaged { path, reason, keys } => Some((path, reason, keys)),
            _ => None,
        });
        let mut any = false;
        for (path, reason, keys) in damaged {
            any = true;
            let quarantine = |path: &Path| self.quarantine(path, reason);
            quarantine(path)?;
            keys.iter().try_for_each(|key| quarantine(&self.layout().manifest(key)))?;
        }
        if any || Index::load(self.layout())?.is_none() {
            let _lock = self.lock(true)?;
            self.rebuild_index()?;
        }
        Ok(())
    }
}
