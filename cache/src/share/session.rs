//! A session: one process that writes to the store. It owns `tmp/<session>/` and holds a lock on the marker in it, so
//! that others can tell a live session from the leftovers of a dead one. Other machines may not see that lock, so a
//! session touches its marker now and then, and one of another machine counts as dead when it has not for a day, and
//! somebody has seen it untouched over two touches by a clock that nobody can set (`suspect.rs`).
//!
//! The marker is durable before anything that the session publishes, and is removed after all of it is. So a marker
//! from before the last boot says: the machine went down in between. The next process that opens the store then checks
//! every manifest from the marker's time on, before it serves any, and drops those whose objects did not reach the
//! disk.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    lock, suspect,
    sync::{SyncJob, Syncer},
};
use crate::{
    disk::{Layout, paths},
    error::{IoContext, StoreError},
    machine::{self, Process},
};

const MARKER: &str = "session";
/// After how long without a touch a session is dead whose process and lock cannot be asked.
const STALE: Duration = Duration::from_hours(24);

/// How much the times of files may lag behind the clock.
const SLACK: Duration = Duration::from_secs(5);

#[derive(Serialize, Deserialize)]
struct Marker {
    #[serde(flatten)]
    process: Process,
    started_ms: u64,
}

/// The writing side of a process. Dropped, it removes its directory.
#[derive(Debug)]
pub(crate) struct Session {
    dir: PathBuf,
    /// Locked as long as the session lives.
    _marker: File,
    next: AtomicU64,
    /// Locked files of leases that are over, for the next ones.
    spare_leases: Mutex<Vec<SpareLease>>,
}

/// A file that this process has locked: the next lease is another name of it, rather than a file that is made, locked
/// and removed for each of thousands of small results.
#[derive(Debug)]
pub(crate) struct SpareLease {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl Session {
    pub(crate) fn begin(layout: &Layout, syncer: &Syncer) -> Result<Self, StoreError> {
        let tmp = layout.join("tmp");
        // Until the marker is there: whoever holds this alone knows that a directory without one is nobody's.
        let _births = births(layout).filter(|file| layout.locks() && matches!(lock::shared(file), Ok(true)));
        let dir = tempfile::Builder::new().prefix("s").tempdir_in(&tmp).at("create a directory in", &tmp)?.keep();
        let (new, path) = (dir.join("new"), dir.join(MARKER));
        let marker = Marker { process: Process::this().clone(), started_ms: machine::now_ms() };
        let json = serde_json::to_vec(&marker).expect("plain data serialises to JSON");
        let mut file = lock::create(&new).at("create", &new)?;
        // Locked before it has its name, so that nobody sees it free.
        let _ = lock::try_exclusive(&file);
        file.write_all(&json).and_then(|()| fs::rename(&new, &path)).at("write", &path)?;
        syncer.touch(file.try_clone().at("open", &path)?);
        syncer.submit(SyncJob { first: vec![path, dir.clone(), tmp], then: Vec::new() });
        Ok(Self { dir, _marker: file, next: AtomicU64::new(0), spare_leases: Mutex::default() })
    }

    /// A path in the session's directory that was not handed out before.
    pub(crate) fn temp(&self) -> PathBuf {
        self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// A locked file for a lease. `None` where files cannot be locked.
    pub(super) fn spare_lease(&self) -> io::Result<Option<SpareLease>> {
        if let Some(spare) = self.spare_leases.lock().pop() {
            return Ok(Some(spare));
        }
        let path = self.temp();
        let file = lock::create(&path)?;
        if matches!(lock::try_exclusive(&file), Ok(true)) {
            return Ok(Some(SpareLease { file, path }));
        }
        fs::remove_file(&path).map(|()| None)
    }

    /// Takes back a file whose lease is over.
    pub(super) fn keep_lease(&self, spare: SpareLease) {
        self.spare_leases.lock().push(spare);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(e) = paths::remove(&self.dir) {
            tracing::warn!(path = %self.dir.display(), error = %e, "failed to remove a temporary directory; gc will");
        }
    }
}

/// The file that is locked, shared, while a session begins. `None` where it cannot be opened, as on a read-only disk.
fn births(layout: &Layout) -> Option<File> {
    lock::create(&layout.join("births")).ok()
}

/// Whether the session of an entry of `tmp/` is over. `alone` says that no session is beginning here, so that a
/// directory without a marker was left by a process that died as its session began or ended; `locks`, that those of
/// other machines are seen here.
fn is_dead(dir: &Path, marker: Option<&Marker>, alone: bool, locks: bool) -> bool {
    let Some(marker) = marker else { return alone || is_old(dir) };
    let lives = marker.process.lives();
    let lock = || lock::open(&dir.join(MARKER)).and_then(|file| lock::try_exclusive(&file));
    match (lives, lock()) {
        (Some(false), _) => true,
        (Some(true), _) | (_, Ok(false)) => false,
        // Locks of another machine may not be seen here, and it may be called as this one is.
        (None, Ok(true)) if marker.process.is_namesake() && (locks || marker.process.is_of_this_boot()) => true,
        (None, _) => is_old(&dir.join(MARKER)) && suspect::is_quiet(dir, &dir.join(MARKER)),
    }
}

fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    age.is_some_and(|age| age > STALE)
}

/// The session of a process that died.
pub(crate) struct Dead {
    pub(crate) dir: PathBuf,
    /// When it began, or a little earlier.
    pub(crate) since: SystemTime,
    /// Whether the machine has been booted since.
    pub(crate) rebooted: bool,
}

/// When the first of the sessions that live, but for `own`, began, or a little earlier, in milliseconds since 1970.
pub(crate) fn live_since_ms(layout: &Layout, own: Option<&Session>) -> Result<Option<u64>, StoreError> {
    let others = paths::list(&layout.join("tmp"))?.into_iter().filter(|dir| own.is_none_or(|own| own.dir != *dir));
    let sessions = others.filter_map(|dir| Some((read_marker(&dir)?, dir)));
    let live = sessions.filter(|(marker, dir)| !is_dead(dir, Some(marker), false, layout.locks()));
    Ok(live.map(|(marker, _)| marker.started_ms.saturating_sub(SLACK.as_millis() as u64)).min())
}

fn read_marker(dir: &Path) -> Option<Marker> {
    serde_json::from_slice(&fs::read(dir.join(MARKER)).ok()?).ok()
}

/// The sessions of processes that died. With `writing`, also of those that died as their session began, which only a
/// lock can tell from one that is beginning just now.
pub(crate) fn dead(layout: &Layout, writing: bool) -> Result<Vec<Dead>, StoreError> {
    let births = births(layout).filter(|_| writing && layout.locks());
    let births = births.filter(|file| matches!(lock::exclusive(file), Ok(true)));
    let mut dead = Vec::new();
    for dir in paths::list(&layout.join("tmp"))? {
        let marker = read_marker(&dir);
        if !is_dead(&dir, marker.as_ref(), births.is_some(), layout.locks()) {
            continue;
        }
        let (since, boot) = match marker {
            Some(m) => (UNIX_EPOCH + Duration::from_millis(m.started_ms), m.process.boot),
            // Its own bytes were lost, or it had not begun to publish.
            None => (fs::metadata(&dir).and_then(|m| m.modified()).unwrap_or(UNIX_EPOCH), String::new()),
        };
        let rebooted = boot.is_empty() || boot != machine::boot_id();
        dead.push(Dead { dir, since: since.checked_sub(SLACK).unwrap_or(UNIX_EPOCH), rebooted });
    }
    Ok(dead)
}
