//! A weight kept in 16 bits on the CPU and expanded to f32 while it is used.

use std::ops::Range;

use candle_core::{CpuStorage, Storage, Tensor};
use half::slice::HalfFloatSliceExt;

use super::{ModelError, error::Context};
use crate::ops::{
    WeightTile,
    gemm::{PackedWeight, prefetch_ahead, read_panels},
    math::{f16_to_f32, simd},
};

/// Rows side by side, as the kernels read them.
const ROWS: usize = PackedWeight::ROWS;

/// A frozen matrix `[out, in]` in f16 or bf16, laid out for the kernels. Half the memory of f32; expansion is exact.
pub struct HalfTile {
    shape: (usize, usize),
    form: HalfForm,
    /// `[⌈out / ROWS⌉, in, ROWS]`
    data: Vec<u16>,
}

/// What 16 bits mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HalfForm {
    F16,
    Bf16,
}

impl HalfTile {
    /// Copies an f16 or bf16 matrix that is on the CPU.
    pub fn new(matrix: &Tensor) -> Result<Self, ModelError> {
        let copy = || {
            let shape = matrix.dims2()?;
            let matrix = matrix.contiguous()?;
            let (storage, layout) = matrix.storage_and_layout();
            let range = layout.start_offset()..layout.start_offset() + shape.0 * shape.1;
            let (form, data) = match &*storage {
                Storage::Cpu(CpuStorage::F16(all)) => (HalfForm::F16, all[range].reinterpret_cast()),
                Storage::Cpu(CpuStorage::BF16(all)) => (HalfForm::Bf16, all[range].reinterpret_cast()),
                _ => candle_core::bail!("a 16-bit matrix on the CPU is needed, not {:?}", matrix.dtype()),
            };
            Ok(Self::of_rows(shape, form, |row| &data[row * shape.1..][..shape.1]))
        };
        copy().what(|| "16-bit weights".to_owned())
    }

    /// A matrix of `shape` whose rows are asked for one by one.
    pub(crate) fn of_rows<'a>(shape: (usize, usize), form: HalfForm, row: impl Fn(usize) -> &'a [u16]) -> Self {
        let (rows, columns) = shape;
        let mut data = vec![0; rows.div_ceil(ROWS) * ROWS * columns];
        for (first, panel) in (0..rows).step_by(ROWS).zip(data.chunks_exact_mut(ROWS * columns)) {
            for (at, row) in (first..rows.min(first + ROWS)).map(&row).enumerate() {
                for (to, value) in panel.chunks_exact_mut(ROWS).zip(row) {
                    to[at] = *value;
                }
            }
        }
        Self { shape, form, data }
    }
}

impl WeightTile for HalfTile {
    fn out_features(&self) -> usize {
        self.shape.0
    }

    fn in_features(&self) -> usize {
        self.shape.1
    }

    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        read_panels(self, rows, out);
    }

    fn expand_panel(&self, panel: usize, out: &mut [f32]) -> bool {
        let size = ROWS * self.shape.1;
        let stored = &self.data[panel * size..][..size];
        match self.form {
            HalfForm::F16 => expand_f16(stored, out),
            HalfForm::Bf16 => expand_bf16(stored, out),
        }
        true
    }
}

simd! {
    fn expand_f16(stored: &[u16], out: &mut [f32]) {
        expand(stored, out, f16_to_f32);
    }
}

simd! {
    fn expand_bf16(stored: &[u16], out: &mut [f32]) {
        expand(stored, out, |bits| f32::from_bits(u32::from(bits) << 16));
    }
}

/// Expands whole columns of a panel, a few cache lines at a time.
#[inline(always)]
fn expand(stored: &[u16], out: &mut [f32], value: impl Fn(u16) -> f32) {
    const STEP: usize = 8 * ROWS;
    for (stored, out) in stored.chunks(STEP).zip(out.chunks_mut(STEP)) {
        prefetch_ahead(stored);
        for (out, bits) in out.iter_mut().zip(stored) {
            *out = value(*bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn rows_and_panels_are_those_of_the_matrix() {
        let (rows, columns) = (37, 24);
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.013).collect();
        let matrix = Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap();
        for dtype in [DType::F16, DType::BF16] {
            let matrix = matrix.to_dtype(dtype).unwrap();
            let expected: Vec<f32> = matrix.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let tile = HalfTile::new(&matrix).unwrap();
            for range in [0..rows, 5..6, 8..16, 16..24, 24..37, 30..35] {
                let mut found = vec![f32::NAN; range.len() * columns];
                tile.read_rows(range.clone(), &mut found);
                assert_eq!(found, expected[range.start * columns..range.end * columns], "{dtype:?}, {range:?}");
            }
            let mut panel = vec![f32::NAN; ROWS * columns];
            assert!(tile.expand_panel(2, &mut panel));
            for (at, value) in panel.iter().enumerate() {
                let (row, column) = (2 * ROWS + at % ROWS, at / ROWS);
                assert_eq!(*value, if row < rows { expected[row * columns + column] } else { 0.0 }, "{row}, {column}");
            }
        }
    }
}
