//! A running stage's slots, which it gives back while it follows another.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use super::message::Message;
use crate::context::{CancelToken, Seat};

/// How often a stage that waits for slots asks whether it has been cancelled.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The slots of one node; the coordinator keeps the books.
pub(super) struct NodeSeat {
    pub node: u32,
    pub messages: mpsc::Sender<Message>,
}

impl Seat for NodeSeat {
    fn leave(&self) {
        // The coordinator outlives its workers; it is gone only when it panicked.
        let _ = self.messages.send(Message::SeatLeft { node: self.node });
    }

    fn take(&self, cancel: &CancelToken) -> bool {
        let (grant, granted) = mpsc::channel();
        let _ = self.messages.send(Message::SeatWanted { node: self.node, grant });
        loop {
            match granted.recv_timeout(ASK_EVERY) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Timeout) if !cancel.is_cancelled() => {}
                Err(_) => return false,
            }
        }
    }
}
