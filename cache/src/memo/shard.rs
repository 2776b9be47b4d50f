//! Shards: the files that memos consist of. A shard is a Parquet table named by the digest of its bytes, so it is
//! either whole or noticed. Its metadata say of which recipe it is, and what its name begins with: in another memo, or
//! under another name, it is damage. (Those of version 0.1.0 do not say it; a memo that has some is written anew when
//! it is opened.) A shard is written under `tmp/` and renamed into place, so writers in any processes do not get in
//! each other's way; what several of them wrote about the same row is the same (I11).

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use arrow::array::RecordBatch;

use crate::{
    disk::{ReadOptions, TableReader, object, open_parquet, paths, write_whole},
    error::{Damage, IoContext, StoreError, damage},
    hash::{Digest, hash_file, wrong_digest},
    remote,
    share::{lock, sync::SyncJob},
    store::{Store, with_parents},
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
        if !store.layout().locks() {
            // What says that it is open.
            store.session()?;
        }
        loop {
            store.make_dir(&dir)?;
            store.no_directory(&path)?;
            // Written to, so that the file's age tells when the memo was last used.
            let lock = match fs::write(&path, b"").and_then(|()| lock::open(&path)) {
                Ok(lock) => lock,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(StoreError::io("open", &path, e)),
            };
            if store.layout().locks() {
                lock::shared(&lock).at("lock", &path)?;
            }
            // gc may have removed it before we had the lock.
            if path.exists() {
                return Ok(Self { store: store.clone(), dir, _lock: lock, cache: VecDeque::new() });
            }
        }
    }

    /// The shards whose names begin with `prefix`, sorted by name.
    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
        self.store.layout().refresh(&self.dir);
        list(&self.dir, prefix)
    }

    /// Whether some shards do not say of which recipe they are.
    pub(crate) fn has_unbound(paths: &[PathBuf]) -> bool {
        // What cannot be opened is noticed when it is read.
        let opened = |path| open_parquet(path, &ReadOptions::default());
        paths.iter().any(|path| opened(path).is_ok_and(|table| table.label().is_none()))
    }

    /// The rows of a shard, verified. `None` when it is gone (merged into another) or was damaged (and is quarantined).
    pub(crate) fn read(&mut self, path: &Path) -> Result<Option<RecordBatch>, StoreError> {
        if let Some((_, rows)) = self.cache.iter().find(|(cached, _)| cached == path) {
            return Ok(Some(rows.clone()));
        }
        let rows = match check(path) {
            Ok(Ok(table)) => table.read_all()?,
            Ok(Err(damage)) => {
                self.store.quarantine(path, &damage.reason)?;
                return Ok(None);
            }
            Err(e) if is_gone(&e) => return Ok(None),
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
        let recipe = self.dir.file_name().unwrap_or_default().to_string_lossy();
        let digest = write_whole(&temp, rows, &label(&recipe, prefix))?;
        let path = self.dir.join(format!("{prefix}{digest}.parquet"));
        object::write_protect(&temp).at("write", &temp)?;
        paths::rename(&temp, &path).at("write", &path)?;
        let mut job = SyncJob::default();
        with_parents(&mut job.first, &path);
        self.store.submit_sync(job);
        Ok(path)
    }

    /// Says that the rows of `old` shards are in `new` ones now, and removes the old.
    pub(crate) fn merged(&mut self, old: &[PathBuf], new: &[PathBuf]) -> Result<(), StoreError> {
        if let Some(recipe) = paths::digest_name(&self.dir) {
            remote::merged(self.store.layout(), &recipe, old, new);
        }
        self.remove(old)
    }

    /// Removes shards whose rows are in another one now. Who is reading one just now looks for its rows in the others.
    pub(crate) fn remove(&mut self, paths: &[PathBuf]) -> Result<(), StoreError> {
        self.cache.retain(|(cached, _)| !paths.contains(cached));
        paths.iter().try_for_each(|path| paths::remove(path).at("remove", path))
    }
}

/// The shards in the directory of a recipe.
pub(crate) fn list(dir: &Path, prefix: &str) -> Result<Vec<PathBuf>, StoreError> {
    let mut shards = paths::list(dir)?;
    shards.retain(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n != LOCK && n.starts_with(prefix)));
    Ok(shards)
}

/// What a shard says of itself.
fn label(recipe: &str, prefix: &str) -> String {
    format!("{recipe}/{prefix}")
}

fn is_gone(e: &StoreError) -> bool {
    matches!(e, StoreError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Opens a shard whose bytes are those that its name promises, and which is of the recipe whose memo it lies in.
pub(crate) fn check(path: &Path) -> Result<Result<TableReader, Damage>, StoreError> {
    let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default();
    let named = name.len().checked_sub(64).and_then(|at| Some((name.get(..at)?, name.get(at..)?.parse().ok()?)));
    let Some((prefix, expected)) = named else {
        return Ok(Err(damage(path, "it is not named as a shard")));
    };
    let found = match hash_file(path) {
        Ok((found, _)) => found,
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => return Ok(Err(damage(path, "it is a directory"))),
        Err(e) => return Err(StoreError::io("read", path, e)),
    };
    if found != expected {
        return Ok(Err(wrong_digest(path, &expected, &found)));
    }
    let table = match open_parquet(path, &ReadOptions::default()) {
        Ok(table) => table,
        Err(StoreError::Table { source, .. }) => return Ok(Err(damage(path, format!("it is no table: {source}")))),
        Err(e) => return Err(e),
    };
    let recipe = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    Ok(match table.label() {
        Some(says) if *says != label(&recipe, prefix) => Err(damage(path, format!("it is the shard {says} of a memo"))),
        _ => Ok(table),
    })
}

/// Removes the memo in that directory, unless a process has it open. Returns whether it did.
pub(crate) fn remove_if_closed(dir: &Path) -> Result<bool, StoreError> {
    let lock = match lock::open(&dir.join(LOCK)) {
        Ok(lock) => lock,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            paths::remove(dir).at("remove", dir)?;
            return Ok(true);
        }
        Err(e) => return Err(StoreError::io("open", dir, e)),
    };
    if !lock::try_exclusive(&lock).at("lock", dir)? {
        return Ok(false);
    }
    // The lock first: who opens the memo now sees that it is gone, and begins a new one.
    let path = dir.join(LOCK);
    paths::remove(&path).at("remove", &path)?;
    for shard in list(dir, "")? {
        paths::remove(&shard).at("remove", &shard)?;
    }
    // Fails if it was begun anew in the meantime, and then must not succeed.
    let _ = fs::remove_dir(dir);
    Ok(true)
}

/// Bounds what waits in memory to be written down. When to write, below that, is for whoever inserts to say.
#[derive(Default)]
pub(crate) struct Pace(usize);

impl Pace {
    const MOST: usize = 4096;

    /// Counts unwritten rows; whether it is time to write them down.
    pub(crate) fn due(&mut self, rows: usize) -> bool {
        self.0 += rows;
        self.0 >= Self::MOST
    }
}
