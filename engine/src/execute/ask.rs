//! A question to the second level of the store: a job for a worker that waits for the network.

use std::sync::mpsc;

use pipe_cache::{Digest, Entry, Manifest, Remote, Store};

use super::message::Message;
use crate::{keys::misfit, kind::OutputPort};

/// Asks the remote for a result, and if it has none, for the rows that the memo lacks.
pub(super) struct AskJob {
    pub node: u32,
    pub remote: Remote,
    pub store: Store,
    pub key: Digest,
    /// What its result must have.
    pub outputs: Vec<OutputPort>,
    /// The recipe of a node that is computed row by row.
    pub memo: Option<Digest>,
    pub messages: mpsc::Sender<Message>,
}

/// What the remote has recorded of the result of a stage with these outputs, unless its consumers could not read it:
/// then the record counts as damaged.
pub(crate) fn usable(remote: &Remote, recorded: &Manifest, outputs: &[OutputPort]) -> Option<Entry> {
    let entry = recorded.entry();
    match misfit(outputs, &entry) {
        None => Some(entry),
        Some(reason) => {
            remote.refuse(&entry.key, &reason);
            None
        }
    }
}

impl AskJob {
    pub(super) fn run(self) -> Message {
        let _span = tracing::info_span!("ask the remote", key = ?self.key).entered();
        let recorded = self.remote.record(&self.key);
        let entry = recorded.and_then(|manifest| usable(&self.remote, &manifest, &self.outputs)).and_then(|_| {
            let entry = self.remote.pull(&self.store, &self.key)?;
            // The store may have had another.
            misfit(&self.outputs, &entry).is_none().then_some(entry)
        });
        if let (None, Some(recipe)) = (&entry, &self.memo) {
            self.remote.pull_memo(&self.store, recipe);
        }
        Message::Asked { node: self.node, entry }
    }
}
