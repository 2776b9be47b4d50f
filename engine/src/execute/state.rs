//! What the coordinator knows of each node.

use std::{sync::Arc, time::Instant};

use pipe_cache::{Digest, Entry};

use super::slots::Held;
use crate::keys::KeyRecord;

/// Where a node is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing that is selected needs it: it is not looked at.
    Irrelevant,
    /// Waits for its inputs.
    Blocked,
    /// Its sources are being hashed.
    Hashing,
    /// The remote is being asked for its result.
    Asking,
    /// Ready to run: waits for slots.
    Ready,
    /// Waits for another node or process that computes the same key, for its next attempt, or for a repair upstream.
    Waiting,
    /// A worker has it.
    Running,
    /// Its result is in the store.
    Done,
    /// It has no result and will get none in this run.
    Over,
}

/// What the coordinator knows of one node.
pub(super) struct NodeState {
    pub phase: Phase,
    /// Producers (edges) that are not done yet.
    pub missing: u32,
    /// The result, when done.
    pub entry: Option<Arc<Entry>>,
    /// Whether its consumers were told that it is done; a repaired node is done a second time.
    pub announced: bool,
    /// The store was asked for its result.
    pub looked_at: bool,
    /// The remote was asked for its result.
    pub asked: bool,
    /// The summary counts it as a hit.
    pub hit: bool,
    /// Attempts begun.
    pub attempts: u32,
    /// Its artifact was damaged and it runs (or ran) again: at most once per run.
    pub repaired: bool,
    /// How often it found an input damaged.
    pub repairs: u32,
    /// How often its sources changed while it ran.
    pub source_changes: u32,
    /// What is only needed of nodes that run.
    pub work: Option<Box<Work>>,
}

/// What is only needed of nodes that run.
pub(super) struct Work {
    pub key: Digest,
    /// The key lacks a component (I8).
    pub uncached: bool,
    pub recipe: Digest,
    pub record: Arc<KeyRecord>,
    pub held: Option<Held>,
    /// How often another process turned out to hold the lease.
    pub polls: u32,
    /// When this process may add rows to what another one computes; `None` where it could not.
    pub help_after: Option<Instant>,
}

impl NodeState {
    pub(super) fn new(missing: u32, relevant: bool) -> Self {
        Self {
            phase: if relevant { Phase::Blocked } else { Phase::Irrelevant },
            missing,
            entry: None,
            announced: false,
            looked_at: false,
            asked: false,
            hit: false,
            attempts: 0,
            repaired: false,
            repairs: 0,
            source_changes: 0,
            work: None,
        }
    }

    /// Whether nothing more will happen to it.
    pub(super) fn is_final(&self) -> bool {
        matches!(self.phase, Phase::Irrelevant | Phase::Done | Phase::Over)
    }
}
