//! What stands of stages that a run did not look at: they were not selected, or it ended before.

use std::collections::HashMap;

use pipe_cache::{Digest, Lookup, StoreError};

use super::{coordinator::Coordinator, kept::Entries};
use crate::{
    keys::{KeyParts, ResultRecord, look_up},
    pipeline::NodeId,
};

/// The results of a run, and beside them those of earlier runs that are still what the pipeline says: the key that a
/// node has with the sources it was made of then is the key of the reference. Whether those sources have changed since
/// is not looked at.
pub(super) fn look(run: &Coordinator<'_>, reached: &Entries) -> Result<Entries, StoreError> {
    let mut entries = reached.clone();
    let (pipeline, store) = (run.pipeline, &run.run.store);
    let unseen = |id: NodeId| reached[id.index()].is_none() && !run.nodes[id.index()].looked_at;
    if !pipeline.graph.node_indices().any(unseen) {
        return Ok(entries);
    }
    let mut references: HashMap<NodeId, Vec<Digest>> = HashMap::new();
    let refs = store.refs(&pipeline.name)?;
    for (variant, stage, node) in pipeline.placements().filter(|&(_, _, node)| unseen(node)) {
        let stages = refs.get(&pipeline.kept_as(variant));
        references.entry(node).or_default().extend(stages.and_then(|s| s.get(&pipeline.stages[stage].name)));
    }
    for id in pipeline.graph.node_indices().filter(|&id| unseen(id)) {
        let node = &pipeline.graph[id];
        let complete = node.inputs.iter().flat_map(|i| &i.edges).all(|edge| entries[edge.node.index()].is_some());
        let mut keys = references.remove(&id).unwrap_or_default();
        keys.dedup();
        for key in keys.into_iter().filter(|_| complete) {
            let Some(manifest) = store.manifest(&key)? else { continue };
            let Ok(record) = serde_json::from_value::<ResultRecord>(manifest.provenance.record) else { continue };
            let artifact = |input: usize, edge: usize| {
                let edge = &node.inputs[input].edges[edge];
                entries[edge.node.index()].as_ref().map(|entry| entry.outputs[edge.output].1)
            };
            if KeyParts::new(pipeline, node, &record.key.sources, &artifact).key() == key
                && let Lookup::Hit(entry) = look_up(store, &key, &node.outputs)?
            {
                entries[id.index()] = Some(entry);
                break;
            }
        }
    }
    Ok(entries)
}
