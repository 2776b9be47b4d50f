//! A matrix that stays in its GGUF encoding and is expanded row by row.

use std::ops::Range;

use candle_core::quantized::{GgmlDType, GgmlType, QTensor, k_quants};
use half::{bf16, f16};

use super::names;
use crate::ops::WeightTile;

/// In which order the file holds the rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowOrder {
    /// As Hugging Face does.
    Plain,
    /// Interleaved within heads, see [`names::interleaved_row`].
    Interleaved { head_dim: usize },
}

/// A quantised matrix `[out, in]`.
pub(super) struct GgufTile {
    tensor: QTensor,
    order: RowOrder,
}

impl GgufTile {
    /// Takes a matrix.
    pub(crate) fn new(tensor: QTensor, order: RowOrder) -> Self {
        Self { tensor, order }
    }
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
        let row_bytes = columns / dtype.block_size() * dtype.type_size();
        let data = self.tensor.data().expect("the tensor is on the CPU");
        for (row, out) in rows.zip(out.chunks_exact_mut(columns)) {
            let stored = match self.order {
                RowOrder::Plain => row,
                RowOrder::Interleaved { head_dim } => names::interleaved_row(row, head_dim),
            };
            expand(dtype, &data[stored * row_bytes..(stored + 1) * row_bytes], out);
        }
    }
}

fn expand(dtype: GgmlDType, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        GgmlDType::F32 => blocks::<f32>(bytes, out),
        GgmlDType::F16 => blocks::<f16>(bytes, out),
        GgmlDType::BF16 => blocks::<bf16>(bytes, out),
        GgmlDType::Q4_0 => blocks::<k_quants::BlockQ4_0>(bytes, out),
        GgmlDType::Q4_1 => blocks::<k_quants::BlockQ4_1>(bytes, out),
        GgmlDType::Q5_0 => blocks::<k_quants::BlockQ5_0>(bytes, out),
        GgmlDType::Q5_1 => blocks::<k_quants::BlockQ5_1>(bytes, out),
        GgmlDType::Q8_0 => crate::quant::expand_q8_0(bytes, out),
        GgmlDType::Q8_1 => blocks::<k_quants::BlockQ8_1>(bytes, out),
        GgmlDType::Q2K => blocks::<k_quants::BlockQ2K>(bytes, out),
        GgmlDType::Q3K => blocks::<k_quants::BlockQ3K>(bytes, out),
        GgmlDType::Q4K => blocks::<k_quants::BlockQ4K>(bytes, out),
        GgmlDType::Q5K => blocks::<k_quants::BlockQ5K>(bytes, out),
        GgmlDType::Q6K => blocks::<k_quants::BlockQ6K>(bytes, out),
        GgmlDType::Q8K => blocks::<k_quants::BlockQ8K>(bytes, out),
    }
}

fn blocks<T: GgmlType>(bytes: &[u8], out: &mut [f32]) {
    // SAFETY: the bytes are part of a `Vec<T>` that candle owns, cut at whole blocks, so they are aligned and valid;
    // `align_to` would leave a prefix or suffix otherwise, which is checked.
    let (before, blocks, after) = unsafe { bytes.align_to::<T>() };
    assert!(before.is_empty() && after.is_empty(), "a row is not a whole number of aligned blocks");
    T::to_float(blocks, out);
}
