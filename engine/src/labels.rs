//! How nodes are called in front of people.

use crate::{
    events::{Label, NodeRef},
    pipeline::{NodeId, Pipeline},
};

/// The names of all nodes, by node index.
pub fn node_refs(pipeline: &Pipeline) -> Vec<NodeRef> {
    pipeline.graph.node_indices().map(|id| node_ref(pipeline, id)).collect()
}

/// The name of one node: `stage` when every variant that has the stage shares it, else `stage@variant`, with ` +n` when
/// `n` further variants share it.
pub fn node_ref(pipeline: &Pipeline, id: NodeId) -> NodeRef {
    let placements = &pipeline.graph[id].placements;
    let (variant, stage) = placements[0];
    let stages = pipeline.stages.len();
    let everywhere = || {
        let here = |v: usize| pipeline.node_of[v * stages + stage as usize];
        (0..pipeline.variants.len()).filter_map(here).all(|node| node == id)
    };
    let name = &pipeline.stages[stage as usize].name;
    let variant = &pipeline.variants[variant as usize].name;
    let others = placements.len() - 1;
    let label = if placements.len() == pipeline.variants.len()
        || (others > 0 && everywhere())
        || pipeline.variants.len() == 1
    {
        name.as_str().into()
    } else if others == 0 {
        format!("{name}@{variant}").into()
    } else {
        format!("{name}@{variant} +{others}").into()
    };
    NodeRef { id: id.index() as u32, label: Label(label) }
}
