//! Which stages a run is about: `--only`, `--from`, `--until`, `--variant`, `--force`.
//!
//! A stage is named `stage` (in every variant) or `stage@variant`. The selected nodes are those
//!
//! - named by `only`, if it is given;
//! - and downstream of (or named by) one of `from`, if it is given;
//! - and upstream of (or named by) one of `until`, if it is given;
//! - and part of one of `variants`, if it is given. What gathers other variants, too, needs more than these, and is
//!   left out with all that stands on it.
//!
//! Each of these has to have something that is selected: `--only b --until a` is refused where `b` does not lead to
//! `a`.
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

/// A selection that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// A name on the command line that the pipeline does not have.
    #[error("pipeline `{pipeline}` has no {what} `{name}`")]
    Unknown {
        /// The pipeline.
        pipeline: String,
        /// `stage` or `variant`.
        what: &'static str,
        /// The name.
        name: String,
        /// All names that would do.
        known: Vec<String>,
    },
    /// Something is named that something else leaves out.
    #[error("`{named}` and `{with}` cannot both hold: there is nothing to run that is both")]
    Conflict {
        /// As it was given: `--only b`.
        named: String,
        /// What else was given.
        with: String,
        /// What that selects, by label.
        selected: Vec<String>,
    },
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
        let mut limits: Vec<Limit<'_>> = Vec::new();
        let reaches: [(_, _, Reach); 3] = [
            ("--only", &self.only, mark),
            ("--from", &self.from, Pipeline::downstream),
            ("--until", &self.until, Pipeline::upstream),
        ];
        for (flag, names, reach) in reaches.into_iter().filter(|(_, names, _)| !names.is_empty()) {
            limits.push(Limit { flag, names, reach, within: reach(pipeline, find_all(pipeline, names)?) });
        }
        if !self.variants.is_empty() {
            let found =
                self.variants.iter().map(|name| nodes_of_variant(pipeline, name)).collect::<Result<Vec<_>, _>>()?;
            let mut within = mark(pipeline, found.concat());
            let needs_others = |id: &NodeId| {
                let gathered = pipeline.graph[*id].inputs.iter().filter(|input| input.gather);
                gathered.flat_map(|input| &input.edges).any(|edge| !within[edge.node.index()])
            };
            let gathering: Vec<NodeId> = pipeline.graph.node_indices().filter(needs_others).collect();
            let left_out = pipeline.downstream(gathering);
            within.iter_mut().zip(left_out).for_each(|(within, left_out)| *within &= !left_out);
            limits.push(Limit { flag: "--variant", names: &self.variants, reach: mark, within });
        }
        let run: Vec<bool> = (0..n).map(|node| limits.iter().all(|limit| limit.within[node])).collect();
        for limit in &limits {
            for name in limit.names {
                let nodes = match limit.flag {
                    "--variant" => nodes_of_variant(pipeline, name)?,
                    _ => pipeline.find_nodes(name)?,
                };
                let reached = (limit.reach)(pipeline, nodes);
                check(pipeline, (limit.flag, name), &reached, &run, &limits)?;
            }
        }
        let mut force = vec![self.force_all; n];
        for name in &self.force {
            let nodes = pipeline.find_nodes(name)?;
            check(pipeline, ("--force", name), &mark(pipeline, nodes.clone()), &run, &limits)?;
            for node in nodes {
                force[node.index()] = true;
            }
        }
        force.iter_mut().zip(&run).for_each(|(force, run)| *force &= run);
        Ok(Selected { run, force })
    }
}

/// What a flag means by nodes, by node index.
type Reach = fn(&Pipeline, Vec<NodeId>) -> Vec<bool>;

/// What one of the flags leaves in.
struct Limit<'a> {
    flag: &'static str,
    names: &'a [String],
    reach: Reach,
    /// By node index.
    within: Vec<bool>,
}

impl Limit<'_> {
    fn given(&self) -> String {
        format!("{} {}", self.flag, self.names.join(","))
    }
}

/// Whether anything of what a flag stands for is selected; if not, what leaves it out.
fn check(
    pipeline: &Pipeline,
    (flag, name): (&'static str, &str),
    named: &[bool],
    run: &[bool],
    limits: &[Limit<'_>],
) -> Result<(), SelectError> {
    let meet = |other: &[bool]| named.iter().zip(other).any(|(a, b)| *a && *b);
    if meet(run) {
        return Ok(());
    }
    let others: Vec<&Limit<'_>> = limits.iter().filter(|limit| limit.flag != flag).collect();
    let one = others.iter().find(|limit| !meet(&limit.within));
    let with: Vec<&Limit<'_>> = one.map_or(others.clone(), |limit| vec![limit]);
    let selected = pipeline.graph.node_indices().filter(|node| with.iter().all(|limit| limit.within[node.index()]));
    Err(SelectError::Conflict {
        named: format!("{flag} {name}"),
        with: with.iter().map(|limit| limit.given()).collect::<Vec<_>>().join(" "),
        selected: selected.map(|node| pipeline.node_ref(node).label.to_string()).collect(),
    })
}

/// The nodes that a variant stands on.
fn nodes_of_variant(pipeline: &Pipeline, name: &str) -> Result<Vec<NodeId>, SelectError> {
    let wanted = find_variant(pipeline, name)?;
    let of = |id: &NodeId| pipeline.graph[*id].placements.iter().any(|&(variant, _)| variant as usize == wanted);
    Ok(pipeline.graph.node_indices().filter(of).collect())
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
    pipeline.variants.iter().position(|v| v.name == name).ok_or_else(|| SelectError::Unknown {
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
        let stage = self.stages.iter().position(|s| s.name == stage_name).ok_or_else(|| SelectError::Unknown {
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
