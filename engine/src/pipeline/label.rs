//! How nodes are called in front of people.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{NodeId, Pipeline};

/// Names a node in events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeRef {
    /// Index of the node in [`Pipeline::graph`].
    pub id: u32,
    /// `stage`, `stage@variant`, or `stage@variant +3` when several variants share it.
    pub label: Label,
}

/// A cheap shared text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label(pub Arc<str>);

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Label {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl Pipeline {
    /// The names of all nodes, by node index.
    pub fn node_refs(&self) -> Vec<NodeRef> {
        self.graph.node_indices().map(|id| self.node_ref(id)).collect()
    }

    /// The name of one node: `stage` when every variant that has the stage shares it, else `stage@variant`, with ` +n`
    /// when `n` further variants share it.
    pub fn node_ref(&self, id: NodeId) -> NodeRef {
        let placements = &self.graph[id].placements;
        let (variant, stage) = placements[0];
        let name = &self.stages[stage as usize].name;
        let variant = &self.variants[variant as usize].name;
        let others = placements.len() - 1;
        let label = if placements.len() == self.variants.len()
            || (others > 0 && self.stage_nodes(stage as usize).all(|node| node == id))
            || self.variants.len() == 1
        {
            name.as_str().into()
        } else if others == 0 {
            format!("{name}@{variant}").into()
        } else {
            format!("{name}@{variant} +{others}").into()
        };
        NodeRef { id: id.index() as u32, label: Label(label) }
    }
}
