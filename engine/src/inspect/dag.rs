//! The graph as people see it: one box per stage, with how many distinct computations it stands for.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::pipeline::{NodeId, Pipeline};

/// The stages of a pipeline and what flows between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dag {
    /// The pipeline's name.
    pub pipeline: String,
    /// Number of arms.
    pub variants: usize,
    /// Stages, producers before consumers.
    pub stages: Vec<DagStage>,
    /// What flows between them, in the order of the consumers.
    pub edges: Vec<DagEdge>,
}

/// One stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DagStage {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Variants that have it.
    pub placements: usize,
    /// Distinct computations among them: `instructions ×4`.
    pub nodes: usize,
}

/// What flows from one stage to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DagEdge {
    /// The consumer, as an index into [`Dag::stages`].
    pub to: usize,
    /// The consumer's port.
    pub port: String,
    /// The producer, as an index into [`Dag::stages`].
    pub from: usize,
    /// The producer's output, where it is not the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Whether all variants are gathered.
    pub gather: bool,
}

/// The graph of a resolved pipeline. Stages that no variant has are left out.
pub fn dag(pipeline: &Pipeline) -> Dag {
    // A stage's place: that of its first node.
    let mut position: Vec<Option<usize>> = vec![None; pipeline.stages.len()];
    let mut sorted: Vec<usize> = Vec::new();
    for id in pipeline.graph.node_indices() {
        for &(_, stage) in &pipeline.graph[id].placements {
            if position[stage as usize].is_none() {
                position[stage as usize] = Some(sorted.len());
                sorted.push(stage as usize);
            }
        }
    }
    let mut edges = BTreeSet::new();
    for id in pipeline.graph.node_indices() {
        let node = &pipeline.graph[id];
        for &(variant, stage) in &node.placements {
            let to = position[stage as usize].expect("a placed stage has a position");
            for input in &node.inputs {
                for edge in &input.edges {
                    let producer = &pipeline.graph[edge.node];
                    let from = stage_in(pipeline, edge.node, variant).and_then(|s| position[s]);
                    edges.extend(from.map(|from| DagEdge {
                        to,
                        port: input.port.clone(),
                        from,
                        output: (edge.output > 0).then(|| producer.outputs[edge.output].name.to_string()),
                        gather: input.gather,
                    }));
                }
            }
        }
    }
    let stage = |&stage: &usize| {
        let nodes: Vec<NodeId> = pipeline.stage_nodes(stage).collect();
        DagStage {
            name: pipeline.stages[stage].name.clone(),
            kind: pipeline.stages[stage].kind.clone(),
            placements: nodes.len(),
            nodes: nodes.into_iter().collect::<BTreeSet<_>>().len(),
        }
    };
    Dag {
        pipeline: pipeline.name.clone(),
        variants: pipeline.variants.len(),
        stages: sorted.iter().map(stage).collect(),
        edges: edges.into_iter().collect(),
    }
}

/// Which stage of a variant a producer is; of its first placement for what is gathered from other variants.
fn stage_in(pipeline: &Pipeline, producer: NodeId, variant: u32) -> Option<usize> {
    let placements = &pipeline.graph[producer].placements;
    let here = placements.iter().find(|(v, _)| *v == variant).or_else(|| placements.first());
    here.map(|&(_, stage)| stage as usize)
}
