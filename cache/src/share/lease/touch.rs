//! Leases without locks: files that their owners touch.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{Hold, Lease, LeaseAttempt, Record, next_token, read};
use crate::{disk::paths, hash::Digest};

/// How often an owner touches its lease, and after how long without a touch it is free.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beat {
    pub every: Duration,
    pub stale: Duration,
}

impl Beat {
    const STALE: Duration = Duration::from_secs(30);

    pub(super) fn of(timeout: Option<Duration>) -> Self {
        let stale = timeout.unwrap_or(Self::STALE);
        Self { every: stale / 6, stale }
    }
}

/// Takes a lease that consists in the existence of `<path>.<token>`.
pub(super) fn take(path: &Path, key: &Digest, beat: Beat) -> io::Result<LeaseAttempt> {
    let held = |file: &Path| Ok(LeaseAttempt::Held(read(file).map(Record::told)));
    let before = tokens(path)?;
    if let Some((file, _)) = before.iter().find(|(file, _)| !is_free(file, beat)) {
        return held(file);
    }
    // Several who find nobody there may each make a file, of other tokens or of the same, which one of them makes.
    let token = next_token(before.iter().map(|(_, token)| *token).max());
    let ours = name_of(path, token);
    let mut file = match File::create_new(&ours) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return held(&ours),
        Err(e) => return Err(e),
    };
    let record = Record::new(token);
    file.write_all(&record.encode())?;
    drop(file);
    // Who sees another's by now gives way: of several at once, perhaps all, and they come again. So does one that was
    // stopped here for so long that its own has been taken over. Having made a file, this machine does not list the
    // folder from memory.
    let now = tokens(path)?;
    let rival = now.iter().find(|(file, _)| *file != ours && !is_free(file, beat));
    if rival.is_some() || !ours.exists() {
        paths::remove(&ours)?;
        return Ok(LeaseAttempt::Held(rival.and_then(|(file, _)| read(file)).map(Record::told)));
    }
    for (old, _) in before {
        paths::remove(&old)?;
        LOOKS.lock().forget(&old);
    }
    let hold = Hold::Touch(Beating::start(ours.clone(), record, beat.every));
    Ok(LeaseAttempt::Acquired(Lease { key: *key, path: ours, token, hold, found: None }))
}

pub(super) fn name_of(path: &Path, token: u64) -> PathBuf {
    path.with_extension(format!("{token:020}"))
}

/// The file of a lease that somebody holds.
pub(super) fn held(path: &Path, beat: Beat) -> io::Result<Option<PathBuf>> {
    Ok(tokens(path)?.into_iter().map(|(file, _)| file).find(|file| !is_free(file, beat)))
}

/// The files of a lease, with their tokens.
pub(super) fn tokens(path: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
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

/// What was seen of a lease of another.
struct Look {
    text: Vec<u8>,
    at: Instant,
    /// For how long it has been seen to be as it is.
    quiet: Duration,
}

/// The leases of others that this process has looked at.
static LOOKS: Mutex<Option<HashMap<PathBuf, Look>>> = Mutex::new(None);

/// Whether the owner of a lease is dead, or does not touch it any more. The latter is known to who has looked often:
/// what goes by between two looks counts for no more than the time between two touches, because whoever was stopped
/// meanwhile, as by a machine that slept, does not know what the owner could do.
pub(super) fn is_free(file: &Path, beat: Beat) -> bool {
    // Opened anew each time: network file systems look at the server then.
    let Ok(text) = fs::read(file) else {
        LOOKS.lock().forget(file);
        return true;
    };
    let alive = serde_json::from_slice::<Record>(&text).ok().and_then(|record| record.owner.lives());
    if alive == Some(false) {
        return true;
    }
    LOOKS.lock().look(file, text, beat)
}

trait Looks {
    fn look(&mut self, file: &Path, text: Vec<u8>, beat: Beat) -> bool;
    fn forget(&mut self, file: &Path);
}

impl Looks for Option<HashMap<PathBuf, Look>> {
    fn look(&mut self, file: &Path, text: Vec<u8>, beat: Beat) -> bool {
        let now = Instant::now();
        let looks = self.get_or_insert_default();
        match looks.get_mut(file) {
            Some(look) if look.text == text => {
                look.quiet += now.duration_since(look.at).min(beat.every);
                look.at = now;
                look.quiet > beat.stale
            }
            _ => {
                looks.insert(file.to_owned(), Look { text, at: now, quiet: Duration::ZERO });
                false
            }
        }
    }

    fn forget(&mut self, file: &Path) {
        if let Some(looks) = self {
            looks.remove(file);
        }
    }
}

/// A lease that is being touched.
#[derive(Debug)]
pub(super) struct Beating(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    path: PathBuf,
    every: Duration,
    record: Mutex<Record>,
    /// Somebody has taken it over.
    lost: AtomicBool,
    stopped: AtomicBool,
}

impl Beating {
    fn start(path: PathBuf, record: Record, every: Duration) -> Self {
        let (lost, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        let beats = Arc::new(Beats { path, every, record: Mutex::new(record), lost, stopped });
        HEART.add(Arc::clone(&beats));
        Self(beats)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.0.lost.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        // Not in the middle of a touch, which would make the file anew.
        let _record = self.0.record.lock();
        self.0.stopped.store(true, Ordering::Relaxed);
    }
}

impl Beats {
    fn beat(&self) {
        let mut record = self.record.lock();
        if self.stopped.load(Ordering::Relaxed) {
            return;
        }
        record.beat += 1;
        // Never made anew: who was stopped for long finds its file gone, and somebody else's in its place.
        let file = File::options().write(true).open(&self.path);
        match file.and_then(|mut file| file.write_all(&record.encode())) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.lost.store(true, Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, path = %self.path.display(), "a lease could not be touched"),
            Ok(()) => {}
        }
    }

    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.lost.load(Ordering::Relaxed)
    }
}

/// Touches all leases of this process, on one thread.
struct Heart {
    state: Mutex<HeartState>,
    changed: Condvar,
}

struct HeartState {
    due: Vec<(Instant, Arc<Beats>)>,
    runs: bool,
}

static HEART: Heart = Heart { state: Mutex::new(HeartState { due: Vec::new(), runs: false }), changed: Condvar::new() };

impl Heart {
    fn add(&'static self, beats: Arc<Beats>) {
        let mut state = self.state.lock();
        // Those that are over go when others come.
        state.due.retain(|(_, beats)| !beats.is_over());
        state.due.push((Instant::now() + beats.every, beats));
        if !std::mem::replace(&mut state.runs, true) {
            std::thread::spawn(move || self.run());
        }
        self.changed.notify_all();
    }

    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            let now = Instant::now();
            let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut state.due)
                .into_iter()
                .filter(|(_, beats)| !beats.is_over())
                .partition(|(at, _)| *at <= now);
            state.due = later;
            if due.is_empty() {
                match state.due.iter().map(|(at, _)| *at).min() {
                    Some(next) => drop(self.changed.wait_until(&mut state, next)),
                    None => self.changed.wait(&mut state),
                }
                continue;
            }
            drop(state);
            for (_, beats) in &due {
                beats.beat();
            }
            state = self.state.lock();
            state.due.extend(due.into_iter().map(|(_, beats)| (Instant::now() + beats.every, beats)));
        }
    }
}
