//! A weight kept in 16 bits on the CPU and expanded to f32 while it is used.

use std::ops::Range;

use candle_core::{CpuStorage, Storage, Tensor};
use half::{bf16, f16, slice::HalfFloatSliceExt};

use super::{ModelError, error::Context};
use crate::ops::WeightTile;

/// A frozen matrix `[out, in]` in f16 or bf16. Half the memory of f32; expansion is exact.
pub struct HalfTile {
    shape: (usize, usize),
    data: Data,
}

enum Data {
    F16(Vec<f16>),
    Bf16(Vec<bf16>),
}

impl HalfTile {
    /// Copies an f16 or bf16 matrix that is on the CPU.
    pub fn new(matrix: &Tensor) -> Result<Self, ModelError> {
        let copy = || {
            let shape = matrix.dims2()?;
            let matrix = matrix.contiguous()?;
            let (storage, layout) = matrix.storage_and_layout();
            let range = layout.start_offset()..layout.start_offset() + shape.0 * shape.1;
            let data = match &*storage {
                Storage::Cpu(CpuStorage::F16(all)) => Data::F16(all[range].to_vec()),
                Storage::Cpu(CpuStorage::BF16(all)) => Data::Bf16(all[range].to_vec()),
                _ => candle_core::bail!("a 16-bit matrix on the CPU is needed, not {:?}", matrix.dtype()),
            };
            Ok(Self { shape, data })
        };
        copy().what(|| "16-bit weights".to_owned())
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
        let range = rows.start * self.shape.1..rows.end * self.shape.1;
        match &self.data {
            Data::F16(data) => data[range].convert_to_f32_slice(out),
            Data::Bf16(data) => data[range].convert_to_f32_slice(out),
        }
    }
}
