//! Buffers of an inference pass, kept between steps.

use crate::ops::{QuerySpan, RoundedRows};

/// Activations of one step. Shapes are those of the step in progress; capacity stays.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// Residual stream, `[T, hidden]`.
    pub x: Vec<f32>,
    /// Normalised residual stream.
    pub h: Vec<f32>,
    /// Queries, `[T, heads * head_dim]`.
    pub q: Vec<f32>,
    /// Keys, `[T, kv_heads * head_dim]`.
    pub k: Vec<f32>,
    /// Values.
    pub v: Vec<f32>,
    /// Whatever is wide for a moment: the attention's output, the gate of the MLP.
    pub wide: Vec<f32>,
    /// The MLP's other half.
    pub up: Vec<f32>,
    /// Low-rank activations of an adapter.
    pub low: Vec<f32>,
    /// What weights in 8 bits are multiplied with.
    pub rounded: RoundedRows,
    /// Hidden states whose logits are wanted.
    pub picked: Vec<f32>,
    /// Position of each token.
    pub positions: Vec<u32>,
    /// Rows of the batch as the cache takes them.
    pub spans: Vec<QuerySpan>,
}
