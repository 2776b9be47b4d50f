//! Looks at every node without running anything: what `plan`, `why` and the commands that name artifacts stand on.

use std::{collections::BTreeMap, sync::Arc};

use pipe_cache::{Digest, Entry, Remote, Store, StoreError};

use crate::{
    execute::usable,
    keys::{SourceHasher, Standing, View},
    pipeline::{NodeId, Pipeline},
};

/// All nodes of a pipeline, seen against a store.
pub struct Survey {
    /// By node index. A result that the remote has counts as a hit.
    pub nodes: Vec<Standing>,
    /// Which of the hits are on the remote and not in the store, by node index.
    pub elsewhere: Vec<bool>,
}

impl Survey {
    /// The result of a node, if it is in the store, or, where the remote was asked, there.
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
    survey_beyond(pipeline, store, None, env, wanted, forced)
}

/// [`survey`], which asks the remote of what the store lacks: of all that is known to be missing at once, and again of
/// what is known by then.
pub(crate) fn survey_beyond(
    pipeline: &Pipeline,
    store: &Store,
    remote: Option<&Remote>,
    env: &Arc<BTreeMap<String, String>>,
    wanted: &[bool],
    forced: &[bool],
) -> Result<Survey, StoreError> {
    let hasher = SourceHasher::new(store.clone(), Arc::clone(env));
    let count = pipeline.graph.node_count();
    let mut survey = Survey { nodes: vec![Standing::Unseen; count], elsewhere: vec![false; count] };
    survey.look(pipeline, store, &hasher, wanted, forced)?;
    let Some(remote) = remote.filter(|remote| remote.pulls()) else { return Ok(survey) };
    let mut asked = vec![false; count];
    loop {
        let key = |(n, standing): (usize, &Standing)| match standing {
            Standing::Missing(missing) if !forced[n] && !asked[n] => Some((n, missing.key?)),
            _ => None,
        };
        let questions: Vec<(usize, Digest)> = survey.nodes.iter().enumerate().filter_map(key).collect();
        let keys: Vec<Digest> = questions.iter().map(|(_, key)| *key).collect();
        let mut found = false;
        for ((n, _), manifest) in questions.into_iter().zip(remote.records(&keys)) {
            asked[n] = true;
            let outputs = &pipeline.graph[NodeId::new(n)].outputs;
            if let Some(entry) = manifest.and_then(|manifest| usable(remote, &manifest, outputs)) {
                survey.nodes[n] = Standing::Hit(Arc::new(entry));
                survey.elsewhere[n] = true;
                found = true;
            }
        }
        if !found {
            return Ok(survey);
        }
        let pending = |n: usize| matches!(survey.nodes[n], Standing::Pending { .. });
        let wanted: Vec<bool> = (0..count).map(|n| wanted[n] && pending(n)).collect();
        survey.look(pipeline, store, &hasher, &wanted, forced)?;
    }
}

impl Survey {
    fn look(
        &mut self,
        pipeline: &Pipeline,
        store: &Store,
        hasher: &SourceHasher,
        wanted: &[bool],
        forced: &[bool],
    ) -> Result<(), StoreError> {
        for id in pipeline.graph.node_indices().filter(|id| wanted[id.index()]) {
            let sources = hasher.of_node(&pipeline.graph[id]);
            let entry = |id: NodeId| self.entry(id).map(|entry| &**entry);
            let view = View { pipeline, store, entry: &entry, failed: &|_| false };
            let standing = view.stand(id, sources, forced[id.index()])?;
            self.nodes[id.index()] = standing;
        }
        Ok(())
    }
}
