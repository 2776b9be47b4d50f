//! Which stages a run is about: `--only`, `--from`, `--until`, `--variant`, `--force`.
//!
//! A stage is named `stage` (in every variant) or `stage@variant`. The selected nodes are those
//!
//! - named by `only`, if it is given;
//! - and downstream of (or named by) one of `from`, if it is given;
//! - and upstream of (or named by) one of `until`, if it is given;
//! - and part of one of `variants`, if it is given.
//!
//! A node that is not selected never runs: its result is used when the store has it, and the selected nodes that need it are
//! skipped when it has not. `force` makes selected nodes run although the store has their results, and forgets their
//! memo rows; what they yield replaces the old results, and if it is the same, nothing below reruns.

use petgraph::{
    Direction,
    visit::{Dfs, Reversed},
};

use crate::pipeline::{NodeId, Pipeline};

/// What the command line asks for. The default selects everything and forces nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Run these stages and no others.
    pub only: Vec<String>,
    /// Run these stages and everything downstream of them.
    pub from: Vec<String>,
    /// Run these stages and everything upstream of them.
    pub until: Vec<String>,
    /// Run the stages of these variants.
    pub variants: Vec<String>,
    /// Run these of the selected stages even if their results are in the store.
    pub force: Vec<String>,
    /// Run all selected stages even if their results are in the store.
    pub force_all: bool,
}

/// A name on the command line that the pipeline does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pipeline `{pipeline}` has no {what} `{name}`")]
pub struct SelectError {
    /// The pipeline.
    pub pipeline: String,
    /// `stage` or `variant`.
    pub what: &'static str,
    /// The name.
    pub name: String,
    /// All names that would do.
    pub known: Vec<String>,
}

/// The outcome of a [`Selection`] on a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// By node index: may it run?
    pub run: Vec<bool>,
    /// By node index: must it run?
    pub force: Vec<bool>,
}

impl Selection {
    /// Finds the nodes that are meant.
    pub fn resolve(&self, pipeline: &Pipeline) -> Result<Selected, SelectError> {
        let n = pipeline.graph.node_count();
        let mut run = vec![true; n];
        let mut keep = |names: &[String], reach: Option<Direction>| -> Result<(), SelectError> {
            if names.is_empty() {
                return Ok(());
            }
            let mut within = vec![false; n];
            for name in names {
                for node in find_nodes(pipeline, name)? {
                    mark(pipeline, node, reach, &mut within);
                }
            }
            run.iter_mut().zip(within).for_each(|(run, within)| *run &= within);
            Ok(())
        };
        keep(&self.only, None)?;
        keep(&self.from, Some(Direction::Outgoing))?;
        keep(&self.until, Some(Direction::Incoming))?;
        if !self.variants.is_empty() {
            let mut wanted = vec![false; pipeline.variants.len()];
            for name in &self.variants {
                wanted[find_variant(pipeline, name)?] = true;
            }
            for (node, run) in pipeline.graph.node_weights().zip(&mut run) {
                *run &= node.placements.iter().any(|&(variant, _)| wanted[variant as usize]);
            }
        }
        let mut force = vec![self.force_all; n];
        for name in &self.force {
            for node in find_nodes(pipeline, name)? {
                force[node.index()] = true;
            }
        }
        force.iter_mut().zip(&run).for_each(|(force, run)| *force &= run);
        Ok(Selected { run, force })
    }
}

fn mark(pipeline: &Pipeline, node: NodeId, reach: Option<Direction>, within: &mut [bool]) {
    match reach {
        None => within[node.index()] = true,
        Some(Direction::Outgoing) => {
            let mut dfs = Dfs::new(&pipeline.graph, node);
            while let Some(node) = dfs.next(&pipeline.graph) {
                within[node.index()] = true;
            }
        }
        Some(Direction::Incoming) => {
            let mut dfs = Dfs::new(Reversed(&pipeline.graph), node);
            while let Some(node) = dfs.next(Reversed(&pipeline.graph)) {
                within[node.index()] = true;
            }
        }
    }
}

fn find_variant(pipeline: &Pipeline, name: &str) -> Result<usize, SelectError> {
    pipeline.variants.iter().position(|v| v.name == name).ok_or_else(|| SelectError {
        pipeline: pipeline.name.clone(),
        what: "variant",
        name: name.to_owned(),
        known: pipeline.variants.iter().map(|v| v.name.clone()).collect(),
    })
}

/// The nodes that `stage` or `stage@variant` means, in variant order; each once.
pub fn find_nodes(pipeline: &Pipeline, name: &str) -> Result<Vec<NodeId>, SelectError> {
    let (stage_name, variant) = match name.split_once('@') {
        Some((stage, variant)) => (stage, Some(find_variant(pipeline, variant)?)),
        None => (name, None),
    };
    let stage = pipeline.stages.iter().position(|s| s.name == stage_name).ok_or_else(|| SelectError {
        pipeline: pipeline.name.clone(),
        what: "stage",
        name: stage_name.to_owned(),
        known: pipeline.stages.iter().map(|s| s.name.clone()).collect(),
    })?;
    let variants = variant.map_or(0..pipeline.variants.len(), |v| v..v + 1);
    let mut seen = vec![false; pipeline.graph.node_count()];
    Ok(variants
        .filter_map(|variant| pipeline.node_of[variant * pipeline.stages.len() + stage])
        .filter(|node| !std::mem::replace(&mut seen[node.index()], true))
        .collect())
}
