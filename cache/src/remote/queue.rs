//! What is to be pushed while a run goes on, and the threads that do it. They are started as they are needed, and end
//! when nothing is left.

use std::{collections::VecDeque, sync::Arc, thread, time::Duration};

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
            let remote = self.clone();
            match thread::Builder::new().name("push".to_owned()).spawn(move || remote.work()) {
                Ok(_) => state.threads += 1,
                // Those that there are will do it.
                Err(_) if state.threads > 0 => {}
                Err(error) => {
                    let dropped = std::mem::take(&mut state.waiting).len() as u64;
                    self.count(|counts| counts.unpushed += dropped);
                    self.line().warn(format!("nothing is pushed: there is no thread to do it ({error})"), "threads");
                }
            }
        }
    }

    /// Nobody wants it any more: what is under way is broken off, and all that is asked for later is refused.
    pub fn cancel(&self) {
        self.line().cancel();
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
            let outcome = self.line().guarded("push a result", || self.push(job));
            // Requests that failed are counted and told of where they are made.
            if let Err(fault) = outcome {
                self.count(|counts| counts.unpushed += 1);
                if let Fault::Local(_) = fault {
                    self.line().warn(format!("failed to push a result: {fault}"), &fault.to_string());
                }
            }
        }
    }

    fn push(&self, Job { store, what }: Job) -> Result<(), Fault> {
        if self.line().is_left_alone(Way::Write) || self.line().is_left_alone(Way::Read) {
            return Err(Fault::LeftAlone);
        }
        match what {
            What::Memo(recipe) => {
                let bytes = self.push_memo(&store, &recipe)?;
                self.count(|counts| counts.bytes_pushed += bytes);
            }
            What::Result { key, replace } => {
                let pushed = self.push_result(&store, &key, replace)?;
                self.count(|counts| match pushed {
                    Pushed::New(bytes) => {
                        counts.pushed += 1;
                        counts.bytes_pushed += bytes;
                    }
                    Pushed::There => counts.there += 1,
                    Pushed::Missing => {}
                });
            }
        }
        Ok(())
    }

    /// Waits until all is pushed; when `cancelled` says so, what has not begun is dropped, and what has is broken off
    /// at its next request.
    pub fn wait(&self, cancelled: &dyn Fn() -> bool) {
        self.wait_telling(&mut |_| cancelled());
    }

    /// [`Remote::wait`], which tells again and again how many results and memos are on their way.
    pub fn wait_telling(&self, cancelled: &mut dyn FnMut(usize) -> bool) {
        let queue = self.queue();
        let mut state = queue.state.lock();
        while state.threads > 0 {
            if cancelled(state.waiting.len() + state.threads) {
                let dropped = std::mem::take(&mut state.waiting).len() as u64;
                self.count(|counts| counts.unpushed += dropped);
                self.line().cancel();
            }
            queue.changed.wait_for(&mut state, LOOK);
        }
    }
}
