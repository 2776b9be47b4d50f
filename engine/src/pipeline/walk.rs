//! Ways through the graph.

use petgraph::Direction;

use super::{NodeId, Pipeline};

impl Pipeline {
    /// The name under which the results of a variant are kept: its own, with that of the trial behind it
    /// (`baseline+n=20`).
    pub fn kept_as(&self, variant: usize) -> String {
        let name = &self.variants[variant].name;
        self.trial.as_ref().map_or_else(|| name.clone(), |trial| format!("{name}+{trial}"))
    }

    /// Whether a stage of a variant, by the name under which results are kept, can still be one of this file's: one of
    /// its own, or of a trial of it.
    pub fn may_keep(&self, kept_as: &str, stage: &str) -> bool {
        if !self.stages.iter().any(|s| s.name == stage) {
            return false;
        }
        if let Some(trial) = &self.trial {
            // What other runs left is theirs.
            let own = kept_as.strip_suffix(trial.as_str()).and_then(|start| start.strip_suffix('+'));
            return own.is_none_or(|own| self.variants.iter().any(|v| v.name == own));
        }
        let of = |name: &str| kept_as.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('+'));
        self.variants.iter().any(|v| of(&v.name))
    }

    /// The node that a stage is in a variant, both as indices into [`Pipeline::variants`] and [`Pipeline::stages`];
    /// `None` where the stage is not part of the variant.
    pub fn node(&self, variant: usize, stage: usize) -> Option<NodeId> {
        self.node_of[variant * self.stages.len() + stage]
    }

    /// The nodes that a stage is in the variants that have it, in their order. Variants that share a node repeat it.
    pub fn stage_nodes(&self, stage: usize) -> impl Iterator<Item = NodeId> {
        (0..self.variants.len()).filter_map(move |variant| self.node(variant, stage))
    }

    /// Every (variant, stage, node), variant by variant.
    pub fn placements(&self) -> impl Iterator<Item = (usize, usize, NodeId)> {
        let stages = self.stages.len();
        (self.node_of.iter().enumerate()).filter_map(move |(at, node)| Some((at / stages, at % stages, (*node)?)))
    }

    /// Marks, by node index, the given nodes and everything that they stand on.
    pub fn upstream(&self, of: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        self.reach(of, Direction::Incoming)
    }

    /// Marks, by node index, the given nodes and everything that stands on them.
    pub fn downstream(&self, of: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        self.reach(of, Direction::Outgoing)
    }

    /// Visits the given nodes, and goes on from each that `enter` accepts. A node is visited as often as a way leads to
    /// it.
    pub(crate) fn walk(
        &self,
        from: impl IntoIterator<Item = NodeId>,
        direction: Direction,
        mut enter: impl FnMut(NodeId) -> bool,
    ) {
        let mut open: Vec<NodeId> = from.into_iter().collect();
        while let Some(node) = open.pop() {
            if enter(node) {
                open.extend(self.graph.neighbors_directed(node, direction));
            }
        }
    }

    fn reach(&self, from: impl IntoIterator<Item = NodeId>, direction: Direction) -> Vec<bool> {
        let mut reached = vec![false; self.graph.node_count()];
        self.walk(from, direction, |node| !std::mem::replace(&mut reached[node.index()], true));
        reached
    }
}
