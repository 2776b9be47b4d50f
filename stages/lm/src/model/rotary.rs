//! The rotary table of a model, grown on demand: contexts of 128 K positions are seldom used whole.

use std::sync::Arc;

use super::ModelError;
use crate::{
    config::{DecoderConfig, Position, RopeScaling},
    ops::Rope,
};
use parking_lot::Mutex;

/// Hands out tables of cosines and sines that cover as many positions as are asked for. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Rotary {
    table: Arc<Mutex<Option<Arc<Rope>>>>,
}

impl Rotary {
    /// A table for at least `positions` positions; `None` in models without rotary embedding.
    ///
    /// # Errors
    /// Sequences longer than the context of a model whose frequencies would change with the length.
    pub(super) fn table(&self, config: &DecoderConfig, positions: usize) -> Result<Option<Arc<Rope>>, ModelError> {
        let Position::Rope(rope) = &config.position else { return Ok(None) };
        let context = config.max_position_embeddings;
        if matches!(rope.scaling, RopeScaling::Dynamic { .. }) && positions > context {
            return Err(ModelError::Unsupported(format!(
                "a sequence of {positions} tokens needs dynamic rope scaling beyond its {context} positions, where \
                 every \
                 key changes with each new token; shorten it"
            )));
        }
        let mut table = self.table.lock();
        if let Some(table) = table.as_ref().filter(|t| t.positions() >= positions) {
            return Ok(Some(table.clone()));
        }
        let (inv_freq, factor) = rope.inverse_frequencies(config.head_dim, context);
        let grown = Arc::new(Rope::new(&inv_freq, positions.next_power_of_two().max(512), factor));
        *table = Some(grown.clone());
        Ok(Some(grown))
    }
}
