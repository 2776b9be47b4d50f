//! Garbage collection.

use std::time::Duration;

use crate::{Store, StoreError};

/// What may go. The default removes only what no run can use again: leftovers of dead processes, orphaned objects, quarantine.
#[derive(Debug, Clone, Default)]
pub struct GcPolicy {
    /// Remove results, least recently used first, until the store is at most this large.
    pub max_bytes: Option<u64>,
    /// Remove results that were not used for so long.
    pub max_age: Option<Duration>,
    /// Remove every result that no reference names.
    pub unreachable: bool,
    /// Let `max_bytes` and `max_age` remove also what references name.
    pub even_reachable: bool,
    /// Only report.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Manifests.
    pub manifests: usize,
    /// Objects.
    pub objects: usize,
    /// Memos.
    pub memos: usize,
    /// Entries of `tmp/`, and stale leases.
    pub leftovers: usize,
    /// Quarantined things.
    pub quarantined: usize,
    /// Bytes freed.
    pub freed_bytes: u64,
    /// Bytes that remain.
    pub kept_bytes: u64,
}

impl Store {
    /// Collects garbage. Safe while other processes run: what they are publishing stays, and what they lose they recompute.
    pub fn gc(&self, _policy: &GcPolicy) -> Result<GcReport, StoreError> {
        unimplemented!("lands next")
    }
}
