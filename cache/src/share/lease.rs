//! Leases: at most one process, and one thread of it, computes a key at a time.
//!
//! A lease is a lock on the file `leases/<key>`, which the kernel frees when its owner dies, however it dies.
//!
//! On file systems without such locks it is the file `leases/<key>.<token>`, which its owner touches every few seconds.
//! It is free when its owner is known to be dead, or has not touched it for a while; then the next one takes the lease
//! with a higher token. Nobody but its owner and its successor removes such a file, and each removes it by its own
//! name: a process that was stopped, lost its lease meanwhile and goes on cannot remove its successor's. What it
//! publishes cannot replace what its successor has published either (see [`crate::Publication::commit`]).

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use super::lock;
use crate::{
    disk::{paths, stat::Stat},
    error::{IoContext, StoreError},
    hash::Digest,
    machine::{self, LeaseOwner, Process},
};

/// Without locks: how often an owner touches its lease, and after how long without a touch it is free.
#[derive(Debug, Clone, Copy)]
struct Beat {
    every: Duration,
    stale: Duration,
}

const BEAT: Beat = Beat { every: Duration::from_secs(5), stale: Duration::from_secs(30) };

/// What a lease's file says.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    owner: Process,
    since_ms: u64,
    /// Grows with every owner of the key.
    #[serde(default)]
    token: u64,
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
    /// The thread that touches the file, until the sender is dropped.
    Heartbeat(Option<(mpsc::Sender<()>, JoinHandle<()>)>),
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
            Hold::Heartbeat(_) => self.path.exists(),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match &mut self.hold {
            // Removed while still held, so that nobody removes a successor's file.
            Hold::Lock(file) if !is_at(file, &self.path) => return,
            Hold::Lock(_) => {}
            Hold::Heartbeat(thread) => {
                if let Some((stop, thread)) = thread.take() {
                    drop(stop);
                    let _ = thread.join();
                }
            }
        }
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether that path is this file's, and not another's by now.
fn is_at(file: &File, path: &Path) -> bool {
    let stat = |meta: &fs::Metadata| (meta.dev(), meta.ino());
    matches!((fs::metadata(path), file.metadata()), (Ok(there), Ok(here)) if stat(&there) == stat(&here))
}

/// Takes the lease of a key, which is kept in that file, if nobody holds it.
pub(crate) fn try_lease(path: &Path, key: &Digest) -> Result<LeaseAttempt, StoreError> {
    match take_lock(path, key) {
        Err(e) if lock::unsupported(&e) => take_by_existence(path, key, BEAT),
        other => other,
    }
    .at("take the lease", path)
}

/// Locks a lease file.
fn take_lock(path: &Path, key: &Digest) -> io::Result<LeaseAttempt> {
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

/// Takes a lease that consists in the existence of `<path>.<token>`.
fn take_by_existence(path: &Path, key: &Digest, beat: Beat) -> io::Result<LeaseAttempt> {
    let held = |file: &Path| Ok(LeaseAttempt::Held(read(file).map(Record::told)));
    let before = tokens(path)?;
    if let Some((file, _)) = before.iter().find(|(file, _)| !is_free(file, beat.stale)) {
        return held(file);
    }
    // Of several who find the last owner gone, one alone makes the file of the next token.
    let token = next_token(before.iter().map(|(_, token)| *token).max());
    let ours = name_of(path, token);
    let mut file = match File::create_new(&ours) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return held(&ours),
        Err(e) => return Err(e),
    };
    file.write_all(&Record::this(token))?;
    // Of those who found none at all, each has made one of its own: who sees another's, gives way. So does one that was
    // stopped here for so long that its own has been taken over.
    let now = tokens(path)?;
    let rival = now.iter().find(|(file, _)| *file != ours && !is_free(file, beat.stale));
    if rival.is_some() || now.iter().all(|(file, _)| *file != ours) {
        paths::remove(&ours)?;
        return Ok(LeaseAttempt::Held(rival.and_then(|(file, _)| read(file)).map(Record::told)));
    }
    for (old, _) in before {
        paths::remove(&old)?;
    }
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(beat.every) == Err(RecvTimeoutError::Timeout) {
            let _ = file.set_modified(SystemTime::now());
        }
    });
    Ok(LeaseAttempt::Acquired(Lease {
        key: *key,
        path: ours,
        token,
        hold: Hold::Heartbeat(Some((stop, thread))),
        found: None,
    }))
}

fn name_of(path: &Path, token: u64) -> PathBuf {
    path.with_extension(format!("{token:020}"))
}

/// The files of a lease by existence, with their tokens.
fn tokens(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path.parent().unwrap_or(path))? {
        let file = entry?.path();
        let token = file.extension().and_then(|e| e.to_str()).and_then(|e| e.parse().ok());
        if let Some(token) = token.filter(|_| file.with_extension("") == path) {
            found.push((file, token));
        }
    }
    Ok(found)
}

/// Whether the owner of a lease by existence is dead, or has not touched it for too long.
fn is_free(file: &Path, stale: Duration) -> bool {
    let Ok(touched) = fs::metadata(file).and_then(|meta| meta.modified()) else { return true };
    let alive = read(file).and_then(|record| record.owner.lives());
    alive == Some(false) || touched.elapsed().is_ok_and(|age| age > stale)
}

impl Record {
    fn this(token: u64) -> Vec<u8> {
        let record = Self { owner: Process::this(), since_ms: machine::now_ms(), token };
        serde_json::to_vec(&record).expect("plain data serialises to JSON")
    }

    fn told(self) -> LeaseOwner {
        LeaseOwner { pid: self.owner.pid, host: self.owner.host, since_ms: self.since_ms }
    }
}

fn read(file: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Who holds a lease.
pub(crate) fn owner(path: &Path) -> Result<Option<LeaseOwner>, StoreError> {
    let unknown = || LeaseOwner { pid: 0, host: String::new(), since_ms: 0 };
    let told = |file: &Path| Some(read(file).map_or_else(unknown, Record::told));
    match lock::open(path) {
        Ok(file) => match lock::try_exclusive(&file) {
            Ok(true) => return Ok(None),
            Ok(false) => return Ok(told(path)),
            Err(e) if lock::unsupported(&e) => {}
            Err(e) => return Err(StoreError::io("look at the lease", path, e)),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(StoreError::io("open", path, e)),
    }
    let held = tokens(path).at("look at the lease", path)?;
    Ok(held.iter().find(|(file, _)| !is_free(file, BEAT.stale)).and_then(|(file, _)| told(file)))
}

/// Removes a lease file that nobody holds (its owner died). Returns whether it did.
pub(crate) fn remove_if_free(path: &Path) -> Result<bool, StoreError> {
    let by_existence = path.extension().is_some();
    let _locked = if by_existence {
        if !is_free(path, BEAT.stale) {
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
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const FAST: Beat = Beat { every: Duration::from_millis(20), stale: Duration::from_millis(400) };

    fn take(path: &Path) -> Option<Lease> {
        match take_by_existence(path, &Digest::of_bytes(b""), FAST).unwrap() {
            LeaseAttempt::Acquired(lease) => Some(lease),
            LeaseAttempt::Held(_) => None,
        }
    }

    /// Of a process of another machine, so that only touching tells whether it lives.
    fn foreign(path: &Path, token: u64) -> PathBuf {
        let file = name_of(path, token);
        fs::write(&file, format!(r#"{{"pid": 1, "host": "another", "since_ms": 0, "token": {token}}}"#)).unwrap();
        file
    }

    #[test]
    fn without_locks_a_lease_is_held_as_long_as_it_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let lease = take(&path).unwrap();
        std::thread::sleep(MS(600));
        assert!(take(&path).is_none(), "its heart beats");
        assert_eq!(read(&lease.path).unwrap().owner, Process::this());
        drop(lease);
        assert_eq!(tokens(&path).unwrap(), []);
    }

    #[test]
    fn without_locks_a_stale_lease_is_taken_over_and_tokens_grow() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let last = u64::MAX - 10;
        let old = foreign(&path, last);
        assert!(take(&path).is_none());
        std::thread::sleep(MS(450));
        let lease = take(&path).unwrap();
        assert_eq!(lease.token(), last + 1);
        assert!(lease.is_current() && !old.exists());
    }

    #[test]
    fn without_locks_a_dead_owner_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let mut record: serde_json::Value = serde_json::from_slice(&Record::this(7)).unwrap();
        record["pid"] = child.id().into();
        child.wait().unwrap();
        fs::write(name_of(&path, 7), record.to_string()).unwrap();
        assert!(take(&path).unwrap().token() > 7);
    }

    #[test]
    fn a_late_owner_leaves_its_successors_lease_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let late = take(&path).unwrap();
        // As another process would, once this one has been stopped for long.
        fs::remove_file(&late.path).unwrap();
        std::thread::sleep(MS(5));
        let successor = take(&path).unwrap();
        assert!(!late.is_current() && successor.is_current());
        drop(late);
        assert!(successor.is_current());
        assert!(take(&path).is_none());
    }

    #[test]
    fn with_locks_too_tokens_grow_and_nobody_removes_what_is_not_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let key = Digest::of_bytes(b"");
        let path = dir.path().join(key.to_string());
        fs::write(&path, Record::this(u64::MAX - 10)).unwrap();
        let take = || match try_lease(&path, &key).unwrap() {
            LeaseAttempt::Acquired(lease) => lease,
            LeaseAttempt::Held(_) => panic!("nobody holds it"),
        };
        let first = take();
        assert_eq!(first.token(), u64::MAX - 9);
        fs::remove_file(&path).unwrap();
        let second = take();
        assert!(!first.is_current() && second.is_current());
        drop(first);
        assert!(second.is_current());
        assert!(!remove_if_free(&path).unwrap());
        drop(second);
        assert!(!path.exists());
    }
}
