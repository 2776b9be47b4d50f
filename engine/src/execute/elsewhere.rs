//! What other processes do of the same pipeline: nodes that they compute, and what is left for this one.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use pipe_cache::{Hasher, LeaseOwner, Lookup};

use super::{
    coordinator::Coordinator,
    options::{Fit, RunOptions},
    retry,
};
use crate::{
    context::Increment,
    events::{EventKind, Live, live},
    keys::look_up,
    pipeline::Resources,
};

/// How often others are told of this run, and it of theirs.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long a node is left alone that could not be helped with for now.
const HELP_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause before a node is looked at again that is for other workers.
const LONGEST: Duration = Duration::from_secs(2);

/// Why a node waits for another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// One computes it.
    Held,
    /// This one has too little time left for it, and nobody is known to compute it.
    TooLate,
    /// It is not for this one, and nobody is known to compute it.
    Unfit,
}

/// What is known of other processes.
pub(super) struct Elsewhere {
    /// The node that is begun first, if it is ready: workers begin at different ones, and so meet rarely.
    pub first: u32,
    /// Nodes that wait for another process.
    pub waiting: HashMap<u32, Wait>,
    /// Nodes of other processes that this one adds rows to.
    pub helping: BTreeSet<u32>,
    /// How many running nodes hold no slots, because they follow others.
    pub following: usize,
    /// When this process did something last.
    pub worked: Instant,
    /// It ends although nodes are left, because none is for it.
    pub left: bool,
    /// Nodes that do not fit just now are looked at, too, when nodes are started next.
    pub looks_around: bool,
    told: Instant,
    shown: Vec<Live>,
}

impl Elsewhere {
    pub(super) fn new(options: &RunOptions, nodes: usize) -> Self {
        let first = options.worker.as_ref().map_or(0, |_| {
            let mut h = Hasher::new("pipe.worker.v1");
            let drawn = h.str(&pipe_cache::host_name()).u64(u64::from(std::process::id())).finish();
            let drawn = u64::from_le_bytes(*drawn.as_bytes().first_chunk().expect("32 bytes"));
            (drawn % nodes.max(1) as u64) as u32
        });
        let now = Instant::now();
        Self {
            first,
            waiting: HashMap::new(),
            helping: BTreeSet::new(),
            following: 0,
            worked: now,
            left: false,
            looks_around: false,
            told: now,
            shown: Vec::new(),
        }
    }

    /// When others are told of this run next.
    pub(super) fn due(&self) -> Instant {
        self.told + TELL_EVERY
    }
}

impl Coordinator<'_> {
    /// The next ready node from `from` on, in a circle; `round` says that the end was passed.
    pub(super) fn next_ready(&self, from: &mut u32, round: &mut bool) -> Option<u32> {
        if !*round {
            if let Some(&node) = self.ready.range(*from..).next() {
                return Some(node);
            }
            (*round, *from) = (true, 0);
        }
        let first = self.elsewhere.first;
        let mut rest = self.ready.range(*from..);
        rest.next().copied().filter(|&node| first == 0 || node < first)
    }

    /// Looks whether another process has done a node that is ready. Returns whether that is so.
    pub(super) fn is_done_elsewhere(&mut self, node: u32) -> bool {
        let forced = self.selected.force[node as usize] && !self.nodes[node as usize].announced;
        let work = self.nodes[node as usize].work.as_ref().expect("a ready node has been keyed");
        let is_shared = !forced && !work.uncached && (self.options.worker.is_some() || work.polls > 0);
        if !is_shared {
            return false;
        }
        let Ok(Lookup::Hit(entry)) = look_up(&self.run.store, &work.key, &self.node(node).outputs) else {
            return false;
        };
        self.ready.remove(&node);
        self.elsewhere.waiting.remove(&node);
        self.elsewhere.worked = Instant::now();
        self.hit(node, &entry);
        true
    }

    /// Whether a ready node is not for this worker, which wants `wish`: it then waits until another has done it, or is
    /// done already.
    pub(super) fn is_for_others(&mut self, node: u32, wish: &Resources) -> bool {
        if self.options.worker.is_none() {
            return false;
        }
        let spec = self.node(node);
        let is_resumed = !matches!(spec.kind.increment(&spec.params), Increment::Whole);
        let unheld = match self.options.offers(wish, is_resumed, Instant::now()) {
            Fit::Fits => return false,
            Fit::TooLate => Wait::TooLate,
            Fit::Unfit => Wait::Unfit,
        };
        if self.is_done_elsewhere(node) {
            return true;
        }
        let work = self.nodes[node as usize].work.as_ref().expect("a ready node has been keyed");
        let (key, polls) = (work.key, work.polls);
        self.ready.remove(&node);
        // What cannot be known is taken for somebody's work.
        let is_held = self.run.store.lease_owner(&key).map_or(true, |owner| owner.is_some());
        self.elsewhere.waiting.insert(node, if is_held { Wait::Held } else { unheld });
        self.state(node).work.as_mut().expect("it was just there").polls += 1;
        self.delay(node, (retry::poll_interval(polls + 1) * 8).min(LONGEST));
        true
    }

    /// Whether a node that another process computes is to be helped with.
    pub(super) fn may_help(&self, node: u32) -> bool {
        let spec = self.node(node);
        let work = self.nodes[node as usize].work.as_ref().expect("a ready node has been keyed");
        work.polls > 0
            && !work.uncached
            && !matches!(spec.kind.increment(&spec.params), Increment::Whole)
            && work.help_after.is_some_and(|at| at <= Instant::now())
    }

    /// Another process has a node.
    pub(super) fn busy(&mut self, node: u32, owner: Option<LeaseOwner>) {
        let state = self.state(node);
        state.attempts -= 1;
        let work = state.work.as_mut().expect("a running node has been keyed");
        work.polls += 1;
        let (key, polls) = (work.key, work.polls);
        if polls == 1 {
            let on = owner.map_or_else(|| "another process".to_owned(), |owner| owner.to_string());
            self.emitter.emit(EventKind::Waiting { node: self.name(node), key, on });
        }
        self.elsewhere.waiting.insert(node, Wait::Held);
        self.delay(node, retry::poll_interval(polls));
    }

    /// Another process has a node, and this one has added rows to it.
    pub(super) fn helped(&mut self, node: u32, owner: Option<LeaseOwner>, rows: u64, may_help: bool) {
        self.summary.rows_computed += rows;
        let work = self.state(node).work.as_mut().expect("a running node has been keyed");
        work.help_after = may_help.then(|| Instant::now() + HELP_PAUSE);
        if rows > 0 {
            self.elsewhere.worked = Instant::now();
        }
        self.busy(node, owner);
    }

    /// Whether all that a worker could do is to wait for others.
    fn only_waits(&self) -> bool {
        self.keyable.is_empty()
            && self.hashing == 0
            && self.asking.under_way == 0
            && self.running == self.elsewhere.following
            && self.ready.is_empty()
            && self.delayed.len() == self.elsewhere.waiting.len()
    }

    /// Whether nothing is for this worker, and nobody computes what would give it something to do.
    pub(super) fn is_done_here(&self) -> bool {
        self.options.worker.is_some()
            && self.only_waits()
            && self.running == 0
            && self.elsewhere.waiting.values().all(|wait| *wait != Wait::Held)
    }

    /// Whether a worker ends here: nothing runs, nothing is for it, and it has waited long enough for others.
    pub(super) fn leaves(&self) -> bool {
        let Some(offer) = &self.options.worker else { return false };
        match offer.idle {
            Some(idle) if self.elsewhere.worked.elapsed() >= idle => self.only_waits(),
            // Waiting would bring it no time.
            Some(_) => self.lacks_time() && self.is_done_here(),
            None => self.is_done_here(),
        }
    }

    /// The run is to end. A worker that has nothing to do by then leaves, and is not told to go on later.
    pub(super) fn cancel(&mut self) {
        if !std::mem::replace(&mut self.cancelled, true) {
            self.elsewhere.left |= self.is_done_here();
        }
        // Who leaves in good order still sends what it has computed, unless it is told to stop at once.
        if let Some(remote) = &self.options.remote
            && (!self.elsewhere.left || self.options.cancel.is_abandoned())
        {
            remote.cancel();
        }
    }

    /// Whether another worker is to take over: this one lacks nothing but time for what is left. Not if it has done
    /// nothing with the time it had: then the next one would not, either.
    pub(super) fn lacks_time(&self) -> bool {
        let has_worked = self.summary.ran > 0 || self.summary.rows_computed > 0;
        has_worked && self.elsewhere.waiting.values().any(|wait| *wait == Wait::TooLate)
    }

    /// Tells others of this run, and looks at what they do and have done.
    pub(super) fn exchange(&mut self) {
        if self.elsewhere.told.elapsed() < TELL_EVERY {
            return;
        }
        self.elsewhere.told = Instant::now();
        self.elsewhere.looks_around = true;
        self.write_origins(false);
        self.emitter.tell();
        for &node in &self.elsewhere.helping {
            // Without locks, an owner is known to be dead to who has looked for half a minute: not from when the last
            // of its rows has been done, but meanwhile.
            let work = self.nodes[node as usize].work.as_ref().expect("a running node has been keyed");
            let _ = self.run.store.lease_owner(&work.key);
        }
        let mut others = live(&self.run.store, Some(&self.pipeline.name));
        others.retain(|other| other.run != self.run.run);
        if others != self.elsewhere.shown {
            self.elsewhere.shown.clone_from(&others);
            self.emitter.emit(EventKind::Elsewhere { runs: others });
        }
    }
}
