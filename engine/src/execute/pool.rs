//! Where jobs run. The coordinator sees only [`Executor`], so that jobs can go to other machines later.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, Scope},
};

use parking_lot::Mutex;

use super::worker::Job;

/// Runs jobs; each reports back through its own channel.
pub(super) trait Executor {
    /// Takes a job. The coordinator hands out no more jobs than slots allow.
    fn submit(&mut self, job: Job);
}

/// Threads of this process, started when jobs come and kept for the next ones.
pub(super) struct Threads<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    sender: mpsc::Sender<Job>,
    receiver: Arc<Mutex<mpsc::Receiver<Job>>>,
    /// Threads that have nothing to do, less jobs that wait for one.
    free: Arc<AtomicUsize>,
    started: usize,
}

impl<'scope, 'env> Threads<'scope, 'env> {
    /// No threads yet; they end when the value is dropped, and are joined by the scope.
    pub(super) fn new(scope: &'scope Scope<'scope, 'env>) -> Self {
        let (sender, receiver) = mpsc::channel();
        Self { scope, sender, receiver: Arc::new(Mutex::new(receiver)), free: Arc::default(), started: 0 }
    }

    fn start_thread(&mut self) {
        let receiver = Arc::clone(&self.receiver);
        let free = Arc::clone(&self.free);
        self.started += 1;
        let work = move || {
            loop {
                let job = receiver.lock().recv();
                let Ok(job) = job else { break };
                let report = job.run();
                // Free before the coordinator hears of it, or it would start another thread for its next job.
                free.fetch_add(1, Ordering::SeqCst);
                report.send();
            }
        };
        thread::Builder::new()
            .name(format!("stage-{}", self.started))
            .spawn_scoped(self.scope, work)
            .expect("the system gives a thread to each slot");
    }
}

impl Executor for Threads<'_, '_> {
    fn submit(&mut self, job: Job) {
        // One more thread unless one is free; only this thread takes from the count.
        if self.free.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_err() {
            self.start_thread();
        }
        self.sender.send(job).expect("the receiver lives as long as the pool");
    }
}
