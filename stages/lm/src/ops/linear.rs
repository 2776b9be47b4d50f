//! Linear layers: trained, frozen, quantised and packed weights behind one type.

use std::{fmt, ops::Range, sync::Arc};

use candle_core::{DType, Device, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{
    Crew, RoundedRows,
    autograd::{Grads, Input, Op, View, apply, fused},
    composed,
    gemm::{FewRows, Lhs, PackedWeight, Rhs, Store, gemm},
    scratch::{filled, recycle},
};

/// A frozen weight matrix `[out, in]` in any encoding (bf16, NF4, GGUF blocks), expanded to f32 a few rows at a time.
pub trait WeightTile: Send + Sync {
    /// Number of rows: output features.
    fn out_features(&self) -> usize;
    /// Number of columns: input features.
    fn in_features(&self) -> usize;
    /// Writes `rows` as f32, row-major, into `out` of `rows.len() * in_features` elements.
    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]);

    /// Expands the `panel`-th [`PackedWeight::ROWS`] rows into `out`, column by column, rows beyond the last being
    /// zero; `false` where the matrix is not kept so that this is quicker than reading rows.
    fn expand_panel(&self, _panel: usize, _out: &mut [f32]) -> bool {
        false
    }

    /// Most rows of x that [`WeightTile::multiply_few`] takes; none where the matrix is not kept for it.
    fn few_rows(&self) -> usize {
        0
    }

    /// `c (+)= x wᵀ` in the columns of `panels`, without expanding them to memory.
    ///
    /// # Safety
    /// There are one to [`WeightTile::few_rows`] rows, x and c hold them all, and nobody else has these columns of c.
    unsafe fn multiply_few(&self, _few: &FewRows, _panels: Range<usize>) {}

    /// Whether products of inference are those of rounded activations, by [`WeightTile::multiply_rounded`].
    fn rounds(&self) -> bool {
        false
    }

    /// `c (+)= x wᵀ` for rows that were rounded to 8 bits; only where [`WeightTile::rounds`].
    fn multiply_rounded(&self, _x: &RoundedRows, _crew: Crew, _store: Store, _c: &mut [f32]) {
        unreachable!("asked of a matrix that rounds no activations");
    }
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
    let (_, columns) = x.dims2()?;
    let (out, inner) = weight.shape()?;
    if columns != inner {
        candle_core::bail!("linear of [{out}, {inner}] applied to rows of {columns}");
    }
    let trained_bias = bias.is_some_and(Tensor::track_op);
    match weight {
        _ if !fused(&[x]) || bias.is_some_and(|b| !fused(&[b])) => {
            composed::linear(x, &weight.to_tensor(x.device())?, bias)
        }
        Weight::Dense(w) if fused(&[w]) && w.track_op() => match bias {
            Some(b) => apply(Trained, [x, w, b]),
            None => apply(Trained, [x, w]),
        },
        _ => {
            let frozen = Frozen::new(weight)?;
            match bias {
                // A trained bias beside a frozen weight: its gradient comes from the sum.
                Some(b) if trained_bias => apply(FrozenLinear { frozen, bias: None }, [x])?.broadcast_add(b),
                _ => {
                    let bias = bias.map(|b| b.flatten_all()?.to_vec1()).transpose()?;
                    apply(FrozenLinear { frozen, bias }, [x])
                }
            }
        }
    }
}

/// A weight that gets no gradient, in a form that the kernels read.
pub(super) enum Frozen {
    /// Row-major f32.
    Dense(Tensor),
    Tiles(Arc<dyn WeightTile>),
    Packed(Arc<PackedWeight>),
}

impl Frozen {
    /// Dense weights of other dtypes are widened for as long as the op lives; hand in [`Weight::Tiles`] to avoid that.
    pub(super) fn new(weight: &Weight) -> Result<Self> {
        Ok(match weight {
            Weight::Dense(w) => Self::Dense(w.detach().to_dtype(DType::F32)?.contiguous()?),
            Weight::Tiles(w) => Self::Tiles(w.clone()),
            Weight::Packed(w) => Self::Packed(w.clone()),
        })
    }

    /// `y (+)= x wᵀ` for `m` rows.
    pub(super) fn forward(
        &self,
        x: &[f32],
        m: usize,
        (n, k): (usize, usize),
        store: Store,
        y: &mut [f32],
    ) -> Result<()> {
        match self {
            Self::Dense(w) => gemm(m, n, k, Lhs::Rows(x), &Rhs::Transposed(&View::of(w)?), store, y),
            Self::Tiles(w) => gemm(m, n, k, Lhs::Rows(x), &Rhs::TilesTransposed(&**w), store, y),
            Self::Packed(w) => gemm(m, n, k, Lhs::Rows(x), &Rhs::Packed(w), store, y),
        }
        Ok(())
    }

    /// `dx (+)= dy w` for `m` rows.
    pub(super) fn backward(
        &self,
        dy: &[f32],
        m: usize,
        (n, k): (usize, usize),
        store: Store,
        dx: &mut [f32],
    ) -> Result<()> {
        match self {
            Self::Dense(w) => gemm(m, k, n, Lhs::Rows(dy), &Rhs::Rows(&View::of(w)?), store, dx),
            Self::Tiles(w) => gemm(m, k, n, Lhs::Rows(dy), &Rhs::Tiles(&**w), store, dx),
            Self::Packed(w) => gemm(m, k, n, Lhs::Rows(dy), &Rhs::PackedRows(w), store, dx),
        }
        Ok(())
    }

    /// `[out, in]`.
    pub(super) fn shape(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(w) => w.dims2(),
            Self::Tiles(w) => Ok((w.out_features(), w.in_features())),
            Self::Packed(w) => Ok((w.out_features(), w.in_features())),
        }
    }
}

/// Every row of `out` becomes `bias`; says how a product is then to be stored.
pub(super) fn start_with(bias: Option<&[f32]>, out: &mut [f32]) -> Store {
    let Some(bias) = bias else { return Store::Overwrite };
    out.par_chunks_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
    Store::Add
}

/// Widths up to this make a product too low for the kernels to share out: its transpose is computed then.
const LOW: usize = 32;

/// `dw = dyᵀ x` for `dy [m, n]`, `x [m, k]`.
pub(super) fn weight_grad(dy: &[f32], x: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
    if n <= LOW && k > n {
        let across = filled(n * k, |dw| gemm(k, n, m, Lhs::Transposed(x), &Rhs::Rows(dy), Store::Overwrite, dw));
        let dw = filled(n * k, |dw| {
            for (j, dw) in dw.chunks_exact_mut(k).enumerate() {
                dw.iter_mut().zip(across[j..].iter().step_by(n)).for_each(|(dw, value)| *dw = *value);
            }
        });
        recycle(across);
        return dw;
    }
    filled(n * k, |dw| gemm(n, k, m, Lhs::Transposed(dy), &Rhs::Rows(x), Store::Overwrite, dw))
}

/// Inputs: x.
struct FrozenLinear {
    frozen: Frozen,
    bias: Option<Vec<f32>>,
}

impl Op for FrozenLinear {
    fn name(&self) -> &'static str {
        "linear (frozen)"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let (m, shape) = (inputs[0].dims[0], self.frozen.shape()?);
        let mut done = Ok(());
        let y = filled(m * shape.0, |y| {
            let store = start_with(self.bias.as_deref(), y);
            done = self.frozen.forward(inputs[0].data, m, shape, store, y);
        });
        done.map(|()| (y, (m, shape.0).into()))
    }

    fn backward(&self, inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        let (m, shape) = (grad.dim(0)?, self.frozen.shape()?);
        let dy = View::of(grad)?;
        let mut done = Ok(());
        let dx = filled(m * shape.1, |dx| done = self.frozen.backward(&dy, m, shape, Store::Overwrite, dx));
        done?;
        Ok([Some(Tensor::from_vec(dx, inputs[0].shape(), grad.device())?), None, None])
    }
}

/// Inputs: x, w and perhaps a bias.
struct Trained;

impl Op for Trained {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward(&self, inputs: &[Input]) -> Result<(Vec<f32>, Shape)> {
        let (m, n, k) = (inputs[0].dims[0], inputs[1].dims[0], inputs[1].dims[1]);
        let y = filled(m * n, |y| {
            let store = start_with(inputs.get(2).map(|b| b.data), y);
            gemm(m, n, k, Lhs::Rows(inputs[0].data), &Rhs::Transposed(inputs[1].data), store, y);
        });
        Ok((y, (m, n).into()))
    }

    fn backward(&self, inputs: &[Tensor], _result: &Tensor, grad: &Tensor) -> Result<Grads> {
        let ((m, n), (_, k)) = (grad.dims2()?, inputs[1].dims2()?);
        let (x, w, dy) = (View::of(&inputs[0])?, View::of(&inputs[1])?, View::of(grad)?);
        let device = grad.device();
        let dx = inputs[0].track_op().then(|| {
            let dx = filled(m * k, |dx| gemm(m, k, n, Lhs::Rows(&dy), &Rhs::Rows(&w), Store::Overwrite, dx));
            Tensor::from_vec(dx, (m, k), device)
        });
        let dw = inputs[1].track_op().then(|| Tensor::from_vec(weight_grad(&dy, &x, m, n, k), (n, k), device));
        let db = inputs.get(2).filter(|b| b.track_op()).map(|b| {
            let mut db = vec![0.0; n];
            for row in dy.chunks_exact(n) {
                db.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
            }
            Tensor::from_vec(db, b.shape(), device)
        });
        Ok([dx.transpose()?, dw.transpose()?, db.transpose()?])
    }
}
