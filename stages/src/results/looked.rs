//! The nodes of a pipeline, as they stand in a store.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};
use pipe_cache::{ArtifactKind, ArtifactRef, Entry, ReadOptions, Store, StoreError};
use pipe_engine::{
    arms::{Reached, arms},
    events,
    inspect::survey,
    kind::Highlight,
    pipeline::{NodeId, Pipeline},
};
use pipe_report::Failure;

use super::Heard;

/// All nodes.
pub(super) struct Looked<'a> {
    pub pipeline: &'a Pipeline,
    pub store: &'a Store,
    pub heard: &'a Heard,
    pub nodes: Vec<Reached>,
    /// What the table of arms says.
    pub arms: Vec<events::Arm>,
    /// Results that could not be read.
    pub unreadable: Vec<Failure>,
}

impl<'a> Looked<'a> {
    pub(super) fn at(
        pipeline: &'a Pipeline,
        store: &'a Store,
        env: &Arc<BTreeMap<String, String>>,
        heard: &'a Heard,
    ) -> Result<Self, StoreError> {
        let count = pipeline.graph.node_count();
        let survey = survey(pipeline, store, env, &vec![true; count], &vec![false; count])?;
        let reached = |id: NodeId| {
            let paid = heard.paid.get(&(id.index() as u32));
            Reached {
                entry: survey.entry(id).cloned(),
                seconds_paid: paid.copied().unwrap_or_default(),
                reused: paid.is_none(),
            }
        };
        let nodes: Vec<Reached> = pipeline.graph.node_indices().map(reached).collect();
        let (arms, problems) = arms(pipeline, store, &nodes);
        let problem = |(node, error): (NodeId, StoreError)| {
            let (variant, stage) = pipeline.graph[node].placements[0];
            Failure {
                stage: pipeline.stages[stage as usize].name.clone(),
                variants: vec![pipeline.variants[variant as usize].name.clone()],
                state: "unreadable".to_owned(),
                message: error.to_string(),
            }
        };
        let unreadable = problems.into_iter().map(problem).collect();
        Ok(Self { pipeline, store, heard, nodes, arms, unreadable })
    }

    pub(super) fn entry(&self, node: NodeId) -> Option<&Arc<Entry>> {
        self.nodes[node.index()].entry.as_ref()
    }

    /// What a stage calls its scores: names, and headings for people.
    pub(super) fn scores(&self, node: NodeId) -> Vec<(String, String)> {
        let node = &self.pipeline.graph[node];
        let scores = node.kind.highlights(&node.params).into_iter().filter_map(|highlight| match highlight {
            Highlight::Score { name, heading, .. } => Some((name.into_owned(), heading.into_owned())),
            _ => None,
        });
        scores.collect()
    }

    /// The columns of an artifact.
    pub(super) fn schema(&self, artifact: &ArtifactRef) -> Result<SchemaRef, StoreError> {
        Ok(Arc::clone(self.store.open_table(artifact, &ReadOptions::default())?.schema()))
    }

    /// All rows of an artifact.
    pub(super) fn table(&self, artifact: &ArtifactRef) -> Result<RecordBatch, StoreError> {
        let reader = self.store.open_table(artifact, &ReadOptions::default())?;
        let schema = Arc::clone(reader.schema());
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        Ok(concat_batches(&schema, &batches).unwrap_or_else(|_| RecordBatch::new_empty(schema)))
    }

    /// The rows of an output that is a table.
    pub(super) fn output(&self, node: NodeId, port: &str) -> Result<Option<RecordBatch>, StoreError> {
        let artifact = self.entry(node).and_then(|entry| entry.output(port));
        artifact.filter(|of| of.kind == ArtifactKind::Table).map(|artifact| self.table(artifact)).transpose()
    }

    /// The stage, as it is called in a variant; in the first one that has it, where none is named.
    pub(super) fn stage_of(&self, node: NodeId) -> usize {
        self.pipeline.graph[node].placements[0].1 as usize
    }
}
