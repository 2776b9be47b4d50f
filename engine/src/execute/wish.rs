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
    /// What the pipeline says; of memory, where it says nothing and `counted`, what the kind says.
    pub(super) fn of(&mut self, id: u32, node: &Node, hasher: &SourceHasher, counted: bool) -> Resources {
        let mut wish = node.resources.clone();
        if counted && wish.memory == 0 {
            let ask = || {
                let preview = node.kind.preview(&node.params, &hasher.host(node));
                preview.ok().and_then(|preview| preview.memory).map_or(0, |memory| memory.most)
            };
            wish.memory = *self.0.entry(id).or_insert_with(ask);
        }
        wish
    }
}
