//! The second level of the store, on the way from "not here" to "ready to run", and behind what was computed.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use pipe_cache::{Digest, Entry, Remote};

use super::{ask::AskJob, coordinator::Coordinator, pool::Executor, state::Phase, worker::Job};
use crate::{context::Increment, events::EventKind, keys::Missing};

/// Questions under way at once: each waits for the network, not for a core.
const AT_ONCE: usize = 16;

/// A run that waits for so long until all is pushed says so, and again after twice the time.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// The nodes that the remote is asked for.
#[derive(Default)]
pub(super) struct Asking {
    /// To be asked for.
    waiting: VecDeque<u32>,
    /// How many questions are under way.
    pub under_way: usize,
    /// What is known of the nodes meanwhile.
    missing: HashMap<u32, Missing>,
}

impl Coordinator<'_> {
    /// Has the remote asked for a result that is not here; gives back what it is not asked for.
    pub(super) fn ask_remote(&mut self, node: u32, missing: Missing) -> Option<Missing> {
        let asks = self.options.remote.as_ref().is_some_and(Remote::pulls);
        let forced = self.selected.force[node as usize] && !self.nodes[node as usize].announced;
        if !asks || forced || missing.key.is_none() || self.run.store.read_only() {
            return Some(missing);
        }
        let state = self.state(node);
        if std::mem::replace(&mut state.asked, true) {
            return Some(missing);
        }
        state.phase = Phase::Asking;
        self.asking.missing.insert(node, missing);
        self.asking.waiting.push_back(node);
        None
    }

    /// Asks for as many results as may be asked for at once.
    pub(super) fn start_asking(&mut self, executor: &mut dyn Executor) {
        let Some(remote) = &self.options.remote else { return };
        while self.asking.under_way < AT_ONCE && !self.cancelled {
            let Some(node) = self.asking.waiting.pop_front() else { return };
            let missing = &self.asking.missing[&node];
            let key = missing.key.expect("only what has a key is asked for");
            let memo = (self.has_rows(node) && self.selected.run[node as usize]).then_some(missing.recipe);
            self.asking.under_way += 1;
            let (remote, store, outputs) = (remote.clone(), self.run.store.clone(), self.node(node).outputs.clone());
            let messages = self.sender.clone();
            executor.submit(Job::Ask(AskJob { node, remote, store, key, outputs, memo, messages }));
        }
    }

    /// The remote has the result, or it has not.
    pub(super) fn asked(&mut self, node: u32, entry: Option<Arc<Entry>>) {
        self.asking.under_way -= 1;
        self.tell_remote();
        let missing = self.asking.missing.remove(&node).expect("it was asked for");
        match entry {
            Some(entry) => self.hit(node, &entry),
            None => self.missing(node, missing),
        }
    }

    /// Whether the memo has a node's rows.
    fn has_rows(&self, node: u32) -> bool {
        let spec = self.node(node);
        !matches!(spec.kind.increment(&spec.params), Increment::Whole)
    }

    /// What was computed goes to the remote, in the background.
    pub(super) fn push(&mut self, node: u32, key: Option<Digest>, recipe: Digest) {
        let (Some(remote), Some(key)) = (&self.options.remote, key) else { return };
        remote.submit(&self.run.store, &key, self.selected.force[node as usize]);
        if self.has_rows(node) {
            remote.submit_memo(&self.run.store, &recipe);
        }
        self.tell_remote();
    }

    /// The rows of a node that ended without a result go to the remote all the same.
    pub(super) fn push_rows(&mut self, node: u32) {
        let work = self.nodes[node as usize].work.as_ref().filter(|work| !work.uncached);
        if let (Some(remote), Some(work), true) = (&self.options.remote, work, self.has_rows(node)) {
            remote.submit_memo(&self.run.store, &work.recipe);
        }
    }

    /// Waits for what is under way to the remote, and counts what went and came.
    pub(super) fn finish_pushing(&mut self) {
        let Some(remote) = &self.options.remote else { return };
        let (left, begun, mut due) = (self.elsewhere.left, Instant::now(), TELL_AFTER);
        {
            let _span = tracing::info_span!("push").entered();
            remote.wait_telling(&mut |on_the_way| {
                if begun.elapsed() >= due {
                    due *= 2;
                    self.emitter.emit(EventKind::Pushing { on_the_way });
                }
                // Who leaves cancels what follows others, and has all the time for what it computed itself.
                let cancel = &self.options.cancel;
                cancel.is_cancelled() && (!left || cancel.is_abandoned())
            });
        }
        let counts = remote.counts();
        self.tell_remote();
        if counts.unpushed > 0 {
            let message = format!(
                "{} of what was computed did not reach the remote; `pipe push` sends what it lacks",
                counts.unpushed
            );
            self.emitter.emit(EventKind::Warning { node: None, message });
        }
        self.summary.remote = Some(counts);
    }

    fn tell_remote(&mut self) {
        for message in self.options.remote.iter().flat_map(Remote::take_warnings) {
            self.emitter.emit(EventKind::Warning { node: None, message });
        }
    }
}
