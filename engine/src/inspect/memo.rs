//! What the memo has of the rows that a node would compute.

use std::collections::HashMap;

use pipe_cache::{Digest, ReadOptions, Store, StoreError, row_digests};
use serde::Serialize;

use super::survey::Survey;
use crate::{
    context::Increment,
    keys::{Obstacle, Standing},
    pipeline::{NodeId, Pipeline},
};

/// Rows of inputs that are looked at for all nodes together: a plan stays quick.
const LOOKS: u64 = 1_000_000;

/// What is there of a node's work already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Remembered {
    /// Rows of the input whose outputs are in the memo; for a stream, attempts.
    pub rows: u64,
    /// Rows of the input; `None` for a stream, which is as long as it takes.
    pub of: Option<u64>,
}

/// Looks into memos.
pub(super) struct Memos<'a> {
    pipeline: &'a Pipeline,
    survey: &'a Survey,
    store: &'a Store,
    left: u64,
    /// By input table: the digests of its rows.
    tables: HashMap<Digest, Vec<Digest>>,
}

impl<'a> Memos<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, survey: &'a Survey, store: &'a Store) -> Self {
        Self { pipeline, survey, store, left: LOOKS, tables: HashMap::new() }
    }

    /// What the memo has of a node; `None` where it keeps none, where its input is not known yet, and where a run
    /// would not use it.
    pub(super) fn of(&mut self, id: NodeId) -> Result<Option<Remembered>, StoreError> {
        let Standing::Missing(missing) = &self.survey.nodes[id.index()] else { return Ok(None) };
        // A forced run forgets these rows, and one that keeps nothing under its key has never kept any.
        if let Some(Obstacle::Forced | Obstacle::Unhashable(_)) = missing.obstacle {
            return Ok(None);
        }
        let node = &self.pipeline.graph[id];
        let primary = match node.kind.increment(&node.params) {
            Increment::Whole => return Ok(None),
            Increment::Stream { .. } => {
                let rows = self.store.remembered_attempts(&missing.recipe);
                return Ok((rows > 0).then_some(Remembered { rows, of: None }));
            }
            Increment::RowWise { primary } => primary,
        };
        let input = node.inputs.iter().find(|input| input.port == primary && !input.gather);
        let Some([edge]) = input.map(|input| &*input.edges) else { return Ok(None) };
        let Some(artifact) = self.survey.entry(edge.node).map(|entry| entry.outputs[edge.output].1) else {
            return Ok(None);
        };
        let seen = self.tables.contains_key(&artifact.digest);
        if !seen && artifact.rows > self.left {
            return Ok(None);
        }
        let known = self.store.remembered_rows(&missing.recipe);
        if known.is_empty() {
            return Ok(None);
        }
        if !seen {
            self.left -= artifact.rows;
            // What is damaged is told when it is read in earnest.
            let Ok(table) = self.store.open_table(&artifact, &ReadOptions::default()) else { return Ok(None) };
            let mut digests = Vec::new();
            for batch in table.map_while(Result::ok) {
                digests.extend(row_digests(&batch)?);
            }
            self.tables.insert(artifact.digest, digests);
        }
        let rows = self.tables[&artifact.digest].iter().filter(|row| known.contains(row)).count() as u64;
        Ok((rows > 0).then_some(Remembered { rows, of: Some(artifact.rows) }))
    }
}
