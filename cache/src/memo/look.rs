//! A look into memos that neither locks nor writes nor verifies: for what is said before a run.

use std::collections::HashSet;

use arrow::array::AsArray;

use super::{shard, spans::Spans, stream};
use crate::{
    disk::{ReadOptions, open_parquet},
    hash::Digest,
    store::Store,
};

impl Store {
    /// The input rows whose outputs the row memo of a recipe holds. What cannot be read counts as absent.
    pub fn remembered_rows(&self, recipe: &Digest) -> HashSet<Digest> {
        let options = ReadOptions { columns: Some(vec!["row".to_owned()]), ..ReadOptions::default() };
        let mut rows = HashSet::new();
        for path in shard::list(&self.layout().memo(recipe), "").unwrap_or_default() {
            let Ok(table) = open_parquet(&path, &options) else { continue };
            for batch in table.map_while(Result::ok) {
                let digests = batch.columns().first().and_then(|column| column.as_fixed_size_binary_opt());
                let digests = digests.into_iter().flat_map(|column| column.iter().flatten());
                rows.extend(digests.filter_map(|bytes| Some(Digest::from_bytes(bytes.try_into().ok()?))));
            }
        }
        rows
    }

    /// How many attempts, from the first on, the stream memo of a recipe holds.
    pub fn remembered_attempts(&self, recipe: &Digest) -> u64 {
        let mut known = Spans::default();
        let shards = shard::list(&self.layout().memo(recipe), "").unwrap_or_default();
        shards.iter().filter_map(|path| stream::span_of(path)).for_each(|span| known.insert(span));
        known.reach()
    }
}
