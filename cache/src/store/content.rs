//! Digests of the content of files and directories outside the store, with a stat cache so that unchanged ones are not
//! read again.
//!
//! A file counts as unchanged while its size, inode, modification and status-change times are those that were noted
//! when it was hashed. As in git, a file that was changed just before it was hashed is not trusted: it might be
//! changed once more within the same tick of the file system's clock, which `stat` would not show.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, Metadata},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rayon::prelude::*;

use super::Store;
use crate::{
    disk::{
        Layout, listing, paths, record_log,
        stat::{self, Stat},
    },
    error::{IoContext, StoreError},
    hash::{Digest, Hasher, hash_file},
};

/// The content of a file or directory outside the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest {
    /// Of a file: the digest of its bytes. Of a directory: that of its sorted listing of paths and file digests.
    pub digest: Digest,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that had to be read now, rather than known from the stat cache.
    pub read: u64,
}

/// A fresh file of that size is worth waiting out a fine tick, so that it is not read again the next time.
const LARGE: u64 = 8 << 20;

/// Digests of files that were settled when they were hashed, by absolute path.
pub(crate) struct StatCache {
    known: HashMap<PathBuf, (Stat, Digest)>,
    /// What the log is to be told when this process is alone there.
    unlogged: Vec<Vec<u8>>,
}

impl StatCache {
    /// Whether all records of the log can be read.
    pub(crate) fn check(layout: &Layout) -> Result<bool, StoreError> {
        let path = layout.join("sources");
        record_log::read(&path, |payload| payload.len() >= Stat::ENCODED + 32).at("read", &path)
    }

    /// Whether there is something to be logged by who is alone there.
    pub(crate) fn has_unlogged(&self) -> bool {
        !self.unlogged.is_empty()
    }

    /// Logs what was not logged yet. To be called by who is alone there.
    pub(crate) fn log_all(&mut self, layout: &Layout) -> Result<(), StoreError> {
        let path = layout.join("sources");
        let records = std::mem::take(&mut self.unlogged);
        record_log::append_alone(&path, records.iter().map(Vec::as_slice)).at("write", &path)
    }

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
        let cache = Self { known, unlogged: Vec::new() };
        if !store.read_only() && (!whole || records > 1000 + 2 * cache.known.len()) {
            let mut records: Vec<_> = cache.known.iter().map(|(p, (stat, digest))| record(p, stat, digest)).collect();
            records.sort();
            let bytes = record_log::encode(records.iter().map(Vec::as_slice));
            paths::replace(&store.session()?.temp(), &path, &bytes)?;
        }
        Ok(cache)
    }
}

fn record(path: &Path, stat: &Stat, digest: &Digest) -> Vec<u8> {
    [stat.encode().as_slice(), digest.as_bytes(), path.as_os_str().as_bytes()].concat()
}

/// Whether a file or directory of that name was left by a program that reads what lies beside it: compiled code,
/// caches, what desktops note about folders. It appears when a stage has run, and no result depends on it.
pub fn is_leaving(name: &OsStr) -> bool {
    const NAMES: [&str; 10] = [
        "__pycache__",
        ".pytest_cache",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
        ".ipynb_checkpoints",
        ".Rhistory",
        ".RData",
        ".DS_Store",
        "Thumbs.db",
    ];
    let name = name.as_bytes();
    // `.pyc.123` is one that is being written; `$py.class` is Jython's, `.nbi` and `.nbc` are Numba's.
    let compiled: [&[u8]; 5] = [b".pyc", b".pyo", b"$py.class", b".nbi", b".nbc"];
    NAMES.iter().any(|known| known.as_bytes() == name)
        || compiled.iter().any(|end| name.ends_with(end))
        || is_half_written(name)
}

/// `module.cpython-312.pyc.140234`.
fn is_half_written(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    digits > 0 && name[..name.len() - digits].ends_with(b".pyc.")
}

impl Store {
    /// The digest of a file or directory. Touching, moving or linking it does not change it; its content and, in a
    /// directory, the names of files do, apart from what programs leave there ([`is_leaving`]). Symbolic links are
    /// followed.
    pub fn content_digest(&self, path: &Path) -> Result<ContentDigest, StoreError> {
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
        let found = listing::walk(&path, true, &|name| !is_leaving(name)).at("hash", &path)?;
        let digests: Vec<ContentDigest> =
            found.par_iter().map(|f| self.digest_of_file(&f.path, &f.meta)).collect::<Result<_, _>>()?;
        let mut hasher = Hasher::new("pipe.source.v1");
        hasher.u64(found.len() as u64);
        for (file, content) in found.iter().zip(&digests) {
            hasher.str(&file.name).digest(&content.digest);
        }
        let sum = |part: fn(&ContentDigest) -> u64| digests.iter().map(part).sum();
        Ok(ContentDigest { digest: hasher.finish(), bytes: sum(|d| d.bytes), read: sum(|d| d.read) })
    }

    fn digest_of_file(&self, path: &Path, meta: &Metadata) -> Result<ContentDigest, StoreError> {
        let stat = Stat::of(meta);
        if let Some(digest) = self.known_digest(path, &stat)? {
            return Ok(ContentDigest { digest, bytes: stat.bytes, read: 0 });
        }
        let wait = stat.settled_ns() - stat::now_ns();
        if stat.bytes >= LARGE && (1..=stat::FINE_TICK_NS).contains(&wait) {
            std::thread::sleep(Duration::from_nanos(wait as u64));
        }
        let begun = stat::now_ns();
        let (digest, bytes) = hash_file(path).at("hash", path)?;
        if Stat::of(&fs::metadata(path).at("hash", path)?) != stat || bytes != stat.bytes {
            return Err(StoreError::ContentChanged { path: path.to_owned() });
        }
        if begun >= stat.settled_ns() {
            self.note_digest(path, stat, digest)?;
        }
        Ok(ContentDigest { digest, bytes, read: bytes })
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
        let later = self.layout().remembers();
        if !self.read_only() && !later {
            let log = self.layout().join("sources");
            record_log::append(&log, [record(path, &stat, &digest).as_slice()]).at("write", &log)?;
        }
        if let Some(cache) = &mut *self.stat_cache() {
            if later {
                cache.unlogged.push(record(path, &stat, &digest));
            }
            cache.known.insert(path.to_owned(), (stat, digest));
        }
        Ok(())
    }
}
