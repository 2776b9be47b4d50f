//! Which inputs the rows of a table reach.

use std::collections::BTreeSet;

use pipe_engine::{
    diag::Severity,
    kind::{Column, Role, StageKind},
    pipeline::{NodeId, Pipeline},
};

use super::{Finding, Input};
use crate::kinds::seed_subset::{SeedSubset, SeedSubsetParams};

/// An input that rows reach.
#[derive(PartialEq)]
pub(super) struct Use {
    /// The stage that has it.
    pub stage: String,
    /// The input.
    pub port: String,
    /// What the rows are there.
    pub role: Option<Role>,
    /// The columns that are needed and taken.
    pub columns: Vec<Column>,
}

/// The inputs that an output reaches, through stages that pass the columns of an input on.
pub(super) fn uses(pipeline: &Pipeline, from: NodeId, output: usize) -> Vec<Use> {
    let mut found = Vec::new();
    let mut open = vec![(from, output)];
    let mut seen: BTreeSet<(NodeId, usize)> = open.iter().copied().collect();
    while let Some((producer, output)) = open.pop() {
        for id in pipeline.graph.neighbors(producer).collect::<BTreeSet<_>>() {
            let node = &pipeline.graph[id];
            let reached = |edge: &pipe_engine::pipeline::InputEdge| edge.node == producer && edge.output == output;
            for input in node.inputs.iter().filter(|input| input.edges.iter().any(reached)) {
                let stage = pipeline.stages[node.placements[0].1 as usize].name.clone();
                let declared = node.kind.ports(&node.params).inputs.into_iter().find(|port| port.name == input.port);
                if let Some(port) = declared {
                    // A stage may want other columns in another variant.
                    let of = Use { stage, port: input.port.clone(), role: port.role, columns: port.columns };
                    if !found.contains(&of) {
                        found.push(of);
                    }
                }
                for (passed, port) in node.outputs.iter().enumerate() {
                    if port.passes == Some(&*input.port) && seen.insert((id, passed)) {
                        open.push((id, passed));
                    }
                }
            }
        }
    }
    found
}

/// Subsets that are larger than what they are drawn from.
pub(super) fn too_few(pipeline: &Pipeline, inputs: &[Input]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    for id in pipeline.graph.node_indices() {
        let node = &pipeline.graph[id];
        if node.kind.name() != SeedSubset::NAME {
            continue;
        }
        let Some(params) = node.params.downcast_ref::<SeedSubsetParams>() else { continue };
        let stage = &pipeline.stages[node.placements[0].1 as usize].name;
        let pool = inputs.iter().find(|input| input.uses.iter().any(|of| of.stage == *stage && of.port == "pool"));
        let Some(pool) = pool.filter(|pool| pool.rows.len() < params.count) else { continue };
        let message =
            format!("`{stage}` draws {} rows from `{}`, which has {}", params.count, pool.stage, pool.rows.len());
        if found.iter().all(|known| known.message != message) {
            let mut finding = pool.finding(Severity::Error, "seeds::too_few", message, Vec::new());
            finding.help = Some("ask for fewer (in the shipped studies: `n_seeds`), or add rows".to_owned());
            found.push(finding);
        }
    }
    found
}
