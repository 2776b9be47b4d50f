//! Looks at every node without running anything: what `plan`, `why` and the commands that name artifacts stand on.

use std::{collections::BTreeMap, sync::Arc};

use pipe_cache::{Entry, Store, StoreError};

use crate::{
    keys::{SourceHasher, Standing, View},
    pipeline::{NodeId, Pipeline},
};

/// All nodes of a pipeline, seen against a store.
pub struct Survey {
    /// By node index.
    pub nodes: Vec<Standing>,
}

impl Survey {
    /// The result of a node, if it is in the store.
    pub fn entry(&self, node: NodeId) -> Option<&Arc<Entry>> {
        match &self.nodes[node.index()] {
            Standing::Hit(entry) => Some(entry),
            _ => None,
        }
    }
}

/// Looks at the `wanted` nodes (by node index), which must include everything upstream of each. Those in `forced` count
/// as missing whatever the store has.
pub fn survey(
    pipeline: &Pipeline,
    store: &Store,
    env: &Arc<BTreeMap<String, String>>,
    wanted: &[bool],
    forced: &[bool],
) -> Result<Survey, StoreError> {
    let hasher = SourceHasher::new(store.clone(), Arc::clone(env));
    let mut survey = Survey { nodes: vec![Standing::Unseen; pipeline.graph.node_count()] };
    for id in pipeline.graph.node_indices().filter(|id| wanted[id.index()]) {
        let sources = hasher.of_node(&pipeline.graph[id]);
        let entry = |id: NodeId| survey.entry(id).map(|entry| &**entry);
        let standing =
            View { pipeline, store, entry: &entry, failed: &|_| false }.stand(id, sources, forced[id.index()])?;
        survey.nodes[id.index()] = standing;
    }
    Ok(survey)
}
