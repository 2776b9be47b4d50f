//! Weights laid out once for the kernels.

use std::{fmt, ops::Range};

use super::{
    super::{Crew, WeightTile},
    Lhs, NR, Rhs, Store, gemm, pack_panels, panels,
};

/// A frozen weight `[out, in]` in the order in which the kernels read it, for inference.
#[derive(Clone)]
pub struct PackedWeight {
    out_features: usize,
    in_features: usize,
    /// `[⌈out / NR⌉, in, NR]`
    pub(super) data: Vec<f32>,
}

impl PackedWeight {
    /// Packs `w`, row-major `[out, in]`.
    ///
    /// # Panics
    /// If `w` has another length.
    pub fn pack(w: &[f32], out_features: usize, in_features: usize) -> Self {
        assert_eq!(w.len(), out_features * in_features, "the length of a weight must be out * in");
        let mut data = vec![0.0; panels(out_features) * in_features * NR];
        pack_panels(
            &Rhs::Transposed(w),
            out_features,
            in_features,
            0..in_features,
            0..panels(out_features),
            Crew::Pool,
            &mut data,
        );
        Self { out_features, in_features, data }
    }

    /// `out = x wᵀ (+ bias)` for row-major `x [m, in]`, `out [m, out]`. The bits of a row of `out` depend on its row of
    /// `x` alone: not on `m`, nor on the thread count.
    ///
    /// # Panics
    /// If a slice has another length.
    pub fn matmul(&self, x: &[f32], m: usize, bias: Option<&[f32]>, out: &mut [f32]) {
        let store = match bias {
            Some(bias) => {
                out.chunks_exact_mut(self.out_features).for_each(|row| row.copy_from_slice(bias));
                Store::Add
            }
            None => Store::Overwrite,
        };
        gemm(m, self.out_features, self.in_features, Lhs::Rows(x), &Rhs::Packed(self), store, out);
    }
}

/// Read back row by row, where a kernel wants the matrix and not its transpose.
impl WeightTile for PackedWeight {
    fn out_features(&self) -> usize {
        self.out_features
    }

    fn in_features(&self) -> usize {
        self.in_features
    }

    fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        for (row, out) in rows.zip(out.chunks_exact_mut(self.in_features)) {
            let panel = &self.data[row / NR * NR * self.in_features..];
            for (k, value) in out.iter_mut().enumerate() {
                *value = panel[k * NR + row % NR];
            }
        }
    }
}

impl fmt::Debug for PackedWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedWeight[{}, {}]", self.out_features, self.in_features)
    }
}
