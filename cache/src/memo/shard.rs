//! Shards: the files that memos consist of. A shard is a Parquet table named by the digest of its bytes, so it is either
//! whole or noticed; it is written under `tmp/` and renamed into place, so writers in any processes do not get in each
//! other's way; what several of them wrote about the same row is the same (I11).

use std::{
    collections::VecDeque,
    fs::{self, File},
    path::{Path, PathBuf},
};

use arrow::array::RecordBatch;

use crate::{
    Digest, Store, StoreError,
    error::{Damage, IoContext, wrong_digest},
    fsio, lease,
    publish::with_parents,
    read::{ReadOptions, open_parquet},
    sync::SyncJob,
    table_writer::write_whole,
};

/// The shards of one recipe.
pub(crate) struct ShardDir {
    store: Store,
    dir: PathBuf,
    /// Locked (shared) as long as the memo is open, so that gc leaves it alone.
    _lock: File,
    cache: VecDeque<(PathBuf, RecordBatch)>,
}

/// Decoded shards are kept until they take more than this.
const CACHE_BYTES: usize = 256 << 20;
pub(crate) const LOCK: &str = "lock";

impl ShardDir {
    pub(crate) fn open(store: &Store, recipe: &Digest) -> Result<Self, StoreError> {
        let dir = store.layout().memo(recipe);
        store.writable("open the memo", &dir)?;
        let path = dir.join(LOCK);
        loop {
            fs::create_dir_all(&dir).at("create", &dir)?;
            // Written to, so that the file's age tells when the memo was last used.
            let lock = match fs::write(&path, b"").and_then(|()| File::open(&path)) {
                Ok(lock) => lock,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(StoreError::io("open", &path, e)),
            };
            match lock.lock_shared() {
                Err(e) if !lease::no_locks(&e) => return Err(StoreError::io("lock", &path, e)),
                _ => {}
            }
            // gc may have removed it before we had the lock.
            if path.exists() {
                return Ok(Self { store: store.clone(), dir, _lock: lock, cache: VecDeque::new() });
            }
        }
    }

    /// The shards whose names begin with `prefix`, sorted by name.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
        list(&self.dir, prefix)
    }

    /// The rows of a shard, verified. `None` when it is gone (merged into another) or was damaged (and is quarantined).
    pub(crate) fn read(&mut self, path: &Path) -> Result<Option<RecordBatch>, StoreError> {
        if let Some((_, rows)) = self.cache.iter().find(|(cached, _)| cached == path) {
            return Ok(Some(rows.clone()));
        }
        match check(path) {
            Ok(Some(damage)) => {
                self.store.quarantine(path, &damage.reason)?;
                return Ok(None);
            }
            Ok(None) => {}
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        }
        let rows = match open_parquet(path, &ReadOptions::default()) {
            Ok(table) => table.read_all()?,
            // Merged away since it was checked.
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        self.cache.push_front((path.to_owned(), rows.clone()));
        let mut bytes = 0;
        self.cache.retain(|(_, rows)| {
            let fits = bytes == 0 || bytes + rows.get_array_memory_size() <= CACHE_BYTES;
            bytes += rows.get_array_memory_size();
            fits
        });
        Ok(Some(rows))
    }

    /// Quarantines a shard that is whole but not of the expected shape.
    pub(crate) fn reject(&self, path: &Path, reason: &str) -> Result<(), StoreError> {
        self.store.quarantine(path, reason)
    }

    /// Writes a shard `<prefix><digest>.parquet`.
    pub(crate) fn write(&mut self, prefix: &str, rows: &RecordBatch) -> Result<PathBuf, StoreError> {
        let temp = self.store.session()?.temp();
        let digest = write_whole(&temp, rows)?;
        let path = self.dir.join(format!("{prefix}{digest}.parquet"));
        fsio::rename(&temp, &path).at("write", &path)?;
        let mut job = SyncJob::default();
        with_parents(&mut job.first, &path);
        self.store.submit_sync(job);
        Ok(path)
    }

    /// Removes shards whose rows are in another one now. Who is reading one just now looks for its rows in the others.
    pub(crate) fn remove(&mut self, paths: &[PathBuf]) -> Result<(), StoreError> {
        self.cache.retain(|(cached, _)| !paths.contains(cached));
        paths.iter().try_for_each(|path| fsio::remove(path).at("remove", path))
    }
}

/// The shards in the directory of a recipe.
pub(crate) fn list(dir: &Path, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
    let mut shards = fsio::list(dir)?;
    shards.retain(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n != LOCK && n.starts_with(prefix)));
    Ok(shards)
}

/// What is wrong with a shard's bytes.
pub(crate) fn check(path: &Path) -> Result<Option<Damage>, StoreError> {
    let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
    let Some(expected) = name.get(name.len().saturating_sub(64)..).and_then(|hex| hex.parse().ok()) else {
        return Ok(Some(crate::error::damage(path, "it is not named as a shard")));
    };
    let (found, _) = fsio::hash_file(path).at("read", path)?;
    Ok((found != expected).then(|| wrong_digest(path, &expected, &found)))
}

/// Removes the memo in that directory, unless a process has it open. Returns whether it did.
pub(crate) fn remove_if_closed(dir: &Path) -> Result<bool, StoreError> {
    let lock = match File::open(dir.join(LOCK)) {
        Ok(lock) => lock,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            fsio::remove(dir).at("remove", dir)?;
            return Ok(true);
        }
        Err(e) => return Err(StoreError::io("open", dir, e)),
    };
    if !lease::try_lock(&lock).at("lock", dir)? {
        return Ok(false);
    }
    // The lock first: who opens the memo now sees that it is gone, and begins a new one.
    let path = dir.join(LOCK);
    fsio::remove(&path).at("remove", &path)?;
    for shard in list(dir, "")? {
        fsio::remove(&shard).at("remove", &shard)?;
    }
    // Fails if it was begun anew in the meantime, and then must not succeed.
    let _ = fs::remove_dir(dir);
    Ok(true)
}

/// When to flush by itself.
pub(crate) struct Pace {
    rows: usize,
    since: std::time::Instant,
}

impl Pace {
    const ROWS: usize = 4096;
    const TIME: std::time::Duration = std::time::Duration::from_secs(2);

    pub(crate) fn new() -> Self {
        Self { rows: 0, since: std::time::Instant::now() }
    }

    /// Counts unflushed rows; whether it is time to flush.
    pub(crate) fn due(&mut self, rows: usize) -> bool {
        if self.rows == 0 {
            self.since = std::time::Instant::now();
        }
        self.rows += rows;
        self.rows >= Self::ROWS || self.since.elapsed() >= Self::TIME
    }
}
