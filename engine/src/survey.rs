//! Looks at every node without running anything: what `plan`, `why` and the commands that name artifacts stand on.

use std::{collections::BTreeMap, sync::Arc};

use petgraph::Direction;
use pipe_cache::{ArtifactRef, Digest, Entry, Lookup, Store, StoreError};

use crate::{
    keys::{KeyParts, KeyRecord, SourceRecord},
    pipeline::{Node, NodeId, Pipeline},
    sources::{SourceError, SourceHasher},
};

/// How a node stands.
#[derive(Debug, Clone)]
pub enum Standing {
    /// Its result is in the store.
    Hit(Arc<Entry>),
    /// All its inputs are known, and its result is not in the store.
    Missing {
        /// Its key; `None` when it cannot be computed (I8).
        key: Option<Digest>,
        /// The components of the key.
        record: Box<KeyRecord>,
        /// What stands in the way, where it is more than "it was never computed".
        problem: Option<String>,
    },
    /// Its key depends on what these producers will yield.
    Pending {
        /// Producers without a result.
        on: Vec<NodeId>,
        /// The components of the key that are known: all but the inputs from those producers.
        record: Box<KeyRecord>,
    },
    /// Its sources cannot be read.
    Unreadable(String),
    /// It was not looked at.
    Unseen,
}

/// All nodes of a pipeline, seen against a store.
pub struct Survey {
    /// By node index.
    pub nodes: Vec<Standing>,
    /// Producers before consumers.
    pub order: Vec<NodeId>,
}

impl Survey {
    /// The result of a node, if it is in the store.
    pub fn entry(&self, node: NodeId) -> Option<&Arc<Entry>> {
        match &self.nodes[node.index()] {
            Standing::Hit(entry) => Some(entry),
            _ => None,
        }
    }
}

/// Looks at the `wanted` nodes (by node index), which must include everything upstream of each. Those in `forced` count as
/// missing whatever the store has.
pub fn survey(
    pipeline: &Pipeline,
    store: &Store,
    env: &Arc<BTreeMap<String, String>>,
    wanted: &[bool],
    forced: &[bool],
) -> Result<Survey, StoreError> {
    let hasher = SourceHasher::new(store.clone(), pipeline.base_dir.clone(), Arc::clone(env));
    let order = topological(pipeline);
    let mut survey = Survey { nodes: vec![Standing::Unseen; pipeline.graph.node_count()], order };
    for i in 0..survey.order.len() {
        let id = survey.order[i];
        if wanted[id.index()] {
            survey.nodes[id.index()] = look(pipeline, store, &hasher, &survey, id, forced[id.index()])?;
        }
    }
    Ok(survey)
}

/// Producers before consumers; of two that do not depend on each other, the one that comes first in the file first.
pub(crate) fn topological(pipeline: &Pipeline) -> Vec<NodeId> {
    let graph = &pipeline.graph;
    let mut missing: Vec<usize> =
        graph.node_indices().map(|id| graph.neighbors_directed(id, Direction::Incoming).count()).collect();
    let mut ready: std::collections::BTreeSet<NodeId> =
        graph.node_indices().filter(|id| missing[id.index()] == 0).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(id) = ready.pop_first() {
        order.push(id);
        for consumer in graph.neighbors(id) {
            missing[consumer.index()] -= 1;
            if missing[consumer.index()] == 0 {
                ready.insert(consumer);
            }
        }
    }
    order
}

fn look(
    pipeline: &Pipeline,
    store: &Store,
    hasher: &SourceHasher,
    survey: &Survey,
    id: NodeId,
    forced: bool,
) -> Result<Standing, StoreError> {
    let node = &pipeline.graph[id];
    let (sources, unhashable) = match sources(node, hasher) {
        Ok(sources) => (sources, None),
        Err(Problem::Unhashable(message)) => (Vec::new(), Some(message)),
        Err(Problem::Unreadable(message)) => return Ok(Standing::Unreadable(message)),
    };
    let mut on: Vec<NodeId> =
        node.inputs.iter().flat_map(|i| &i.edges).map(|e| e.node).filter(|&p| survey.entry(p).is_none()).collect();
    on.sort_unstable();
    on.dedup();
    let artifact = |input: usize, edge: usize| -> Option<ArtifactRef> {
        let edge = &node.inputs[input].edges[edge];
        survey.entry(edge.node).map(|entry| entry.outputs[edge.output].1)
    };
    if !on.is_empty() {
        let record = Box::new(KeyParts::partial_record(pipeline, node, &sources, &artifact));
        return Ok(Standing::Pending { on, record });
    }
    let known = |input: usize, edge: usize| artifact(input, edge).expect("no producer is missing");
    let parts = KeyParts::new(pipeline, node, &sources, &known);
    let key = unhashable.is_none().then(|| parts.key());
    let mut problem = unhashable.map(|message| format!("{message}: it always runs"));
    if let Some(key) = key {
        if forced {
            problem = Some("forced".to_owned());
        } else {
            match store.lookup(&key)? {
                Lookup::Hit(entry) => return Ok(Standing::Hit(entry)),
                Lookup::Miss => {}
                Lookup::Damaged(damage) => problem = Some(format!("its result is damaged: {damage}")),
                Lookup::Future { format } => {
                    problem = Some(format!("its result was written by a newer version (format {format})"));
                }
            }
        }
    }
    Ok(Standing::Missing { key, record: Box::new(parts.record()), problem })
}

enum Problem {
    Unhashable(String),
    Unreadable(String),
}

fn sources(node: &Node, hasher: &SourceHasher) -> Result<Vec<SourceRecord>, Problem> {
    let sources = node.kind.sources(&node.params).map_err(|e| Problem::Unreadable(e.to_string()))?;
    hasher.records(sources).map_err(|e| match e {
        SourceError::Unhashable { .. } => Problem::Unhashable(e.to_string()),
        SourceError::Unreadable { ref source, .. } => Problem::Unreadable(format!("{e}: {source}")),
        SourceError::Missing { .. } | SourceError::Pattern { .. } | SourceError::Kind(_) => {
            Problem::Unreadable(e.to_string())
        }
    })
}
