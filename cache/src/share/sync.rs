//! Makes published things durable, in the background and many at a time.
//!
//! An `fsync` takes milliseconds, so a publisher does not wait for its own. It hands the paths to this thread, which
//! syncs the objects of all waiting publications together (the file system then commits its journal once for many), and
//! after them their manifests. Until then the session's marker tells a later process that, if the machine went down,
//! what this session published has to be checked (see [`crate::share::session`]).

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, SystemTime},
};

use parking_lot::{Condvar, Mutex};

use crate::error::StoreError;

/// How long the thread waits for company before it syncs. While the file system commits its journal, other publishers'
/// renames have to wait, so syncing often slows them down.
const LINGER: Duration = Duration::from_millis(500);
/// How often the session's marker is touched.
pub(super) const TOUCH: Duration = Duration::from_mins(30);
/// Concurrent `fsync`s: the journal commits them together.
const PARALLEL: usize = 16;
/// A thread is not worth its while for fewer.
const EACH: usize = 4;

/// What has to become durable: `first` before `then`.
#[derive(Debug, Default)]
pub(crate) struct SyncJob {
    /// Files and directories, parents of new names included.
    pub(crate) first: Vec<PathBuf>,
    /// The same for what names them.
    pub(crate) then: Vec<PathBuf>,
}

#[derive(Default)]
struct State {
    waiting: Vec<SyncJob>,
    submitted: u64,
    done: u64,
    closing: bool,
    /// Threads in [`Syncer::flush`]: there is no lingering while one waits.
    flushing: usize,
    failed: Option<(PathBuf, io::Error)>,
    /// Touched now and then: the session's marker.
    touched: Option<File>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The background thread, started by its first job.
#[derive(Default)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Syncer {
    /// Hands over a job.
    pub(crate) fn submit(&self, job: SyncJob) {
        let mut state = self.shared.state.lock();
        state.waiting.push(job);
        state.submitted += 1;
        drop(state);
        self.shared.changed.notify_all();
        let mut thread = self.thread.lock();
        if thread.is_none() {
            let shared = self.shared.clone();
            *thread = Some(std::thread::spawn(move || work(&shared)));
        }
    }

    /// Touches a file now and then, as long as the thread lives.
    pub(crate) fn touch(&self, file: File) {
        self.shared.state.lock().touched = Some(file);
    }

    /// Waits for all jobs submitted so far. An error is told once.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.shared.state.lock();
        let target = state.submitted;
        state.flushing += 1;
        self.shared.changed.notify_all();
        while state.done < target {
            self.shared.changed.wait(&mut state);
        }
        state.flushing -= 1;
        match state.failed.take() {
            Some((path, e)) => Err(StoreError::io("sync", &path, e)),
            None => Ok(()),
        }
    }

    /// Waits for all jobs and ends the thread.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.shared.state.lock().closing = true;
        self.shared.changed.notify_all();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
        self.flush()
    }
}

fn work(shared: &Shared) {
    let mut state = shared.state.lock();
    loop {
        if state.waiting.is_empty() {
            if state.closing {
                return;
            }
            shared.changed.wait_for(&mut state, TOUCH);
            if let Some(file) = &state.touched {
                let _ = file.set_modified(SystemTime::now());
            }
            continue;
        }
        let unhurried = |s: &mut State| !s.closing && s.flushing == 0;
        shared.changed.wait_while_for(&mut state, unhurried, LINGER);
        let jobs = std::mem::take(&mut state.waiting);
        drop(state);
        let result =
            sync_all(jobs.iter().flat_map(|j| &j.first)).and_then(|()| sync_all(jobs.iter().flat_map(|j| &j.then)));
        state = shared.state.lock();
        state.done += jobs.len() as u64;
        if let Err(e) = result {
            state.failed.get_or_insert(e);
        }
        shared.changed.notify_all();
    }
}

/// Syncs files, then directories (whose entries name the files).
pub(crate) fn sync_all<'a>(paths: impl Iterator<Item = &'a PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let paths: BTreeSet<&Path> = paths.map(PathBuf::as_path).collect();
    let (dirs, files): (Vec<_>, Vec<_>) = paths.into_iter().partition(|p| p.is_dir());
    for group in [files, dirs] {
        let mut shares = group.chunks(group.len().div_ceil(PARALLEL).max(EACH));
        let Some(own) = shares.next() else { continue };
        let sync_each = |paths: &[&Path]| paths.iter().try_for_each(|path| sync(path));
        std::thread::scope(|scope| {
            let threads: Vec<_> = shares.map(|paths| scope.spawn(move || sync_each(paths))).collect();
            let synced = sync_each(own);
            threads.into_iter().map(|thread| thread.join().expect("syncing does not panic")).fold(synced, Result::and)
        })?;
    }
    Ok(())
}

/// Syncs one file or directory; one that is gone by now (gc, a newer version of a manifest) needs no syncing.
fn sync(path: &Path) -> Result<(), (PathBuf, io::Error)> {
    match File::open(path).and_then(|f| f.sync_all()) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err((path.to_owned(), e)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flush_waits_for_all_and_a_missing_file_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, b"x").unwrap();
        let syncer = Syncer::default();
        syncer.submit(SyncJob { first: vec![file, dir.path().to_owned()], then: vec![dir.path().join("gone")] });
        syncer.flush().unwrap();
        assert_eq!(syncer.shared.state.lock().done, 1);
        syncer.close().unwrap();
    }
}
