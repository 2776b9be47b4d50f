//! Token embedding.

use candle_core::{Result, Tensor};

/// Rows `ids` of `table [V, d]`, giving `[T, d]`. The backward pass adds rows in the order of `ids`.
pub fn embedding(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    table.index_select(&Tensor::new(ids, table.device())?, 0)
}
