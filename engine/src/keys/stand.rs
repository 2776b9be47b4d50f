//! How a node stands: what is known of its key, and whether the store has its result. Looking (`plan`, `why`) and
//! running ask the same question.

use std::{fmt, sync::Arc};

use pipe_cache::{ArtifactKind, ArtifactRef, Damage, Digest, Entry, Lookup, Store, StoreError};

use super::{KeyParts, KeyRecord, SourceError, SourceRecord};
use crate::{
    context::StageError,
    kind::{OutputPort, PortType},
    pipeline::{NodeId, Pipeline},
};

/// How a node stands.
#[derive(Debug, Clone)]
pub enum Standing {
    /// Its result is in the store.
    Hit(Arc<Entry>),
    /// All its inputs are known, and its result is not in the store.
    Missing(Box<Missing>),
    /// Its key depends on what these producers will yield.
    Pending {
        /// Producers without a result, in the order of the graph.
        on: Vec<NodeId>,
        /// The components of the key that are known: all but the inputs from those producers.
        record: Box<KeyRecord>,
    },
    /// Its sources cannot be read.
    Unreadable(Arc<StageError>),
    /// It was not looked at.
    Unseen,
}

/// A result that is to be computed.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Its key; `None` when it cannot be computed (I8).
    pub key: Option<Digest>,
    /// Its recipe.
    pub recipe: Digest,
    /// The components of the key.
    pub record: Arc<KeyRecord>,
    /// What stands in the way of a result, where it is more than "it was never computed".
    pub obstacle: Option<Obstacle>,
}

/// Why there is no result although it may have been computed.
#[derive(Debug, Clone)]
pub enum Obstacle {
    /// A component of the key cannot be computed: nothing is ever stored.
    Unhashable(String),
    /// It is to be computed again.
    Forced,
    /// Its result is damaged.
    Damaged(String),
    /// Its result was written by a newer version, in this format.
    Future(u32),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unhashable(problem) => write!(f, "{problem}: it always runs"),
            Self::Forced => f.write_str("forced"),
            Self::Damaged(damage) => write!(f, "its result is damaged: {damage}"),
            Self::Future(format) => write!(f, "its result was written by a newer version (format {format})"),
        }
    }
}

/// The nodes of a pipeline, seen against a store.
pub struct View<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// The store.
    pub store: &'a Store,
    /// The results that are known already.
    pub entry: &'a dyn Fn(NodeId) -> Option<&'a Entry>,
    /// Whether a node will have no result, so that those do without who can.
    pub failed: &'a dyn Fn(NodeId) -> bool,
}

impl View<'_> {
    /// How a node with these sources stands. One that is `forced` is missing whatever the store has.
    pub fn stand(
        &self,
        id: NodeId,
        sources: Result<Vec<SourceRecord>, SourceError>,
        forced: bool,
    ) -> Result<Standing, StoreError> {
        let node = &self.pipeline.graph[id];
        let (sources, unhashable) = match sources {
            Ok(sources) => (sources, None),
            Err(error @ SourceError::Unhashable { .. }) => (Vec::new(), Some(error.to_string())),
            Err(error) => return Ok(Standing::Unreadable(Arc::new(error.into()))),
        };
        let artifact = |input: usize, edge: usize| -> Option<ArtifactRef> {
            let edge = &node.inputs[input].edges[edge];
            (self.entry)(edge.node).map(|entry| entry.outputs[edge.output].1)
        };
        let producers = node.inputs.iter().flat_map(|input| &input.edges).map(|edge| edge.node);
        let waits = |&producer: &NodeId| (self.entry)(producer).is_none() && !(self.failed)(producer);
        let mut on: Vec<NodeId> = producers.filter(waits).collect();
        if !on.is_empty() {
            on.sort_unstable();
            on.dedup();
            let record = Box::new(KeyParts::partial_record(self.pipeline, node, &sources, &artifact));
            return Ok(Standing::Pending { on, record });
        }
        let parts = KeyParts::new(self.pipeline, node, &sources, &artifact);
        let key = unhashable.is_none().then(|| {
            let _span = tracing::trace_span!("key", node = id.index()).entered();
            parts.key()
        });
        let obstacle = match (key, unhashable) {
            (_, Some(problem)) => Some(Obstacle::Unhashable(problem)),
            (Some(key), _) if !forced => {
                let _span = tracing::trace_span!("lookup", node = id.index()).entered();
                match look_up(self.store, &key, &node.outputs)? {
                    Lookup::Hit(entry) => return Ok(Standing::Hit(entry)),
                    Lookup::Miss => None,
                    Lookup::Damaged(damage) => Some(Obstacle::Damaged(damage.to_string())),
                    Lookup::Future { format } => Some(Obstacle::Future(format)),
                }
            }
            _ => Some(Obstacle::Forced),
        };
        let (recipe, record) = (parts.recipe(), Arc::new(parts.record()));
        Ok(Standing::Missing(Box::new(Missing { key, recipe, record, obstacle })))
    }
}

/// Looks up the result of a stage with these outputs. One that has others is damaged.
pub(crate) fn look_up(store: &Store, key: &Digest, outputs: &[OutputPort]) -> Result<Lookup, StoreError> {
    store.lookup(key).map(|found| fitting(store, key, outputs, found))
}

/// [`look_up`] by who is about to compute the key.
pub(crate) fn look_up_anew(store: &Store, key: &Digest, outputs: &[OutputPort]) -> Result<Lookup, StoreError> {
    store.lookup_anew(key).map(|found| fitting(store, key, outputs, found))
}

fn fitting(store: &Store, key: &Digest, outputs: &[OutputPort], found: Lookup) -> Lookup {
    let reason = if let Lookup::Hit(entry) = &found { misfit(outputs, entry) } else { None };
    let damage = |reason| Lookup::Damaged(Damage { path: store.layout().manifest(key), reason });
    reason.map_or(found, damage)
}

/// Why a result cannot be one of a stage with these outputs, if it cannot: consumers find an artifact by its number.
pub(crate) fn misfit(outputs: &[OutputPort], entry: &Entry) -> Option<String> {
    let fits = |(port, (name, artifact)): (&OutputPort, &(String, ArtifactRef))| {
        let kind = match port.produces {
            PortType::Table => artifact.kind == ArtifactKind::Table,
            PortType::Files => artifact.kind == ArtifactKind::Files,
            PortType::Any => true,
        };
        kind && port.name == *name
    };
    if outputs.len() == entry.outputs.len() && outputs.iter().zip(&entry.outputs).all(fits) {
        return None;
    }
    let list = |names: Vec<&str>| names.join("`, `").escape_debug().to_string();
    let found = list(entry.outputs.iter().map(|(name, _)| name.as_str()).collect());
    let declared = list(outputs.iter().map(|port| &*port.name).collect());
    Some(format!("its outputs are `{found}`, and those of the stage `{declared}`"))
}
