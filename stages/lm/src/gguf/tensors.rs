//! A matrix that stays in its GGUF encoding: laid out for the kernels, or, in types that no model's matrices come in,
//! as it is in the file, expanded row by row.

use std::{ops::Range, sync::Arc};

use candle_core::{
    Result,
    quantized::{GgmlDType, GgmlType, QTensor, k_quants},
};

use super::names;
use crate::{
    coded::{CodedWeight, Quads, ggml_weight},
    ops::WeightTile,
};

/// In which order the file holds the rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowOrder {
    /// As Hugging Face does.
    Plain,
    /// Interleaved within heads, see [`names::interleaved_row`].
    Interleaved { head_dim: usize },
}

impl RowOrder {
    /// Where the file has a row of Hugging Face's.
    fn stored(self, row: usize) -> usize {
        match self {
            Self::Plain => row,
            Self::Interleaved { head_dim } => names::interleaved_row(row, head_dim),
        }
    }
}

/// A matrix `[out, in]` as the kernels take it; the values are the file's. With `rounding`, one in `Q8_0` is multiplied
/// with rounded activations.
pub(super) fn tile(tensor: QTensor, order: RowOrder, rounding: bool) -> Result<Arc<dyn WeightTile>> {
    let (dtype, shape) = (tensor.dtype(), tensor.shape().dims2()?);
    let width = row_bytes(dtype, shape.1);
    let coded = {
        let data = tensor.data()?;
        let row = |row| &data[order.stored(row) * width..][..width];
        if rounding && dtype == GgmlDType::Q8_0 {
            Some(Arc::new(CodedWeight::<Quads>::of_rows(shape, row)) as Arc<dyn WeightTile>)
        } else {
            ggml_weight(dtype, shape, row)
        }
    };
    Ok(coded.unwrap_or_else(|| Arc::new(GgufTile { tensor, order })))
}

/// Bytes of a row of `columns` values.
fn row_bytes(dtype: GgmlDType, columns: usize) -> usize {
    columns / dtype.block_size() * dtype.type_size()
}

/// A quantised matrix `[out, in]`.
struct GgufTile {
    tensor: QTensor,
    order: RowOrder,
}

impl WeightTile for GgufTile {
    fn out_features(&self) -> usize {
        self.tensor.shape().dims()[0]
    }

    fn in_features(&self) -> usize {
        self.tensor.shape().dims()[1]
    }

    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        let columns = self.in_features();
        let dtype = self.tensor.dtype();
        let width = row_bytes(dtype, columns);
        let data = self.tensor.data().expect("the tensor is on the CPU");
        for (row, out) in rows.zip(out.chunks_exact_mut(columns)) {
            expand(dtype, &data[self.order.stored(row) * width..][..width], out);
        }
    }
}

fn expand(dtype: GgmlDType, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        GgmlDType::F32 => blocks::<f32>(bytes, out),
        GgmlDType::Q8_1 => blocks::<k_quants::BlockQ8_1>(bytes, out),
        GgmlDType::Q8K => blocks::<k_quants::BlockQ8K>(bytes, out),
        _ => unreachable!("kept in its code"),
    }
}

fn blocks<T: GgmlType>(bytes: &[u8], out: &mut [f32]) {
    T::to_float(aligned(bytes), out);
}

/// Bytes of a tensor as what they are.
///
/// # Panics
/// If they are no whole number of aligned `T`.
fn aligned<T>(bytes: &[u8]) -> &[T] {
    // SAFETY: the bytes are part of a vector of such blocks that candle owns, every pattern of bits is a value of them,
    // and `align_to` would leave a prefix or suffix if they were not whole and aligned, which is checked.
    let (before, blocks, after) = unsafe { bytes.align_to::<T>() };
    assert!(before.is_empty() && after.is_empty(), "a row is not a whole number of aligned blocks");
    blocks
}
