//! Earlier results of a pipeline's stages: what `why` compares with and estimates come from.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use pipe_cache::{Digest, Manifest, Store, StoreError};

use super::{Changes, Earlier, say_words};
use crate::{
    keys::{KeyRecord, ResultRecord, texts},
    pipeline::{NodeId, Pipeline},
};

/// At most this many earlier results are compared.
const CANDIDATES: usize = 8;

/// What the store remembers of a pipeline. Manifests are read when they are first needed.
pub(crate) struct History<'a> {
    pipeline: &'a Pipeline,
    store: &'a Store,
    refs: BTreeMap<String, BTreeMap<String, Digest>>,
    manifests: HashMap<Digest, Option<Arc<(Manifest, ResultRecord)>>>,
    changes: Changes<'a>,
}

impl<'a> History<'a> {
    /// The history of the pipeline of that name.
    pub(crate) fn new(pipeline: &'a Pipeline, store: &'a Store) -> Result<Self, StoreError> {
        let mut refs = store.earlier_refs(&pipeline.name)?;
        for (variant, stages) in store.refs(&pipeline.name)? {
            refs.entry(variant).or_default().extend(stages);
        }
        Ok(Self { pipeline, store, refs, manifests: HashMap::new(), changes: Changes::new(store) })
    }

    /// The manifest of a key, with the engine's record in it. `None` when it is gone or from another version.
    pub(crate) fn manifest(&mut self, key: &Digest) -> Result<Option<Arc<(Manifest, ResultRecord)>>, StoreError> {
        if !self.manifests.contains_key(key) {
            let manifest = self.store.manifest(key)?.and_then(|manifest| {
                let record = serde_json::from_value(manifest.provenance.record.clone()).ok()?;
                Some(Arc::new((manifest, record)))
            });
            self.manifests.insert(*key, manifest);
        }
        Ok(self.manifests[key].clone())
    }

    /// What the stages that a node stands for stood at last, each key once.
    pub(crate) fn own_keys(&self, id: NodeId) -> Vec<Digest> {
        let placements = self.pipeline.graph[id].placements.iter();
        distinct(placements.filter_map(|&(variant, stage)| {
            let stages = self.refs.get(&self.pipeline.kept_as(variant as usize))?;
            stages.get(&self.pipeline.stages[stage as usize].name).copied()
        }))
    }

    /// What a stage stood at last in any variant, each key once.
    pub(crate) fn stage_keys(&self, stage: &str) -> Vec<Digest> {
        distinct(self.refs.values().filter_map(|stages| stages.get(stage).copied()))
    }

    /// The earlier result with the fewest differences, and those: of the node's own stage and variants if there is one,
    /// else of the same stage in other variants, else of the very key under another name.
    pub(super) fn nearest(
        &mut self,
        id: NodeId,
        record: &KeyRecord,
        partial: bool,
        key: Option<&Digest>,
    ) -> Result<Option<(Earlier, Vec<String>)>, StoreError> {
        let stage = self.pipeline.graph[id].placements[0].1;
        let others = self.stage_keys(&self.pipeline.stages[stage as usize].name);
        for keys in [self.own_keys(id), others, key.copied().into_iter().collect()] {
            let mut best: Option<(Earlier, Vec<String>)> = None;
            for key in keys.into_iter().take(CANDIDATES) {
                let Some(found) = self.manifest(&key)? else { continue };
                let (manifest, old) = &*found;
                let mut changes = self.changes.between(&old.key, record, partial);
                if !old.texts.is_empty() {
                    let node = &self.pipeline.graph[id];
                    let now = texts(&*node.kind, &node.params, &node.folder, &record.sources);
                    say_words(&mut changes, &old.texts, &now);
                }
                if best.as_ref().is_none_or(|(_, fewest)| changes.len() < fewest.len()) {
                    let earlier = Earlier {
                        key,
                        label: old.label.clone(),
                        started_ms: manifest.provenance.started_ms,
                        run: manifest.provenance.run_id.clone(),
                    };
                    best = Some((earlier, changes));
                }
            }
            if best.is_some() {
                return Ok(best);
            }
        }
        Ok(None)
    }
}

fn distinct(keys: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    keys.filter(|key| seen.insert(*key)).collect()
}
