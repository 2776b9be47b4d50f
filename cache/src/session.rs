//! A session: one process that writes to the store. It owns `tmp/<session>/` and holds a lock on the marker in it, so that
//! others can tell a live session from the leftovers of a dead one.
//!
//! The marker is durable before anything that the session publishes, and is removed after all of it is. So a marker from
//! before the last boot says: the machine went down in between. The next process that opens the store then checks every
//! manifest from the marker's time on, before it serves any, and drops those whose objects did not reach the disk.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    Damage, StoreError,
    error::IoContext,
    fsio,
    layout::Layout,
    lease::{host, try_lock},
    manifest, read,
    sync::{SyncJob, Syncer},
};

const MARKER: &str = "session";

#[derive(Serialize, Deserialize)]
struct Marker {
    pid: u32,
    host: String,
    boot: String,
    started_ms: u64,
}

/// Changes whenever the machine is booted; empty where that cannot be known, which makes recovery check more than it must.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// The writing side of a process. Dropped, it removes its directory.
pub(crate) struct Session {
    dir: PathBuf,
    /// Locked as long as the session lives.
    _marker: File,
    next: AtomicU64,
}

impl Session {
    pub(crate) fn begin(layout: &Layout, syncer: &Syncer) -> Result<Self, StoreError> {
        let tmp = layout.join("tmp");
        // Until the marker is there: whoever holds this alone knows that a directory without one is nobody's.
        let _births = births(layout, true).filter(|file| file.lock_shared().is_ok());
        let dir = tempfile::Builder::new().prefix("s").tempdir_in(&tmp).at("create a directory in", &tmp)?.keep();
        let (new, path) = (dir.join("new"), dir.join(MARKER));
        let marker = Marker { pid: std::process::id(), host: host(), boot: boot_id(), started_ms: fsio::now_ms() };
        let json = serde_json::to_vec(&marker).expect("plain data serialises to JSON");
        let mut file = File::create(&new).at("create", &new)?;
        // Locked before it has its name, so that nobody sees it free. Without locks its age tells.
        let _ = try_lock(&file);
        file.write_all(&json).and_then(|()| fs::rename(&new, &path)).at("write", &path)?;
        syncer.submit(SyncJob { first: vec![path, dir.clone(), tmp], then: Vec::new() });
        Ok(Self { dir, _marker: file, next: AtomicU64::new(0) })
    }

    /// A path in the session's directory that was not handed out before.
    pub(crate) fn temp(&self) -> PathBuf {
        self.dir.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(e) = fsio::remove(&self.dir) {
            tracing::warn!(path = %self.dir.display(), error = %e, "failed to remove a temporary directory; gc will");
        }
    }
}

/// The file that is locked, shared, while a session begins. `None` where it cannot be opened, as on a read-only disk.
fn births(layout: &Layout, create: bool) -> Option<File> {
    OpenOptions::new().append(true).create(create).open(layout.join("births")).ok()
}

/// Whether the session of an entry of `tmp/` is over. `alone` says that no session is beginning, so that a directory
/// without a marker was left by a process that died as its session began or ended. Without working locks, after a day
/// without a change.
fn is_dead(dir: &Path, alone: bool) -> bool {
    match File::open(dir.join(MARKER)) {
        Ok(marker) => matches!(try_lock(&marker), Ok(true)) || (try_lock(&marker).is_err() && is_old(dir)),
        Err(_) => alone || is_old(dir),
    }
}

fn is_old(dir: &Path) -> bool {
    let age = fs::metadata(dir).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    age.is_some_and(|age| age > Duration::from_hours(24))
}

/// The session of a process that died.
pub(crate) struct Dead {
    pub(crate) dir: PathBuf,
    /// When it began, or a little earlier.
    pub(crate) since: SystemTime,
    /// Whether the machine has been booted since.
    rebooted: bool,
}

/// The sessions of processes that died.
pub(crate) fn dead(layout: &Layout) -> Result<Vec<Dead>, StoreError> {
    let births = births(layout, false).filter(|file| file.lock().is_ok());
    let mut dead = Vec::new();
    for dir in fsio::list(&layout.join("tmp"))? {
        if !is_dead(&dir, births.is_some()) {
            continue;
        }
        let marker: Option<Marker> =
            fs::read(dir.join(MARKER)).ok().and_then(|json| serde_json::from_slice(&json).ok());
        let (since, boot) = match marker {
            Some(m) => (UNIX_EPOCH + Duration::from_millis(m.started_ms), m.boot),
            // Its own bytes were lost, or it had not begun to publish.
            None => (fs::metadata(&dir).and_then(|m| m.modified()).unwrap_or(UNIX_EPOCH), String::new()),
        };
        let rebooted = boot.is_empty() || boot != boot_id();
        dead.push(Dead { dir, since: since.checked_sub(Duration::from_secs(5)).unwrap_or(UNIX_EPOCH), rebooted });
    }
    Ok(dead)
}

/// The manifests written since then.
pub(crate) fn manifests_since(layout: &Layout, since: SystemTime) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = fsio::list_fanned(&layout.join("manifests"))?;
    paths.retain(|path| fs::metadata(path).and_then(|m| m.modified()).is_ok_and(|t| t >= since));
    Ok(paths)
}

/// Checks what sessions published before the machine went down, if it did; returns what had to be dropped.
pub(crate) fn recover(layout: &Layout) -> Result<Vec<Damage>, StoreError> {
    let mut dead = dead(layout)?;
    dead.retain(|d| d.rebooted);
    let Some(since) = dead.iter().map(|d| d.since).min() else { return Ok(Vec::new()) };
    let mut dropped = Vec::new();
    for path in manifests_since(layout, since)? {
        let reason = match manifest::read(&path) {
            Ok(m) => m.outputs.iter().find_map(|o| match read::check_object(layout, &o.artifact) {
                Err(StoreError::Damaged(damage)) => Some(damage),
                _ => None,
            }),
            Err(manifest::Unreadable::Damaged(damage)) => Some(damage),
            Err(_) => None,
        };
        if let Some(damage) = reason {
            tracing::warn!(%damage, "dropped a result that did not reach the disk before the machine went down");
            fsio::remove(&path).at("remove", &path)?;
            dropped.push(damage);
        }
    }
    // The index may name what was just dropped.
    if !dropped.is_empty() {
        let index = layout.join("index");
        fsio::remove(&index).at("remove", &index)?;
    }
    for session in dead {
        fsio::remove(&session.dir).at("remove", &session.dir)?;
    }
    Ok(dropped)
}
