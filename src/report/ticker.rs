//! Something that is done every so often, until it is dropped.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

/// A thread that works every so often.
pub(super) struct Ticker {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Begins. Where there is no thread to be had, nothing is done.
    pub(super) fn start(every: Duration, mut work: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::<(Mutex<bool>, Condvar)>::default();
        let told = Arc::clone(&stop);
        let run = move || {
            let (stopped, changed) = &*told;
            let mut stopped = stopped.lock();
            while !*stopped {
                changed.wait_for(&mut stopped, every);
                if !*stopped {
                    work();
                }
            }
        };
        let thread = thread::Builder::new().name("progress".to_owned()).spawn(run).ok();
        Self { stop, thread }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
