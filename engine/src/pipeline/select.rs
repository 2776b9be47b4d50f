//! Which stages a run is about: `--only`, `--from`, `--until`, `--variant`, `--force`.
//!
//! A stage is named `stage` (in every variant) or `stage@variant`. The selected nodes are those
//!
//! - named by `only`, if it is given;
//! - and downstream of (or named by) one of `from`, if it is given;
//! - and upstream of (or named by) one of `until`, if it is given;
//! - and part of one of `variants`, if it is given.
//!
//! A node that is not selected never runs: its result is used when the store has it, and the selected nodes that need
//! it are skipped when it has not. `force` makes selected nodes run although the store has their results, and forgets
//! their memo rows; what they yield replaces the old results, and if it is the same, nothing below reruns.

use super::{NodeId, Pipeline};

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

/// What a [`Selection`] comes to on a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// By node index: may it run?
    pub run: Vec<bool>,
    /// By node index: must it run?
    pub force: Vec<bool>,
}

impl Selected {
    /// The nodes that may run.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.run.iter().enumerate().filter(|(_, run)| **run).map(|(node, _)| NodeId::new(node))
    }
}

impl Selection {
    /// Finds the nodes that are meant.
    pub fn resolve(&self, pipeline: &Pipeline) -> Result<Selected, SelectError> {
        let n = pipeline.graph.node_count();
        let mut run = vec![true; n];
        let mut keep = |names: &[String], reach: fn(&Pipeline, Vec<NodeId>) -> Vec<bool>| -> Result<(), SelectError> {
            if !names.is_empty() {
                let within = reach(pipeline, find_all(pipeline, names)?);
                run.iter_mut().zip(within).for_each(|(run, within)| *run &= within);
            }
            Ok(())
        };
        keep(&self.only, mark)?;
        keep(&self.from, Pipeline::downstream)?;
        keep(&self.until, Pipeline::upstream)?;
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
        for node in find_all(pipeline, &self.force)? {
            force[node.index()] = true;
        }
        force.iter_mut().zip(&run).for_each(|(force, run)| *force &= run);
        Ok(Selected { run, force })
    }
}

fn mark(pipeline: &Pipeline, nodes: Vec<NodeId>) -> Vec<bool> {
    let mut marked = vec![false; pipeline.graph.node_count()];
    for node in nodes {
        marked[node.index()] = true;
    }
    marked
}

fn find_all(pipeline: &Pipeline, names: &[String]) -> Result<Vec<NodeId>, SelectError> {
    let found = names.iter().map(|name| pipeline.find_nodes(name)).collect::<Result<Vec<_>, _>>()?;
    Ok(found.concat())
}

fn find_variant(pipeline: &Pipeline, name: &str) -> Result<usize, SelectError> {
    pipeline.variants.iter().position(|v| v.name == name).ok_or_else(|| SelectError {
        pipeline: pipeline.name.clone(),
        what: "variant",
        name: name.to_owned(),
        known: pipeline.variants.iter().map(|v| v.name.clone()).collect(),
    })
}

impl Pipeline {
    /// The nodes that `stage` or `stage@variant` means, in variant order; each once.
    pub fn find_nodes(&self, name: &str) -> Result<Vec<NodeId>, SelectError> {
        let (stage_name, variant) = match name.split_once('@') {
            Some((stage, variant)) => (stage, Some(find_variant(self, variant)?)),
            None => (name, None),
        };
        let stage = self.stages.iter().position(|s| s.name == stage_name).ok_or_else(|| SelectError {
            pipeline: self.name.clone(),
            what: "stage",
            name: stage_name.to_owned(),
            known: self.stages.iter().map(|s| s.name.clone()).collect(),
        })?;
        let variants = variant.map_or(0..self.variants.len(), |v| v..v + 1);
        let mut seen = vec![false; self.graph.node_count()];
        Ok(variants
            .filter_map(|variant| self.node(variant, stage))
            .filter(|node| !std::mem::replace(&mut seen[node.index()], true))
            .collect())
    }
}
