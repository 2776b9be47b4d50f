//! Waiting that can be stopped: for requests, which run on a thread of their own, for locks, and between attempts.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::Fault;

/// How often one thing is asked for, and the pause before the second time; each further pause is twice as long.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(250);

/// Asks for `what`, and asks again where that may help, as long as `stop` does not say to stop.
pub(crate) fn retry<T>(
    what: &str,
    stop: &dyn Fn() -> bool,
    mut ask: impl FnMut() -> Result<T, Fault>,
) -> Result<T, Fault> {
    let (mut wait, mut attempt) = (PAUSE, 1);
    loop {
        match ask() {
            Err(fault) if attempt < ATTEMPTS && fault.may_pass() => {
                tracing::debug!(what, attempt, error = %fault, "the server failed, asking again");
                if !pause(wait, stop) {
                    return Err(Fault::Cancelled);
                }
                wait *= 2;
                attempt += 1;
            }
            ended => return ended,
        }
    }
}

/// Runs `work` on a thread of its own, and waits for it as long as `stop` does not say to stop. Work that nobody waits
/// for any more sees the flag that it is given, and ends with the server's next word or silence.
pub(crate) fn watched<T: Send + 'static>(
    stop: &dyn Fn() -> bool,
    work: impl FnOnce(&AtomicBool) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let (done, result) = mpsc::channel();
    let flag = Arc::clone(&cancelled);
    thread::Builder::new().name("hub".to_owned()).spawn(move || done.send(work(&flag)))?;
    loop {
        match result.recv_timeout(Duration::from_millis(50)) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => return Err(io::Error::other("the request's thread died").into()),
            Err(RecvTimeoutError::Timeout) if stop() => {
                cancelled.store(true, Ordering::Relaxed);
                return Err(Fault::Cancelled);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Waits; `false` if it is to stop.
fn pause(duration: Duration, stop: &dyn Fn() -> bool) -> bool {
    let end = Instant::now() + duration;
    while Instant::now() < end {
        if stop() {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

/// The lock that programs take which write a file of the cache; one that is dead has none.
pub(crate) fn lock(path: &Path, stop: &AtomicBool) -> Result<Option<fs::File>, Fault> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(name))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) if stop.load(Ordering::Relaxed) => return Err(Fault::Cancelled),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(50)),
            // A file system without locks: what two programs write at once is checked by its size.
            Err(fs::TryLockError::Error(_)) => return Ok(None),
        }
    }
}
