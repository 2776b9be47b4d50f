//! Cancellation: one token per run, with a child per node that also knows the node's deadline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

type Listener = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Shared {
    cancelled: AtomicBool,
    abandoned: AtomicBool,
    listeners: Mutex<Vec<Listener>>,
}

/// Tells running work to stop. Clones share one state; asking is one atomic load.
#[derive(Clone, Default)]
pub struct CancelToken {
    shared: Arc<Shared>,
    deadline: Option<Instant>,
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CancelToken").field(&self.reason()).finish()
    }
}

/// Why a token is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// Somebody called [`CancelToken::cancel`] (Ctrl-C).
    Requested,
    /// The node's timeout has passed.
    TimedOut,
}

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels the token and its children, and wakes whoever waits. Calling it again does nothing. Not safe inside a
    /// POSIX signal handler: call it from a thread that waits for the signal.
    pub fn cancel(&self) {
        if !self.shared.cancelled.swap(true, Ordering::SeqCst) {
            for listener in &*self.shared.listeners.lock() {
                listener();
            }
        }
    }

    /// The process is about to end: whoever has started programs kills them now, without the grace that
    /// [`Self::cancel`] leaves.
    pub fn abandon(&self) {
        self.shared.abandoned.store(true, Ordering::SeqCst);
        self.cancel();
    }

    /// Whether the process is about to end.
    pub fn is_abandoned(&self) -> bool {
        self.shared.abandoned.load(Ordering::Relaxed)
    }

    /// Whether to stop, and why.
    pub fn reason(&self) -> Option<CancelReason> {
        if self.shared.cancelled.load(Ordering::Relaxed) {
            Some(CancelReason::Requested)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Some(CancelReason::TimedOut)
        } else {
            None
        }
    }

    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.reason().is_some()
    }

    /// When the token cancels itself, for those who wait in a system call.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// A token that is cancelled with this one, or once `timeout` has passed.
    pub(crate) fn child(&self, timeout: Option<Duration>) -> Self {
        Self { shared: Arc::clone(&self.shared), deadline: timeout.map(|timeout| Instant::now() + timeout) }
    }

    /// Calls `listener` when the token is cancelled, or now if it already is.
    pub fn on_cancel(&self, listener: impl Fn() + Send + 'static) {
        let mut listeners = self.shared.listeners.lock();
        if self.shared.cancelled.load(Ordering::SeqCst) {
            listener();
        }
        listeners.push(Box::new(listener));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_follow_their_parent_and_their_deadline() {
        let run = CancelToken::new();
        let patient = run.child(None);
        let hasty = run.child(Some(Duration::ZERO));
        assert_eq!(patient.reason(), None);
        assert_eq!(hasty.reason(), Some(CancelReason::TimedOut));
        run.cancel();
        assert_eq!(patient.reason(), Some(CancelReason::Requested));
    }

    #[test]
    fn listeners_are_called_once_even_when_late() {
        let token = CancelToken::new();
        let (tx, rx) = std::sync::mpsc::channel();
        let early = tx.clone();
        token.on_cancel(move || early.send("early").unwrap());
        token.cancel();
        token.cancel();
        token.on_cancel(move || tx.send("late").unwrap());
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), ["early", "late"]);
    }
}
