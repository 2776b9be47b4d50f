//! The backward pass over a graph of ops.

use candle_core::{Result, Tensor, backprop::GradStore};

/// Gradients of every tracked leaf below the scalar `loss`.
pub fn backward(loss: &Tensor) -> Result<GradStore> {
    loss.backward()
}
