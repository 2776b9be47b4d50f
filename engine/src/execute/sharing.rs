//! Lets go of what stages keep for each other ([`StageContext::keep_for_others`]), as soon as that is of no use, or in
//! the way.
//!
//! [`StageContext::keep_for_others`]: crate::context::StageContext::keep_for_others

use std::{
    collections::{BTreeMap, BTreeSet},
    thread::{self, JoinHandle},
};

use super::{coordinator::Coordinator, state::Phase};
use crate::{
    context::{Kept, Shared},
    pipeline::Pipeline,
};

/// Who shares what.
#[derive(Default)]
pub(super) struct Sharing {
    /// By name: the nodes that give it.
    users: BTreeMap<String, BTreeSet<u32>>,
    /// What they keep.
    pub shared: Shared,
    /// Endings under way.
    ending: Vec<JoinHandle<()>>,
}

impl Sharing {
    /// Nothing is kept yet.
    pub(super) fn of(pipeline: &Pipeline) -> Self {
        let mut users: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for id in pipeline.graph.node_indices() {
            let node = &pipeline.graph[id];
            if let Some(name) = node.kind.shares(&node.params) {
                users.entry(name).or_default().insert(id.index() as u32);
            }
        }
        Self { users, ..Self::default() }
    }

    fn of_name(&self, name: &str) -> impl Iterator<Item = u32> + '_ {
        self.users.get(name).into_iter().flatten().copied()
    }

    fn end(&mut self, name: &str) {
        if let Some(kept) = self.shared.take(name) {
            self.ending.push(thread::spawn(move || drop(kept)));
        }
    }

    /// Lets go of everything, and waits until it is gone.
    pub(super) fn end_all(&mut self) {
        for name in self.shared.names() {
            self.end(&name);
        }
        for ending in self.ending.drain(..) {
            if ending.join().is_err() {
                tracing::error!("what a stage kept could not be let go");
            }
        }
    }
}

impl Coordinator<'_> {
    /// Lets go of what no stage of this run will ask for any more.
    pub(super) fn let_go(&mut self) {
        for name in self.sharing.shared.names() {
            if self.sharing.of_name(&name).all(|user| self.nodes[user as usize].is_final()) {
                self.sharing.end(&name);
            }
        }
    }

    /// What lies on GPUs that `node` is about to get: kept by stages that want some, of which none runs now. Where
    /// GPUs are counted and enough are left over, nothing is in the way.
    pub(super) fn in_the_way(&mut self, node: u32) -> Vec<Kept> {
        if self.node(node).resources.gpu == 0 {
            return Vec::new();
        }
        let mut found = Vec::new();
        for name in self.sharing.shared.names() {
            let users: Vec<u32> = self.sharing.of_name(&name).collect();
            let wanted = users.iter().map(|&user| self.node(user).resources.gpu).max().unwrap_or_default();
            let is_used = users.iter().any(|&user| user == node || self.nodes[user as usize].phase == Phase::Running);
            if wanted > 0 && !is_used && self.slots.free_gpus().is_none_or(|free| free < u64::from(wanted)) {
                found.extend(self.sharing.shared.take(&name));
            }
        }
        found
    }
}
