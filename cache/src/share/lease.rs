//! Leases: at most one process, and one thread of it, computes a key at a time.
//!
//! A lease is a lock on the file `leases/<key>`, which the kernel frees when its owner dies, however it dies. A process
//! that takes many gives one file that it has locked one name after the other.
//!
//! Where locks are missing, or end at each machine, it is the file `leases/<key>.<token>` with a count in it, which its
//! owner raises every few seconds. It is free when its owner is known to be dead, or when somebody who looks again and
//! again has seen no change for a while, by the clock that he has for spans of time: no clock is compared with
//! another's, or with the times of files. Then the next one takes the lease with a higher token. Nobody but its owner
//! and its successor removes such a file, and each removes it by its own name: a process that was stopped, lost its
//! lease meanwhile and goes on cannot remove its successor's. What it publishes cannot replace what its successor has
//! published either (see [`crate::Publication::commit`]).

mod touch;

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use self::touch::{Beat, Beating};
use super::{
    lock,
    session::{Session, SpareLease},
};
use crate::{
    disk::{paths, stat::Stat},
    error::{IoContext, StoreError},
    hash::Digest,
    machine::{self, LeaseOwner, Process},
};

/// How leases are held on a file system.
#[derive(Debug, Clone, Copy)]
pub(crate) enum By {
    /// By locks that all machines see.
    Lock,
    /// By files that owners touch; free after so long without, if that is given.
    Touch(Option<Duration>),
}

/// What a lease's file says.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    owner: Process,
    since_ms: u64,
    /// Grows with every owner of the key.
    #[serde(default)]
    token: u64,
    /// Without locks: how often the owner has touched it. Others see it grow, and look at no clock but their own.
    #[serde(default)]
    beat: u64,
}

/// The outcome of [`crate::Store::try_lease`].
#[derive(Debug)]
pub enum LeaseAttempt {
    /// The caller holds it. Look the key up once more before computing: the last holder may have published it.
    Acquired(Lease),
    /// Somebody else holds it; the owner is `None` while it is being written down.
    Held(Option<LeaseOwner>),
}

/// The right to compute a key, until dropped.
#[derive(Debug)]
pub struct Lease {
    key: Digest,
    path: PathBuf,
    token: u64,
    hold: Hold,
    /// What `stat` said of the key's manifest before the lease was taken: that one may be replaced. One that appears
    /// later is a successor's, however late its owner gets round to publishing.
    pub(crate) found: Option<Stat>,
}

#[derive(Debug)]
enum Hold {
    /// The kernel's lock.
    Lock(File),
    /// The same, on a file that is kept for the next lease; `None` while this one ends.
    Spare(Option<SpareLease>, Arc<Session>),
    /// Touched as long as this lives.
    Touch(Beating),
}

impl Lease {
    /// The key.
    pub fn key(&self) -> &Digest {
        &self.key
    }

    /// The number that grows with every owner of the key.
    pub fn token(&self) -> u64 {
        self.token
    }

    /// Whether nobody has taken it over. Without locks, that happens to a process that was stopped for a while.
    pub fn is_current(&self) -> bool {
        match &self.hold {
            Hold::Lock(file) => is_at(file, &self.path),
            Hold::Spare(spare, _) => spare.as_ref().is_some_and(|spare| is_at(&spare.file, &self.path)),
            Hold::Touch(beating) => !beating.is_lost() && self.path.exists(),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match &mut self.hold {
            // Removed while still held, so that nobody removes a successor's file.
            Hold::Lock(file) if !is_at(file, &self.path) => return,
            Hold::Lock(_) => {}
            Hold::Spare(spare, session) => {
                let Some(spare) = spare.take() else { return };
                // Else it is closed, and its lock with it.
                if is_at(&spare.file, &self.path) && fs::remove_file(&self.path).is_ok() {
                    session.keep_lease(spare);
                }
                return;
            }
            Hold::Touch(beating) => beating.stop(),
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether that path is this file's, and not another's by now.
fn is_at(file: &File, path: &Path) -> bool {
    let stat = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    matches!((fs::metadata(path), file.metadata()), (Ok(there), Ok(here)) if stat(&there) == stat(&here))
}

/// Takes the lease of a key, which is kept in that file, if nobody holds it. `session` is this process's, if it has
/// begun.
pub(crate) fn try_lease(
    path: &Path,
    key: &Digest,
    by: By,
    session: Option<Arc<Session>>,
) -> Result<LeaseAttempt, StoreError> {
    match by {
        By::Touch(timeout) => touch::take(path, key, Beat::of(timeout)),
        By::Lock => match take_lock(path, key, session) {
            Err(e) if lock::unsupported(&e) => touch::take(path, key, Beat::of(None)),
            other => other,
        },
    }
    .at("take the lease", path)
}

/// Gives a file that is locked already the name of a lease. `None` where there is such a name, or files cannot have
/// several: then the one that is there is to be locked.
fn take_spare(path: &Path, key: &Digest, session: Arc<Session>) -> io::Result<Option<Lease>> {
    if paths::is_there(path) {
        return Ok(None);
    }
    let Some(spare) = session.spare_lease()? else { return Ok(None) };
    let token = next_token(None);
    spare.file.set_len(0)?;
    spare.file.write_all_at(&Record::this(token), 0)?;
    if fs::hard_link(&spare.path, path).is_err() {
        session.keep_lease(spare);
        return Ok(None);
    }
    let hold = Hold::Spare(Some(spare), session);
    Ok(Some(Lease { key: *key, path: path.to_owned(), token, hold, found: None }))
}

/// Locks a lease file.
fn take_lock(path: &Path, key: &Digest, session: Option<Arc<Session>>) -> io::Result<LeaseAttempt> {
    if let Some(session) = session
        && let Some(lease) = take_spare(path, key, session)?
    {
        return Ok(LeaseAttempt::Acquired(lease));
    }
    loop {
        let mut file = lock::create(path)?;
        match lock::try_exclusive(&file) {
            Ok(true) => {}
            Ok(false) => return Ok(LeaseAttempt::Held(read(path).map(Record::told))),
            Err(e) => {
                // Without locks it is of no use.
                let _ = fs::remove_file(path);
                return Err(e);
            }
        }
        // The last owner may have removed the file between our opening and locking it; then the lock is on nothing.
        if is_at(&file, path) {
            // What it says is a dead owner's.
            let token = next_token(read(path).map(|record| record.token));
            file.set_len(0)?;
            file.write_all(&Record::this(token))?;
            return Ok(LeaseAttempt::Acquired(Lease {
                key: *key,
                path: path.to_owned(),
                token,
                hold: Hold::Lock(file),
                found: None,
            }));
        }
    }
}

/// Higher than the last one's, also where nothing is left of that.
fn next_token(last: Option<u64>) -> u64 {
    machine::now_ms().max(last.map_or(0, |token| token.saturating_add(1)))
}

impl Record {
    fn this(token: u64) -> Vec<u8> {
        Self::new(token).encode()
    }

    fn new(token: u64) -> Self {
        Self { owner: Process::this().clone(), since_ms: machine::now_ms(), token, beat: 0 }
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data serialises to JSON")
    }

    fn told(self) -> LeaseOwner {
        LeaseOwner { process: Some(Box::new(self.owner)), since_ms: self.since_ms }
    }
}

fn read(file: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Who holds a lease.
pub(crate) fn owner(path: &Path, by: By) -> Result<Option<LeaseOwner>, StoreError> {
    let unknown = || LeaseOwner { process: None, since_ms: 0 };
    let told = |file: &Path| Some(read(file).map_or_else(unknown, Record::told));
    let beat = match by {
        By::Touch(timeout) => Beat::of(timeout),
        By::Lock => match lock::open(path) {
            Ok(file) => match lock::try_exclusive(&file) {
                Ok(true) => return Ok(None),
                Ok(false) => return Ok(told(path)),
                Err(e) if lock::unsupported(&e) => Beat::of(None),
                Err(e) => return Err(StoreError::io("look at the lease", path, e)),
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(StoreError::io("open", path, e)),
        },
    };
    let held = touch::held(path, beat).at("look at the lease", path)?;
    Ok(held.and_then(|file| told(&file)))
}

/// Removes a lease file that nobody holds (its owner died). Returns whether it did.
pub(crate) fn remove_if_free(path: &Path, by: By) -> Result<bool, StoreError> {
    let timeout = if let By::Touch(timeout) = by { timeout } else { None };
    let by_touch = path.extension().is_some();
    let _locked = if by_touch {
        if !touch::is_free(path, Beat::of(timeout)) {
            return Ok(false);
        }
        None
    } else {
        let file = match lock::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(StoreError::io("open", path, e)),
        };
        match lock::try_exclusive(&file) {
            Ok(true) if is_at(&file, path) => Some(file),
            Ok(_) => return Ok(false),
            Err(e) if lock::unsupported(&e) => None,
            Err(e) => return Err(StoreError::io("take the lease", path, e)),
        }
    };
    paths::remove(path).at("remove", path)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
