//! Normalisations over the last dimension.

use candle_core::{Result, Tensor};

use super::composed;

/// `x / sqrt(mean(x²) + eps) * weight` per row of `x [T, d]` (Zhang and Sennrich 2019, arXiv:1910.07467).
///
/// For the per-head norm of q and k (Qwen3), call it on `[T * heads, head_dim]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    composed::rms_norm(x, weight, eps)
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` per row of `x [T, d]`.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    composed::layer_norm(x, weight, bias, eps)
}
