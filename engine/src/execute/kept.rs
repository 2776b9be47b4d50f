//! What every (variant, stage) stands at.

use std::sync::Arc;

use pipe_cache::{Digest, Entry, Hasher, RefEntry};

use crate::{
    events::EndState,
    pipeline::{NodeId, Pipeline},
};

/// Results by node index.
pub(super) type Entries = Vec<Option<Arc<Entry>>>;

/// Results under the names of variants and stages.
pub(super) struct Kept<'a> {
    pub pipeline: &'a Pipeline,
    pub entries: &'a Entries,
}

impl Kept<'_> {
    /// Every (variant, stage) that has a result, with the node and the result.
    pub(super) fn placements(&self) -> impl Iterator<Item = (usize, usize, NodeId, &Arc<Entry>)> {
        (self.pipeline.placements())
            .filter_map(|(variant, stage, node)| Some((variant, stage, node, self.entries[node.index()].as_ref()?)))
    }

    fn named(&self) -> impl Iterator<Item = (String, String, Digest)> {
        let names: Vec<String> = (0..self.pipeline.variants.len()).map(|v| self.pipeline.kept_as(v)).collect();
        self.placements()
            .map(move |(v, s, _, entry)| (names[v].clone(), self.pipeline.stages[s].name.clone(), entry.key))
    }

    /// Names this state.
    pub(super) fn digest(&self) -> Digest {
        let mut h = Hasher::new("pipe.state.v1");
        for (variant, stage, key) in self.named() {
            h.str(&variant).str(&stage).digest(&key);
        }
        h.finish()
    }

    pub(super) fn end_state(&self) -> EndState {
        let mut state = EndState::new();
        for (variant, stage, key) in self.named() {
            state.entry(variant).or_default().insert(stage, key);
        }
        state
    }

    pub(super) fn refs(&self) -> Vec<RefEntry> {
        self.named().map(|(variant, stage, key)| RefEntry { variant, stage, key }).collect()
    }
}
