//! Training rows that resemble a question, by BM25 over instructions. Resemblance is no proof of influence, and is
//! called what it is.

use std::{collections::BTreeMap, rc::Rc};

use pipe_cache::{Digest, StoreError};
use pipe_engine::pipeline::NodeId;
use pipe_retrieval::{Analyzer, Bm25, Bm25Params};

use super::lineage::{Found, Keyed, Lineage};

/// An index over what a model was trained on.
struct Index {
    node: NodeId,
    table: Rc<Keyed>,
    bm25: Bm25,
}

/// Indexes are made once per table.
#[derive(Default)]
pub(super) struct Resembling {
    indexes: BTreeMap<Digest, Option<Index>>,
}

impl Resembling {
    /// The rows with their scores, best first; `None` where the model of this node was not trained, or on rows without
    /// instructions.
    pub(super) fn rows(
        &mut self,
        lineage: &Lineage<'_, '_>,
        node: NodeId,
        question: &str,
        most: usize,
    ) -> Result<Option<Vec<(Found, f32)>>, StoreError> {
        let Some((maker, table)) = lineage.trained_on(node)? else { return Ok(None) };
        let index = self.indexes.entry(table.digest).or_insert_with(|| {
            let texts = table.texts("instruction")?;
            let bm25 = Bm25::new(&texts, Analyzer::default(), Bm25Params::default());
            Some(Index { node: maker, table: Rc::clone(&table), bm25 })
        });
        let Some(Index { node, table, bm25 }) = index else { return Ok(None) };
        let found = bm25
            .search(question, most)
            .into_iter()
            .map(|hit| (Found { node: *node, table: Rc::clone(table), place: hit.document }, hit.score));
        Ok(Some(found.collect()))
    }
}
