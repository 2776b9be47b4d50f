//! Following: a stage that needs rows which another computes just now waits for them, and holds nothing that the other
//! needs.

use std::time::{Duration, Instant};

use pipe_cache::{Changes, LeaseOwner};

use super::{CancelToken, StageContext, StageError, StageMessage};

/// How long a stage keeps its slots, and its peace, while it waits.
const PATIENCE: Duration = Duration::from_millis(50);
/// How often rows of other processes are looked for, at first and at last. Those of this process wake who waits.
const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// The slots of a running stage.
pub(crate) trait Seat: Send + Sync {
    /// Gives them back.
    fn leave(&self);
    /// Waits until they are free, and takes them again. `false` when `cancel` said so before.
    fn take(&self, cancel: &CancelToken) -> bool;
}

/// One stage's waiting for the rows of others.
pub(super) struct Following<'a> {
    cx: &'a StageContext,
    seated: bool,
    pause: Duration,
    waited: Duration,
}

impl<'a> Following<'a> {
    pub(super) fn new(cx: &'a StageContext) -> Self {
        Self { cx, seated: true, pause: POLL.0, waited: Duration::ZERO }
    }

    /// Whether the stage holds its slots, and so may compute.
    pub(super) fn is_seated(&self) -> bool {
        self.seated
    }

    /// Waits until others have written down something since there were `seen` changes, or for a little while.
    pub(super) fn wait(&mut self, changes: &Changes, seen: u64, owner: Option<&LeaseOwner>) -> Result<(), StageError> {
        if self.seated && self.waited >= PATIENCE {
            let on = match owner {
                Some(owner) if !owner.is_this() => format!("{owner}, which computes the same rows"),
                _ => "a stage of this run that computes the same rows".to_owned(),
            };
            self.cx.tell(StageMessage::Waiting(on));
            self.cx.parts.seat.leave();
            self.seated = false;
        }
        let start = Instant::now();
        changes.wait(seen, self.pause);
        let waited = start.elapsed();
        self.waited += waited;
        self.cx.count(|counts| counts.waiting += waited);
        self.pause = if changes.count() > seen { POLL.0 } else { (self.pause * 2).min(POLL.1) };
        self.cx.check_cancelled()
    }

    /// Takes the slots again, if they were given back.
    pub(super) fn sit(&mut self) -> Result<(), StageError> {
        if !self.seated {
            let start = Instant::now();
            self.seated = self.cx.parts.seat.take(&self.cx.parts.cancel);
            self.cx.count(|counts| counts.waiting += start.elapsed());
            if !self.seated {
                return Err(StageError::Cancelled);
            }
            self.waited = Duration::ZERO;
        }
        Ok(())
    }
}
