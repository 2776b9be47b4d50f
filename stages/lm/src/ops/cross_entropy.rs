//! Cross-entropy fused with the output projection.

use candle_core::{Result, Tensor};

use super::{Weight, composed};

/// `Σ weights[i] · -log softmax(hidden[i] headᵀ)[targets[i]]`, a scalar; the caller divides by what it normalises with.
///
/// Rows with weight 0 are masked: neither their logits nor their gradients are computed. `hidden` is `[T, d]`, `head`
/// `[V, d]`; `targets` and `weights` have length `T`.
pub fn cross_entropy(hidden: &Tensor, head: &Weight, targets: &[u32], weights: &[f32]) -> Result<Tensor> {
    composed::cross_entropy(hidden, &head.to_tensor(hidden.device())?, targets, weights)
}
