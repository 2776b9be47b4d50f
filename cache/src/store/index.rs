//! The index: what lookups need of the manifests, loaded in one read. It is only a cache: an entry is used as long as
//! `stat` says of its manifest what it said when that was read; keys that it lacks are looked for in `manifests/`, and
//! when it is missing or damaged it is built from there.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    disk::{ArtifactKind, ArtifactRef, Entry, Layout, paths, record_log, stat::Stat},
    error::{IoContext, StoreError},
    hash::Digest,
    machine,
    share::session::Session,
};

/// Days since 1970: how finely the last use of a result is known.
pub(crate) fn today() -> u32 {
    (machine::now_ms() / 86_400_000) as u32
}

/// An entry, the day it was last used according to the log, and the day it was last used in this process.
pub(crate) struct Indexed {
    pub(crate) entry: Arc<Entry>,
    /// Of the manifest that the entry is from.
    pub(crate) manifest: Stat,
    logged_day: AtomicU32,
    used_day: AtomicU32,
}

impl Indexed {
    fn new(entry: Entry, manifest: Stat, day: u32) -> Self {
        Self { entry: Arc::new(entry), manifest, logged_day: day.into(), used_day: day.into() }
    }

    /// Notes a use.
    pub(crate) fn touch(&self, day: u32) {
        self.used_day.store(day, Ordering::Relaxed);
    }

    /// Notes a use that the log has.
    fn touched(&self, day: u32) {
        self.logged_day.store(day, Ordering::Relaxed);
        self.used_day.fetch_max(day, Ordering::Relaxed);
    }

    /// The day of the last use.
    pub(crate) fn last_used(&self) -> u32 {
        self.used_day.load(Ordering::Relaxed)
    }
}

/// The index in memory.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) entries: HashMap<Digest, Indexed>,
    log: record_log::Follower,
    /// What the log is to be told when this process is alone there.
    unlogged: BTreeSet<Digest>,
}

/// What entries of version 0.1.0 begin with. They say nothing of their manifests, which are read when their keys are
/// looked up.
const EARLIER: u8 = b'P';

/// The records of the log.
enum Record {
    Put(Entry, Stat, u32),
    Used(Digest, u32),
}

impl Record {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(240);
        match self {
            Self::Put(entry, manifest, day) => {
                out.push(b'M');
                out.extend_from_slice(entry.key.as_bytes());
                out.extend_from_slice(&manifest.encode());
                out.extend_from_slice(&day.to_le_bytes());
                out.extend_from_slice(&entry.seconds.to_le_bytes());
                for (port, a) in &entry.outputs {
                    out.extend_from_slice(&(port.len() as u32).to_le_bytes());
                    out.extend_from_slice(port.as_bytes());
                    out.push(match a.kind {
                        ArtifactKind::Table => b't',
                        ArtifactKind::Files => b'f',
                    });
                    out.extend_from_slice(a.digest.as_bytes());
                    out.extend_from_slice(a.object.as_bytes());
                    out.extend_from_slice(&a.bytes.to_le_bytes());
                    out.extend_from_slice(&a.rows.to_le_bytes());
                }
            }
            Self::Used(key, day) => {
                out.push(b'U');
                out.extend_from_slice(key.as_bytes());
                out.extend_from_slice(&day.to_le_bytes());
            }
        }
        out
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor(payload);
        let tag = cursor.array::<1>()?[0];
        let key = Digest::from_bytes(cursor.array()?);
        Some(match tag {
            b'M' => {
                let manifest = Stat::decode(&cursor.array()?);
                let day = u32::from_le_bytes(cursor.array()?);
                let seconds = f64::from_le_bytes(cursor.array()?);
                let mut outputs = Vec::new();
                while !cursor.0.is_empty() {
                    let length = u32::from_le_bytes(cursor.array()?) as usize;
                    let port = std::str::from_utf8(cursor.slice(length)?).ok()?.to_owned();
                    let kind = match cursor.array()? {
                        [b't'] => ArtifactKind::Table,
                        [b'f'] => ArtifactKind::Files,
                        _ => return None,
                    };
                    let digest = Digest::from_bytes(cursor.array()?);
                    let object = Digest::from_bytes(cursor.array()?);
                    let bytes = u64::from_le_bytes(cursor.array()?);
                    let rows = u64::from_le_bytes(cursor.array()?);
                    outputs.push((port, ArtifactRef { kind, digest, object, bytes, rows }));
                }
                Self::Put(Entry { key, outputs, seconds }, manifest, day)
            }
            b'U' => Self::Used(key, u32::from_le_bytes(cursor.array()?)),
            _ => return None,
        })
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }
}

impl Index {
    /// Reads the log. `None` when it is missing or damaged.
    pub(crate) fn load(layout: &Layout) -> Result<Option<Self>, StoreError> {
        let path = layout.join("index");
        let mut index = Self::default();
        let whole = record_log::read(&path, |payload| match Record::decode(payload) {
            Some(record) => {
                index.apply(record);
                true
            }
            None => payload.first() == Some(&EARLIER),
        })
        .at("read", &path)?;
        Ok(whole.then_some(index))
    }

    /// Reads what other processes have added to the log since the last time.
    pub(crate) fn follow(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let path = layout.join("index");
        let mut log = std::mem::take(&mut self.log);
        let followed = log.follow(&path, |payload| {
            Record::decode(payload).map(|record| self.apply(record)).is_some() || payload.first() == Some(&EARLIER)
        });
        self.log = log;
        followed.at("read", &path)
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Put(entry, manifest, day) => {
                self.unlogged.remove(&entry.key);
                match self.entries.get(&entry.key) {
                    Some(indexed) if indexed.manifest == manifest => indexed.touched(day),
                    _ => drop(self.entries.insert(entry.key, Indexed::new(entry, manifest, day))),
                }
            }
            Record::Used(key, day) => {
                if let Some(indexed) = self.entries.get(&key) {
                    indexed.touched(day);
                }
            }
        }
    }

    /// Adds an entry in memory.
    pub(crate) fn insert(&mut self, entry: Entry, manifest: Stat, day: u32) -> Arc<Entry> {
        let key = entry.key;
        let indexed = Indexed::new(entry, manifest, day);
        let entry = indexed.entry.clone();
        self.entries.insert(key, indexed);
        entry
    }

    /// Adds an entry to the log.
    pub(crate) fn log_put(layout: &Layout, entry: &Entry, manifest: Stat, day: u32) -> Result<(), StoreError> {
        let path = layout.join("index");
        record_log::append(&path, [Record::Put(entry.clone(), manifest, day).encode().as_slice()]).at("write", &path)
    }

    /// Has the log told of an entry later, by [`Index::log_all`].
    pub(crate) fn log_later(&mut self, key: Digest) {
        self.unlogged.insert(key);
    }

    /// Whether there is something to be logged by who is alone there.
    pub(crate) fn has_unlogged(&self) -> bool {
        let is_new = |indexed: &Indexed| indexed.logged_day.load(Ordering::Relaxed) != indexed.last_used();
        !self.unlogged.is_empty() || self.entries.values().any(is_new)
    }

    /// Logs all that others have not logged meanwhile. To be called by who is alone there.
    pub(crate) fn log_all(&mut self, layout: &Layout) -> Result<(), StoreError> {
        self.follow(layout)?;
        let mut records = Vec::new();
        for key in std::mem::take(&mut self.unlogged) {
            if let Some(indexed) = self.entries.get(&key) {
                records.push(Record::Put((*indexed.entry).clone(), indexed.manifest, indexed.last_used()).encode());
                indexed.touched(indexed.last_used());
            }
        }
        records.extend(self.uses());
        let path = layout.join("index");
        record_log::append_alone(&path, records.iter().map(Vec::as_slice)).at("write", &path)
    }

    /// Logs the uses of this process that the log does not know to the day.
    pub(crate) fn log_uses(&self, layout: &Layout) -> Result<(), StoreError> {
        let path = layout.join("index");
        record_log::append(&path, self.uses().iter().map(Vec::as_slice)).at("write", &path)
    }

    fn uses(&self) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        let mut keys: Vec<_> = self.entries.keys().collect();
        keys.sort();
        for key in keys {
            let indexed = &self.entries[key];
            let day = indexed.last_used();
            if indexed.logged_day.swap(day, Ordering::Relaxed) != day {
                records.push(Record::Used(*key, day).encode());
            }
        }
        records
    }

    /// Writes the whole log anew. The caller holds the store's lock exclusively, or the log is missing or damaged.
    pub(crate) fn write(&self, layout: &Layout, session: &Session) -> Result<(), StoreError> {
        let mut keys: Vec<_> = self.entries.keys().collect();
        keys.sort();
        let records: Vec<_> = keys
            .iter()
            .map(|key| {
                let indexed = &self.entries[key];
                Record::Put((*indexed.entry).clone(), indexed.manifest, indexed.last_used()).encode()
            })
            .collect();
        let bytes = record_log::encode(records.iter().map(Vec::as_slice));
        paths::replace(&session.temp(), &layout.join("index"), &bytes)
    }
}
