//! Weights laid out once for the kernels.

use std::ops::Range;

/// A frozen weight `[out, in]` for inference.
#[derive(Clone, Debug)]
pub struct PackedWeight {
    out_features: usize,
    in_features: usize,
    data: Vec<f32>,
}

impl PackedWeight {
    /// Packs `w`, row-major `[out, in]`.
    ///
    /// # Panics
    /// If `w` has another length.
    pub fn pack(w: &[f32], out_features: usize, in_features: usize) -> Self {
        assert_eq!(w.len(), out_features * in_features);
        Self { out_features, in_features, data: w.to_vec() }
    }

    /// Number of rows.
    pub fn out_features(&self) -> usize {
        self.out_features
    }

    /// Number of columns.
    pub fn in_features(&self) -> usize {
        self.in_features
    }

    /// Writes `rows` as f32, row-major, into `out`.
    pub fn read_rows(&self, rows: Range<usize>, out: &mut [f32]) {
        out.copy_from_slice(&self.data[rows.start * self.in_features..rows.end * self.in_features]);
    }

    /// `out = x wᵀ (+ bias)` for row-major `x [m, in]`, `out [m, out]`. The bits of a row of `out` depend on its row of
    /// `x` alone: not on `m`, nor on the thread count.
    pub fn matmul(&self, x: &[f32], m: usize, bias: Option<&[f32]>, out: &mut [f32]) {
        let (n, k) = (self.out_features, self.in_features);
        for i in 0..m {
            for j in 0..n {
                let start = bias.map_or(0.0, |b| b[j]);
                let (x, w) = (&x[i * k..][..k], &self.data[j * k..][..k]);
                out[i * n + j] = start + x.iter().zip(w).fold(0.0, |sum, (a, b)| a.mul_add(*b, sum));
            }
        }
    }
}
