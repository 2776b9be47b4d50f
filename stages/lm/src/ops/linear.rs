//! Linear layers: trained, frozen, quantised and packed weights behind one type.

use std::{fmt, ops::Range, sync::Arc};

use candle_core::{Device, Result, Tensor};

use super::{composed, gemm::PackedWeight};

/// A frozen weight matrix `[out, in]` in any encoding (bf16, NF4, GGUF blocks), expanded to f32 a few rows at a time.
pub trait WeightTile: Send + Sync {
    /// Number of rows: output features.
    fn out_features(&self) -> usize;
    /// Number of columns: input features.
    fn in_features(&self) -> usize;
    /// Writes `rows` as f32, row-major, into `out` of `rows.len() * in_features` elements.
    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]);
}

/// The weight `[out, in]` of a linear layer.
#[derive(Clone)]
pub enum Weight {
    /// A tensor of any float dtype; it gets a gradient if autograd tracks it (a `Var`, or something computed from one).
    Dense(Tensor),
    /// A frozen matrix that is expanded while it is used.
    Tiles(Arc<dyn WeightTile>),
    /// A frozen matrix laid out for the CPU kernels once, for inference.
    Packed(Arc<PackedWeight>),
}

impl Weight {
    /// `(out_features, in_features)`.
    pub fn shape(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(w) => w.dims2(),
            Self::Tiles(w) => Ok((w.out_features(), w.in_features())),
            Self::Packed(w) => Ok((w.out_features(), w.in_features())),
        }
    }

    /// The whole matrix as a tensor `[out, in]` on `device`.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        let (n, k) = self.shape()?;
        let mut data = vec![0.0; n * k];
        match self {
            Self::Dense(w) => return w.to_device(device),
            Self::Tiles(w) => w.read_rows(0..n, &mut data),
            Self::Packed(w) => w.read_rows(0..n, &mut data),
        }
        Tensor::from_vec(data, (n, k), device)
    }
}

impl From<Tensor> for Weight {
    fn from(w: Tensor) -> Self {
        Self::Dense(w)
    }
}

impl fmt::Debug for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Dense(_) => "Dense",
            Self::Tiles(_) => "Tiles",
            Self::Packed(_) => "Packed",
        };
        write!(f, "Weight::{name}{:?}", self.shape())
    }
}

/// `y = x wᵀ + bias` for packed activations `x [T, in]`, giving `[T, out]`.
///
/// The backward pass computes the gradient of `x`, and those of `w` and `bias` only where autograd tracks them.
pub fn linear(x: &Tensor, weight: &Weight, bias: Option<&Tensor>) -> Result<Tensor> {
    composed::linear(x, &weight.to_tensor(x.device())?, bias)
}
