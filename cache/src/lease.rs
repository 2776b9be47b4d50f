//! Leases: at most one process, and one thread of it, computes a key at a time.
//!
//! A lease is a lock on the file `leases/<key>`, which the kernel frees when its owner dies, however it dies. On file
//! systems without such locks the file's mere existence is the lease: its owner touches it every few seconds, and one that
//! was not touched for a while is taken over.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{Digest, Store, StoreError, error::IoContext, fsio};

/// Without locks: how often an owner touches its lease.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without locks: a lease that was not touched for so long is free.
const STALE: Duration = Duration::from_secs(30);
/// Waiting asks again after so long, at first and at last.
const POLL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// Who holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseOwner {
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// Milliseconds since 1970.
    pub since_ms: u64,
}

/// The outcome of [`Store::try_lease`].
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
    hold: Option<Hold>,
}

#[derive(Debug)]
enum Hold {
    /// The kernel's lock.
    Lock { _file: File },
    /// The thread that touches the file, until the sender is dropped.
    Heartbeat { stop: mpsc::Sender<()>, thread: JoinHandle<()> },
}

/// The name of this machine.
pub(crate) fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".to_owned(), |s| s.trim().to_owned())
}

/// Locks a file without waiting: `false` when somebody else has it, an error where the file system has no locks.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(e)) => Err(e),
    }
}

impl Lease {
    /// The key.
    pub fn key(&self) -> &Digest {
        &self.key
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Removed while still held, so that nobody removes a successor's file.
        if let Some(Hold::Heartbeat { stop, thread }) = self.hold.take_if(|h| matches!(h, Hold::Heartbeat { .. })) {
            drop(stop);
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

impl Store {
    /// Takes the lease of a key if nobody holds it. A lease whose owner died is free at once.
    pub fn try_lease(&self, key: &Digest) -> Result<LeaseAttempt, StoreError> {
        self.writable("take the lease", &self.layout().lease(key))?;
        let path = self.layout().lease(key);
        match take_lock(&path) {
            Ok(Some(hold)) => Ok(LeaseAttempt::Acquired(Lease { key: *key, path, hold: Some(hold) })),
            Ok(None) => Ok(LeaseAttempt::Held(owner(&path))),
            Err(e) if no_locks(&e) => self.try_heartbeat_lease(key),
            Err(e) => Err(StoreError::io("take the lease", &path, e)),
        }
    }

    /// [`Store::try_lease`] where the file system has no locks.
    fn try_heartbeat_lease(&self, key: &Digest) -> Result<LeaseAttempt, StoreError> {
        let path = self.layout().lease(key);
        match take_by_existence(&path, HEARTBEAT, STALE).at("take the lease", &path)? {
            Some(hold) => Ok(LeaseAttempt::Acquired(Lease { key: *key, path, hold: Some(hold) })),
            None => Ok(LeaseAttempt::Held(owner(&path))),
        }
    }

    /// Takes the lease of a key, waiting for its holder. `cancelled` is asked several times a second.
    pub fn wait_lease(&self, key: &Digest, cancelled: &dyn Fn() -> bool) -> Result<Lease, StoreError> {
        let mut pause = POLL.0;
        loop {
            if let LeaseAttempt::Acquired(lease) = self.try_lease(key)? {
                return Ok(lease);
            }
            if cancelled() {
                return Err(StoreError::Cancelled);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL.1);
        }
    }
}

/// Locks a lease file; `None` when somebody else has it.
fn take_lock(path: &Path) -> io::Result<Option<Hold>> {
    loop {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if !try_lock(&file)? {
            return Ok(None);
        }
        // The last owner may have removed the file between our opening and locking it; then the lock is on nothing.
        if fs::metadata(path).is_ok_and(|m| m.ino() == file.metadata().map_or(0, |f| f.ino())) {
            file.set_len(0)?;
            file.write_all(&this_owner())?;
            return Ok(Some(Hold::Lock { _file: file }));
        }
    }
}

/// Creates a lease file; `None` when there is one that was touched not long ago.
fn take_by_existence(path: &Path, heartbeat: Duration, stale: Duration) -> io::Result<Option<Hold>> {
    let mut file = match File::create_new(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            if !is_stale(path, stale)? {
                return Ok(None);
            }
            // Moved away rather than removed, so that of several who see it stale one alone goes on; if another was quicker
            // and what we moved is already its new lease, it is put back. (Should two go on, both publish the same.)
            let aside = path.with_extension(format!("{}-{}", std::process::id(), fsio::now_ms()));
            fs::rename(path, &aside)?;
            if !is_stale(&aside, stale)? {
                fs::rename(&aside, path)?;
                return Ok(None);
            }
            fs::remove_file(&aside)?;
            return take_by_existence(path, heartbeat, stale);
        }
        Err(e) => return Err(e),
    };
    file.write_all(&this_owner())?;
    let (stop, stopped) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        while stopped.recv_timeout(heartbeat) == Err(RecvTimeoutError::Timeout) {
            let _ = file.set_modified(SystemTime::now());
        }
    });
    Ok(Some(Hold::Heartbeat { stop, thread }))
}

fn is_stale(path: &Path, stale: Duration) -> io::Result<bool> {
    let touched = match fs::metadata(path) {
        Ok(meta) => meta.modified()?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    Ok(touched.elapsed().is_ok_and(|age| age > stale))
}

fn this_owner() -> Vec<u8> {
    let owner = LeaseOwner { pid: std::process::id(), host: host(), since_ms: fsio::now_ms() };
    serde_json::to_vec(&owner).expect("plain data serialises to JSON")
}

fn owner(path: &Path) -> Option<LeaseOwner> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Removes a lease file that nobody holds (its owner died). Returns whether it did.
pub(crate) fn remove_if_free(path: &Path) -> Result<bool, StoreError> {
    let hold = match take_lock(path) {
        Ok(Some(hold)) => Some(hold),
        Err(e) if no_locks(&e) && is_stale(path, STALE).unwrap_or(false) => None,
        Ok(None) => return Ok(false),
        Err(e) if no_locks(&e) => return Ok(false),
        Err(e) => return Err(StoreError::io("take the lease", path, e)),
    };
    fs::remove_file(path).at("remove", path)?;
    drop(hold);
    Ok(true)
}

/// Whether an error says that the file system has no locks (ENOSYS, EOPNOTSUPP, ENOLCK).
pub(crate) fn no_locks(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::Unsupported || e.raw_os_error() == Some(37)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn without_locks_a_lease_is_held_as_long_as_it_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        let take = || take_by_existence(&path, MS(20), MS(400)).unwrap();
        let hold = take().unwrap();
        std::thread::sleep(MS(600));
        assert!(take().is_none(), "its heart beats");
        assert_eq!(owner(&path).unwrap().pid, std::process::id());
        drop(Lease { key: Digest::of_bytes(b""), path: path.clone(), hold: Some(hold) });
        assert!(!path.exists());
    }

    #[test]
    fn without_locks_a_stale_lease_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lease");
        fs::write(&path, "{}").unwrap();
        assert!(take_by_existence(&path, MS(20), MS(400)).unwrap().is_none());
        std::thread::sleep(MS(450));
        assert!(take_by_existence(&path, MS(20), MS(400)).unwrap().is_some());
    }
}
