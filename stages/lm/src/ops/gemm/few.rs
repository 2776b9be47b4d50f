//! Products of a few rows, straight out of a weight's code.

use std::ops::Range;

use super::{
    super::{Crew, WeightTile},
    PARALLEL_FROM, Store, block_len, panels,
};

/// `c (+)= x wᵀ` for a few rows of x and a weight `[n, k]`, of which threads compute columns each for itself.
pub struct FewRows {
    pub(crate) rows: usize,
    /// `[rows, k]`
    pub(crate) x: *const f32,
    /// `[rows, n]`
    pub(crate) c: *mut f32,
    k: usize,
    store: Store,
}
// SAFETY: nobody writes x meanwhile, and threads write different columns of c.
unsafe impl Sync for FewRows {}

impl FewRows {
    /// The blocks of `k` one after the other, and whether what is there is added to.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (Range<usize>, bool)> {
        let block = block_len(self.k);
        let range = move |start: usize| start..self.k.min(start + block);
        (0..self.k).step_by(block).map(move |start| (range(start), start > 0 || self.store == Store::Add))
    }
}

/// Parts of a product for each thread of a crew: enough that one that is held up leaves others to take.
const PARTS: usize = 4;
/// Least panels of a part.
const LEAST: usize = 4;

/// Multiplies, if the weight has kernels for so few rows; says whether it has.
pub(super) fn multiply(rows: usize, w: &dyn WeightTile, x: &[f32], store: Store, crew: Crew, c: &mut [f32]) -> bool {
    if rows > w.few_rows() {
        return false;
    }
    let (n, k) = (w.out_features(), w.in_features());
    assert!(x.len() == rows * k && c.len() == rows * n, "x is [rows, k], c [rows, n]");
    let few = FewRows { rows, x: x.as_ptr(), c: c.as_mut_ptr(), k, store };
    let crew = if rows * n * k < PARALLEL_FROM { Crew::Alone } else { crew };
    let panels = panels(n);
    let parts = (crew.threads() * PARTS).min(panels.div_ceil(LEAST));
    crew.each(parts, |part| {
        let first_of = |part: usize| part * panels.div_ceil(LEAST) / parts * LEAST;
        // SAFETY: the extents were checked, and parts are different panels.
        unsafe { w.multiply_few(&few, first_of(part)..first_of(part + 1).min(panels)) };
    });
    true
}
