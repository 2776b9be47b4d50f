//! Digests of files and directories outside the store, with a stat cache so that unchanged ones are not read again.
//!
//! A file counts as unchanged while its size, inode, modification and status-change times are those that were noted when it
//! was hashed. As in git, a file that was changed just before it was hashed is not trusted: it might be changed once more
//! within the same tick of the file system's clock, which `stat` would not show.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, Metadata},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rayon::prelude::*;

use crate::{Digest, Hasher, Store, StoreError, error::IoContext, files, fsio, record_log};

/// A source's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceDigest {
    /// Of a file: the digest of its bytes. Of a directory: that of its sorted listing of paths and file digests.
    pub digest: Digest,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that had to be read now, rather than known from the stat cache.
    pub read: u64,
}

/// A tick of fine clocks is at most 10 ms.
const FINE_TICK_NS: i128 = 40_000_000;
/// The coarsest file systems count in two seconds.
const COARSE_TICK_NS: i128 = 2_000_000_000;
/// A fresh file of that size is worth waiting out a fine tick, so that it is not read again the next time.
const LARGE: u64 = 8 << 20;

/// What `stat` says; equal as long as the file was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    inode: u64,
    bytes: u64,
    modified_ns: i128,
    changed_ns: i128,
}

impl Stat {
    const ENCODED: usize = 48;

    fn of(meta: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            inode: meta.ino(),
            bytes: meta.len(),
            modified_ns: ns(meta.mtime(), meta.mtime_nsec()),
            changed_ns: ns(meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// From when on another change would show.
    fn settled_ns(&self) -> i128 {
        let newest = self.modified_ns.max(self.changed_ns);
        newest + if newest % 1_000_000_000 == 0 { COARSE_TICK_NS } else { FINE_TICK_NS }
    }

    fn encode(&self) -> [u8; Self::ENCODED] {
        let mut out = [0; Self::ENCODED];
        out[..8].copy_from_slice(&self.inode.to_le_bytes());
        out[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        out[16..32].copy_from_slice(&self.modified_ns.to_le_bytes());
        out[32..].copy_from_slice(&self.changed_ns.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8; Self::ENCODED]) -> Self {
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let wide = |at: usize| i128::from_le_bytes(bytes[at..at + 16].try_into().expect("16 bytes"));
        Self { inode: word(0), bytes: word(8), modified_ns: wide(16), changed_ns: wide(32) }
    }
}

fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128)
}

/// Digests of files that were settled when they were hashed, by absolute path.
pub(crate) struct StatCache {
    known: HashMap<PathBuf, (Stat, Digest)>,
}

impl StatCache {
    /// Reads the log, or begins it; one with many outdated records is written anew.
    fn load(store: &Store) -> Result<Self, StoreError> {
        let path = store.layout().join("sources");
        let mut known = HashMap::new();
        let mut records = 0;
        let whole = record_log::read(&path, |payload| {
            records += 1;
            let Some((stat, rest)) = payload.split_first_chunk() else { return false };
            let Some((digest, name)) = rest.split_first_chunk() else { return false };
            known.insert(PathBuf::from(OsStr::from_bytes(name)), (Stat::decode(stat), Digest::from_bytes(*digest)));
            true
        })
        .at("read", &path)?;
        let cache = Self { known };
        if !store.read_only() && (!whole || records > 1000 + 2 * cache.known.len()) {
            let mut records: Vec<_> = cache.known.iter().map(|(p, (stat, digest))| record(p, stat, digest)).collect();
            records.sort();
            let bytes = record_log::encode(records.iter().map(Vec::as_slice));
            fsio::replace(&store.session()?.temp(), &path, &bytes)?;
        }
        Ok(cache)
    }
}

fn record(path: &Path, stat: &Stat, digest: &Digest) -> Vec<u8> {
    [stat.encode().as_slice(), digest.as_bytes(), path.as_os_str().as_bytes()].concat()
}

impl Store {
    /// The digest of a file or directory. Touching, moving or linking it does not change it; its content and, in a
    /// directory, the names of files do. Symbolic links are followed.
    pub fn source_digest(&self, path: &Path) -> Result<SourceDigest, StoreError> {
        let path = std::path::absolute(path).at("hash", path)?;
        let meta = fs::metadata(&path).at("hash", &path)?;
        if meta.is_file() {
            return self.digest_of_file(&path, &meta);
        }
        if !meta.is_dir() {
            // A pipe would be waited for without end, and be empty the next time.
            let name = path.display().to_string();
            return Err(StoreError::misuse("hash", name, "it is neither a file nor a directory"));
        }
        let found = files::walk(&path, true).at("hash", &path)?;
        let digests: Vec<SourceDigest> =
            found.par_iter().map(|f| self.digest_of_file(&f.path, &f.meta)).collect::<Result<_, _>>()?;
        let mut hasher = Hasher::new("pipe.source.v1");
        hasher.u64(found.len() as u64);
        for (file, content) in found.iter().zip(&digests) {
            hasher.str(&file.name).digest(&content.digest);
        }
        let sum = |part: fn(&SourceDigest) -> u64| digests.iter().map(part).sum();
        Ok(SourceDigest { digest: hasher.finish(), bytes: sum(|d| d.bytes), read: sum(|d| d.read) })
    }

    fn digest_of_file(&self, path: &Path, meta: &Metadata) -> Result<SourceDigest, StoreError> {
        let stat = Stat::of(meta);
        if let Some(digest) = self.known_digest(path, &stat)? {
            return Ok(SourceDigest { digest, bytes: stat.bytes, read: 0 });
        }
        let wait = stat.settled_ns() - now_ns();
        if stat.bytes >= LARGE && (1..=FINE_TICK_NS).contains(&wait) {
            std::thread::sleep(Duration::from_nanos(wait as u64));
        }
        let begun = now_ns();
        let (digest, bytes) = fsio::hash_file(path).at("hash", path)?;
        if Stat::of(&fs::metadata(path).at("hash", path)?) != stat || bytes != stat.bytes {
            return Err(StoreError::SourceChanged { path: path.to_owned() });
        }
        if begun >= stat.settled_ns() {
            self.note_digest(path, stat, digest)?;
        }
        Ok(SourceDigest { digest, bytes, read: bytes })
    }

    fn known_digest(&self, path: &Path, stat: &Stat) -> Result<Option<Digest>, StoreError> {
        let mut cache = self.stat_cache();
        if cache.is_none() {
            *cache = Some(StatCache::load(self)?);
        }
        let known = cache.as_ref().and_then(|cache| cache.known.get(path));
        Ok(known.filter(|(known, _)| known == stat).map(|(_, digest)| *digest))
    }

    fn note_digest(&self, path: &Path, stat: Stat, digest: Digest) -> Result<(), StoreError> {
        if !self.read_only() {
            let log = self.layout().join("sources");
            record_log::append(&log, [record(path, &stat, &digest).as_slice()]).at("write", &log)?;
        }
        if let Some(cache) = &mut *self.stat_cache() {
            cache.known.insert(path.to_owned(), (stat, digest));
        }
        Ok(())
    }
}
