//! Activations of the feed-forward layers, and the residual sum.

use candle_core::{Result, Tensor};

use super::composed;

/// Which GELU: exact, or the tanh approximation (Hendrycks and Gimpel 2016, arXiv:1606.08415).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gelu {
    /// `x Φ(x)` with the error function.
    Erf,
    /// The tanh approximation.
    Tanh,
}

/// `silu(gate) * up`, elementwise.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    composed::swiglu(gate, up)
}

/// `gelu(x)`, elementwise.
pub fn gelu(x: &Tensor, kind: Gelu) -> Result<Tensor> {
    match kind {
        Gelu::Erf => x.gelu_erf(),
        Gelu::Tanh => x.gelu(),
    }
}

/// `a + b` of equal shapes (a residual sum).
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a + b
}
