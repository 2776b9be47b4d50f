//! Requests in flight: a bounded number at a time, each by a thread of its own.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::EndpointError;

/// How often it is asked whether to go on while nothing comes.
const LOOKS: Duration = Duration::from_millis(50);

/// Ends the workers when the call ends, however it ends.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has `work` done for all `jobs`, at most `limit` at a time. `on` is given what is done, on the calling thread and in
/// any order, and many times a second nothing; its `Break` ends the call. Work that returns `None` was cancelled.
///
/// # Errors
/// The first of the work's, when what was on its way beside it has been handed over: it has been paid for.
pub(super) fn drive<Job: Send + 'static, Done: Send + 'static>(
    limit: usize,
    jobs: &mut (dyn Iterator<Item = Job> + Send),
    work: impl Fn(Job, &AtomicBool) -> Result<Option<Done>, EndpointError> + Send + Sync + 'static,
    on: &mut dyn FnMut(Option<Done>) -> ControlFlow<()>,
) -> Result<(), EndpointError> {
    let cancel = CancelOnDrop(Arc::default());
    let (waiting, queue) = mpsc::channel::<Job>();
    let (done, results) = mpsc::channel();
    let (queue, work) = (Arc::new(Mutex::new(queue)), Arc::new(work));
    let (mut in_flight, mut workers) = (0, 0);
    let mut failure = None;
    loop {
        while failure.is_none()
            && in_flight < limit.max(1)
            && let Some(job) = jobs.next()
        {
            // Workers are threads of their own: where a call ends early, they finish their request unattended.
            if workers == in_flight {
                let (work, queue, done) = (work.clone(), queue.clone(), done.clone());
                let cancelled = cancel.0.clone();
                let one = move || serve(&queue, &done, |job| work(job, &cancelled));
                let worker = thread::Builder::new().name("endpoint".to_owned()).spawn(one);
                worker.map_err(EndpointError::Worker)?;
                workers += 1;
            }
            in_flight += 1;
            waiting.send(job).map_err(|_| worker_died())?;
        }
        if in_flight == 0 {
            return failure.map_or(Ok(()), Err);
        }
        match results.recv_timeout(LOOKS) {
            Ok(result) => {
                in_flight -= 1;
                let done = result.unwrap_or_else(|error| {
                    failure.get_or_insert(error);
                    None
                });
                if done.is_some_and(|done| on(Some(done)).is_break()) {
                    return Ok(());
                }
            }
            Err(RecvTimeoutError::Timeout) if on(None).is_break() => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(worker_died()),
        }
    }
}

fn worker_died() -> EndpointError {
    EndpointError::Worker(std::io::Error::other("a worker ended unexpectedly"))
}

/// Works until there is nothing more to do or the call ended.
fn serve<Job, Result>(queue: &Mutex<mpsc::Receiver<Job>>, done: &mpsc::Sender<Result>, work: impl Fn(Job) -> Result) {
    loop {
        let next = queue.lock().recv();
        let Ok(job) = next else { return };
        if done.send(work(job)).is_err() {
            return;
        }
    }
}
