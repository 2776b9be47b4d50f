//! Weights laid out once for the kernels.

use std::{fmt, ops::Range};

use super::{
    super::{Crew, WeightTile, scratch},
    Lhs, NR, Rhs, Store, gemm,
    pack::{pack_transposed, unpack},
    pack_panels, panels,
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

    /// A weight of zeros, to be filled by [`PackedWeight::put_rows`].
    pub fn zeroed(out_features: usize, in_features: usize) -> Self {
        Self { out_features, in_features, data: vec![0.0; panels(out_features) * in_features * NR] }
    }

    /// Rows that are put at once: a panel's.
    pub const ROWS: usize = NR;

    /// Puts `rows`, row-major, in the place of those from `first` on. Rows arrive panel by panel: `first` is a multiple
    /// of [`PackedWeight::ROWS`], and only the last rows of the weight may be fewer than a panel's.
    ///
    /// # Panics
    /// If they do not.
    pub fn put_rows(&mut self, first: usize, rows: &[f32]) {
        let (n, k) = (rows.len() / self.in_features, self.in_features);
        assert!(first.is_multiple_of(NR) && first + n <= self.out_features && rows.len() == n * k);
        assert!(n.is_multiple_of(NR) || first + n == self.out_features, "rows arrive panel by panel");
        let place = first * k..(first + n).next_multiple_of(NR) * k;
        for (panel, rows) in self.data[place].chunks_exact_mut(NR * k).zip(rows.chunks(NR * k)) {
            pack_transposed(rows, k, 0..k, panel);
        }
    }

    /// Bytes held.
    pub fn size_in_bytes(&self) -> usize {
        self.data.len() * size_of::<f32>()
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
        let width = self.in_features;
        for_panels(width, rows, out, |panel, part, out| {
            unpack(&self.data[panel * NR * width..][..NR * width], width, part, out);
        });
    }
}

/// [`WeightTile::read_rows`] of a matrix that is kept so that its panels are expanded quickly.
///
/// # Panics
/// If [`WeightTile::expand_panel`] refuses.
pub(crate) fn read_panels(tile: &dyn WeightTile, rows: Range<usize>, out: &mut [f32]) {
    let width = tile.in_features();
    scratch::with(NR * width, |expanded| {
        for_panels(width, rows, out, |panel, part, out| {
            assert!(tile.expand_panel(panel, expanded), "the matrix is kept in panels");
            unpack(expanded, width, part, out);
        });
    });
}

/// Cuts `rows` where panels end: `visit(panel, rows within it, their place in out)`.
fn for_panels(
    width: usize,
    rows: Range<usize>,
    mut out: &mut [f32],
    mut visit: impl FnMut(usize, Range<usize>, &mut [f32]),
) {
    let mut row = rows.start;
    while row < rows.end {
        let panel = row / NR;
        let part = row % NR..(rows.end - panel * NR).min(NR);
        let (here, rest) = out.split_at_mut(part.len() * width);
        row += part.len();
        visit(panel, part, here);
        out = rest;
    }
}

impl fmt::Debug for PackedWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackedWeight[{}, {}]", self.out_features, self.in_features)
    }
}
