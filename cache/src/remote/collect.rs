//! Collecting what nobody needs on a remote, in two phases. What seems useless is marked, with the time; what was
//! marked for longer than the grace period, and still seems useless, is removed. So a machine that pushes while this
//! goes on has time to write the record that needs an object. Times are those of the remote's clock.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Remote, RemoteError, blobs,
    fault::Fault,
    names,
    record::Blob,
    transport::{Content, DELETED_AT_ONCE, Listed},
};
use crate::{
    disk::{ArtifactKind, Manifest, checked_json},
    hash::Digest,
    machine,
};

const FORMAT: u32 = 1;
const MOST_MARKED: u64 = 1 << 30;
/// A file that has been on its way for so long does not arrive any more.
const UNFINISHED_MS: u64 = 24 * 3_600_000;

/// What is useless on a remote.
#[derive(Debug, Clone, Default)]
pub struct CollectPolicy {
    /// Results that were pushed longer ago; `None` keeps all results.
    pub max_age: Option<Duration>,
    /// How long something is marked before it is removed.
    pub grace: Duration,
    /// Keys that stay, however old.
    pub keep: HashSet<Digest>,
    /// Only say what would be done, by this machine's clock: nothing is written.
    pub dry_run: bool,
}

/// What a collection did, or would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    /// Results, objects and packs that were marked now.
    pub marked: u64,
    /// Those that wait for their grace period to end, marked before.
    pub waiting: u64,
    /// Those that were removed.
    pub removed: u64,
    /// Bytes that were removed.
    pub removed_bytes: u64,
    /// Those that stay.
    pub kept: u64,
    /// Bytes that stay, marked ones included.
    pub kept_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Marks {
    format: u32,
    names: Vec<String>,
}

impl Remote {
    /// Marks what is useless, and removes what has been for long enough.
    pub fn collect(&self, policy: &CollectPolicy) -> Result<Collected, RemoteError> {
        self.try_collect(policy).map_err(|fault| RemoteError {
            problem: format!("the remote was not collected: {fault}"),
            help: "`pipe remote check` says what it can do".to_owned(),
        })
    }

    fn try_collect(&self, policy: &CollectPolicy) -> Result<Collected, Fault> {
        // To ask the remote's clock is to write something.
        let now = if policy.dry_run { machine::now_ms() } else { self.remote_now()? };
        let earlier = self.all(names::MARKS)?;
        let mut objects = BTreeMap::new();
        for prefix in [names::RECORDS, names::BLOBS, names::MEMOS] {
            objects.extend(self.all(prefix)?.into_iter().map(|object| (object.name.clone(), object)));
        }
        let useless = self.useless(policy, &objects, now)?;

        let grace = policy.grace.as_millis() as u64;
        let (mut due, mut waiting, mut over) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        for mark in earlier {
            let Some(names) = self.marks(&mark.name)? else { continue };
            if mark.written_ms.saturating_add(grace) <= now {
                // What was written again since is another object.
                let same = |name: &String| objects.get(name).is_some_and(|o| o.written_ms <= mark.written_ms);
                due.extend(names.into_iter().filter(same));
                over.push(mark.name);
            } else {
                waiting.extend(names);
            }
        }
        let gone: Vec<String> = useless.intersection(&due).cloned().collect();
        let fresh: Vec<String> =
            useless.iter().filter(|name| !due.contains(*name) && !waiting.contains(*name)).cloned().collect();
        let removed_bytes = gone.iter().map(|name| objects[name].bytes).sum();
        let collected = Collected {
            marked: fresh.len() as u64,
            waiting: useless.intersection(&waiting).count() as u64,
            removed: gone.len() as u64,
            removed_bytes,
            kept: (objects.len() - gone.len()) as u64,
            kept_bytes: objects.values().map(|object| object.bytes).sum::<u64>() - removed_bytes,
        };
        if policy.dry_run {
            return Ok(collected);
        }
        // Files on their way into a folder whose writer is gone.
        let left = self.all(names::UNFINISHED)?.into_iter();
        let stale = |object: &Listed| object.written_ms.saturating_add(grace.max(UNFINISHED_MS)) < now;
        over.extend(left.filter(stale).map(|object| object.name));
        // Records first (they sort so): nothing is named that is gone.
        for names in gone.chunks(DELETED_AT_ONCE).chain(over.chunks(DELETED_AT_ONCE)) {
            self.line().ask("remove", names::MARKS, |t| t.delete(names))?;
        }
        if !fresh.is_empty() {
            let name = format!("{}{now:015}-{}", names::MARKS, std::process::id());
            let marks = checked_json::encode(&Marks { format: FORMAT, names: fresh });
            self.line().ask("write", &name, |t| t.put(&name, &Content::Bytes(&marks), false))?;
        }
        Ok(collected)
    }

    /// The names of what nobody needs.
    fn useless(
        &self,
        policy: &CollectPolicy,
        objects: &BTreeMap<String, Listed>,
        now: u64,
    ) -> Result<BTreeSet<String>, Fault> {
        let older = |object: &Listed, age: Duration| object.written_ms.saturating_add(age.as_millis() as u64) < now;
        let old = |object: &Listed| policy.max_age.is_some_and(|age| older(object, age));
        let mut useless = BTreeSet::new();
        let mut alive = Alive::default();
        let records = objects.values().filter(|object| object.name.starts_with(names::RECORDS));
        for record in records {
            let Some(key) = digest_in(&record.name) else { continue };
            if old(record) && !policy.keep.contains(&key) {
                useless.insert(record.name.clone());
                continue;
            }
            match self.read_record_and_object(&key) {
                Ok(Some((manifest, object))) => alive.add(&manifest, object.as_ref()),
                // One that nobody can read.
                Ok(None) | Err(Fault::Damaged(_)) => drop(useless.insert(record.name.clone())),
                // Not knowing what it needs, nothing may go.
                Err(fault) => return Err(fault),
            }
        }
        for list in objects.keys().filter(|name| name.ends_with(names::PARTS) && alive.names.contains(*name)) {
            for part in blobs::names_of_parts(self.line(), list)? {
                alive.parts.insert(part);
            }
        }
        for object in objects.values() {
            let name = &object.name;
            let needed = if name.starts_with(names::BLOBS) {
                alive.names.contains(name) || alive.parts.contains(name) || !older(object, policy.grace)
            } else if name.starts_with(names::MEMOS) {
                // Of a memo all goes or nothing: its segments are numbered without a gap.
                let memo = name.rsplit_once('/').map_or("", |(memo, _)| memo);
                let recipe = digest_in(memo);
                let segments = objects.range(format!("{memo}/")..format!("{memo}0"));
                recipe.is_some_and(|recipe| alive.recipes.contains(&recipe))
                    || segments.into_iter().any(|(_, s)| !old(s))
            } else {
                true
            };
            if !needed {
                useless.insert(name.clone());
            }
        }
        Ok(useless)
    }

    /// What the remote's clock says.
    fn remote_now(&self) -> Result<u64, Fault> {
        let seed = format!("{} {} {}", machine::host_name(), std::process::id(), machine::now_ms());
        let name = format!("{}{}", names::CHECKS, Digest::of_bytes(seed.as_bytes()));
        self.line().ask("write", &name, |t| t.put(&name, &Content::Bytes(b"clock"), false))?;
        let written = self.all(names::CHECKS)?.into_iter().find(|object| object.name == name);
        self.line().ask("remove", &name, |t| t.delete(std::slice::from_ref(&name)))?;
        written.map(|object| object.written_ms).ok_or(Fault::Unable("list what was written a moment ago"))
    }

    fn all(&self, prefix: &str) -> Result<Vec<Listed>, Fault> {
        let mut all: Vec<Listed> = Vec::new();
        loop {
            let after = all.last().map(|object| object.name.clone());
            let page = self.line().ask("list", prefix, |t| t.list(prefix, after.as_deref()))?;
            // A server that begins anew with every page would never end.
            if page.is_empty() || page.first().map(|o| &o.name) <= all.last().map(|o| &o.name) {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    fn marks(&self, name: &str) -> Result<Option<Vec<String>>, Fault> {
        let bytes = self.line().small("read", name, MOST_MARKED)?;
        let marks = bytes.and_then(|bytes| checked_json::decode::<Marks>(&bytes, FORMAT).ok());
        Ok(marks.map(|marks| marks.names))
    }
}

/// What surviving results need.
#[derive(Default)]
struct Alive {
    names: HashSet<String>,
    parts: HashSet<String>,
    recipes: HashSet<Digest>,
}

impl Alive {
    fn add(&mut self, manifest: &Manifest, object: Option<&Blob>) {
        self.recipes.extend(manifest.provenance.recipe);
        self.names.extend(object.map(|blob| names::blob(&blob.digest)));
        for output in &manifest.outputs {
            if output.artifact.kind == ArtifactKind::Table {
                self.blob(&output.artifact.object);
            }
            output.files.iter().for_each(|file| self.blob(&file.digest));
        }
    }

    /// A file is one object, or a list of parts.
    fn blob(&mut self, digest: &Digest) {
        self.names.insert(names::blob(digest));
        self.names.insert(names::parts(digest));
    }
}

fn digest_in(name: &str) -> Option<Digest> {
    name.rsplit('/').next()?.parse().ok()
}
