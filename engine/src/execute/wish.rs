//! What a node asks for of the machine.

use std::collections::HashMap;

use crate::{
    keys::SourceHasher,
    pipeline::{Node, Resources},
};

/// What nodes take of memory, as their kinds estimate it; asked once each, where memory is counted.
#[derive(Default)]
pub(super) struct Wishes(HashMap<u32, u64>);

impl Wishes {
    /// What a node wants, as [`wish`] says.
    pub(super) fn of(&mut self, id: u32, node: &Node, hasher: &SourceHasher, counted: bool) -> Resources {
        if !counted {
            return node.resources.clone();
        }
        let memory = *self.0.entry(id).or_insert_with(|| wish(node, hasher, true).memory);
        Resources { memory, ..node.resources.clone() }
    }
}

/// What the pipeline says that a node wants; of memory, where it says nothing and `counted`, what the kind says.
pub fn wish(node: &Node, hasher: &SourceHasher, counted: bool) -> Resources {
    let mut wish = node.resources.clone();
    if counted && wish.memory == 0 {
        let preview = node.kind.preview(&node.params, &hasher.host(node));
        wish.memory = preview.ok().and_then(|preview| preview.memory).map_or(0, |memory| memory.most);
    }
    wish
}
