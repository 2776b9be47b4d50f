//! What is to be pushed while a run goes on, and the threads that do it. They are started as they are needed, and end
//! when nothing is left.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{Remote, fault::Fault, line::Way, push::Pushed};
use crate::{hash::Digest, store::Store};

/// Results that are pushed at the same time.
const THREADS: usize = 4;
/// How often a wait looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// A result, or rows, to be pushed.
pub(super) struct Job {
    store: Store,
    what: What,
}

enum What {
    Result { key: Digest, replace: bool },
    Memo(Digest),
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    threads: usize,
}

impl Remote {
    /// Pushes a result in the background. With `replace`, a record that is there is replaced.
    pub fn submit(&self, store: &Store, key: &Digest, replace: bool) {
        self.enqueue(store, What::Result { key: *key, replace });
    }

    /// Pushes the rows of a recipe in the background.
    pub fn submit_memo(&self, store: &Store, recipe: &Digest) {
        self.enqueue(store, What::Memo(*recipe));
    }

    fn enqueue(&self, store: &Store, what: What) {
        if !self.pushes() {
            return;
        }
        let queue = self.queue();
        let mut state = queue.state.lock();
        state.waiting.push_back(Job { store: store.clone(), what });
        if state.threads < THREADS {
            state.threads += 1;
            let remote = self.clone();
            std::thread::spawn(move || remote.work());
        }
    }

    fn work(&self) {
        let queue = Arc::clone(self.queue());
        loop {
            let job = {
                let mut state = queue.state.lock();
                let Some(job) = state.waiting.pop_front() else {
                    state.threads -= 1;
                    queue.changed.notify_all();
                    return;
                };
                job
            };
            // Whoever waits for this thread must not wait for ever.
            if catch_unwind(AssertUnwindSafe(|| self.push(job))).is_err() {
                self.count(|counts| counts.unpushed += 1);
            }
        }
    }

    fn push(&self, Job { store, what }: Job) {
        if self.line().is_left_alone(Way::Write) || self.line().is_left_alone(Way::Read) {
            return self.count(|counts| counts.unpushed += 1);
        }
        let outcome = match what {
            What::Result { key, replace } => self.push_now(&store, &key, replace).map(drop),
            What::Memo(recipe) => {
                self.push_memo(&store, &recipe).map(|bytes| self.count(|counts| counts.bytes_pushed += bytes))
            }
        };
        // Requests that failed are counted and told of where they are made.
        if let Err(fault) = outcome {
            self.count(|counts| counts.unpushed += 1);
            if let Fault::Local(_) = fault {
                self.line().failed(format!("failed to push a result: {fault}"), &fault);
            }
        }
    }

    pub(super) fn push_now(&self, store: &Store, key: &Digest, replace: bool) -> Result<Pushed, Fault> {
        let pushed = self.push_result(store, key, replace)?;
        self.count(|counts| match pushed {
            Pushed::New(bytes) => {
                counts.pushed += 1;
                counts.bytes_pushed += bytes;
            }
            Pushed::There => counts.there += 1,
            Pushed::Missing => {}
        });
        Ok(pushed)
    }

    /// Waits until all is pushed; when `cancelled` says so, what has not begun is dropped, and what has is broken off
    /// at its next request.
    pub fn wait(&self, cancelled: &dyn Fn() -> bool) {
        let queue = self.queue();
        let mut state = queue.state.lock();
        while state.threads > 0 {
            if cancelled() {
                let dropped = std::mem::take(&mut state.waiting).len() as u64;
                self.count(|counts| counts.unpushed += dropped);
                self.line().cancel();
            }
            queue.changed.wait_for(&mut state, LOOK);
        }
    }
}
