//! Single-precision matrix products whose bits depend on the operands alone.
//!
//! `C = A B` is cut into tiles of at most [`MR`] x [`NR`] elements. Every element is accumulated over `k` in one order,
//! fixed by `k` alone: chains of fused multiply-adds over blocks of at most [`KC`], the blocks added one after the
//! other. So a row's bits change neither with the number of rows beside it nor with the number of threads, which
//! general libraries do not promise (they choose blocking and special cases by shape). The blocking follows Goto and
//! van de Geijn 2008, "Anatomy of high-performance matrix multiplication": a panel of B in L1, a block of A in L2.

mod few;
mod job;
#[cfg(target_arch = "x86_64")]
mod kernel_avx2;
#[cfg(target_arch = "x86_64")]
mod kernel_avx512;
mod kernel_portable;
mod pack;
mod packed;

pub use few::FewRows;
pub(crate) use job::{parts_of, put_edge};
pub(crate) use pack::prefetch;
pub use packed::PackedWeight;
pub(crate) use packed::read_panels;

use self::{
    job::{Job, Panels},
    pack::pack_panels,
};
use super::{Crew, WeightTile, math, scratch};

/// Rows of a micro-tile: with `NR`, 12 accumulators, 2 values of B and a broadcast of A fill the 16 AVX2 registers.
const MR: usize = 6;
/// Columns of a micro-tile and of a packed panel.
const NR: usize = 16;
/// Longest block of `k` that is accumulated in registers: a panel of B is then 20 KB, within L1.
const KC: usize = 320;
/// Rows of A that one task works on: 120 KB with `KC`, within L2.
const MC: usize = 96;
/// Packed bytes of B at a time, when a call packs it.
const PACK_BYTES: usize = 8 << 20;
/// With no more rows than this, B is read where it is: packing would cost more than the product.
const UNPACKED_ROWS: usize = 24;
/// With no more rows than this, an encoded B is expanded by the thread that multiplies with it, a few panels at a time,
/// which stay in its cache; with more, once for all blocks of rows.
const FUSED_ROWS: usize = MC;
/// Bytes of B that are expanded at a time then: within L2, beside the rows of A.
const FUSED_BYTES: usize = 256 << 10;
/// Products below this number of multiply-adds are not worth waking another thread.
pub(crate) const PARALLEL_FROM: usize = 1 << 18;

/// The left operand, `[m, k]`.
#[derive(Clone, Copy)]
pub enum Lhs<'a> {
    /// Row-major `[m, k]`.
    Rows(&'a [f32]),
    /// Row-major `[k, m]`: its transpose is meant.
    Transposed(&'a [f32]),
}

/// The right operand, `[k, n]`.
#[derive(Clone, Copy)]
pub enum Rhs<'a> {
    /// Row-major `[k, n]`.
    Rows(&'a [f32]),
    /// Row-major `[n, k]`: its transpose is meant (a weight `[out, in]`).
    Transposed(&'a [f32]),
    /// A weight `[k, n]` expanded while it is packed.
    Tiles(&'a dyn WeightTile),
    /// A weight `[n, k]` expanded while it is packed: its transpose is meant.
    TilesTransposed(&'a dyn WeightTile),
    /// A weight `[n, k]`, packed before: its transpose is meant.
    Packed(&'a PackedWeight),
    /// A weight `[k, n]`, packed before for products with its transpose.
    PackedRows(&'a PackedWeight),
}

/// What happens to the elements of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// They are replaced (and may be uninitialised).
    Overwrite,
    /// They are added to.
    Add,
}

/// What of a product need not be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Nothing.
    Nothing,
    /// Elements of C to the right of column `row + shift`: they may be computed or not.
    Result {
        /// 0 for the triangle above the diagonal.
        shift: usize,
    },
    /// Terms with the elements of A to the right of column `row + shift`, A as it lies in memory: they are zero.
    Left {
        /// 0 for the triangle above the diagonal.
        shift: usize,
    },
}

/// Operands of one call of a micro-kernel: `k` steps over rows of A at `a_row_stride` and panels of B at `panel_stride`
/// (whose rows are `b_k_stride` apart), into rows of C at `c_stride`. Every [`AHEAD_EVERY`] steps the kernel asks for
/// the cache line at `ahead`, and goes on by `ahead_step`: what later tiles read is brought near while this one is
/// computed.
struct Tile {
    k: usize,
    a: *const f32,
    a_row_stride: usize,
    a_k_stride: usize,
    b: *const f32,
    b_k_stride: usize,
    panel_stride: usize,
    c: *mut f32,
    c_stride: usize,
    add: bool,
    ahead: *const f32,
    ahead_step: usize,
    /// From what is asked for one panel to what is for the next, where a kernel asks for each.
    ahead_across: usize,
}

impl Tile {
    /// Asks for the lines of C: they are needed at the end of the chains.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn bring_c_near(&self, rows: usize, panels: usize) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        for at in (0..rows).flat_map(|i| (0..panels).map(move |p| i * self.c_stride + p * NR)) {
            // SAFETY: SSE is part of x86-64, and a prefetch of any address is allowed.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.c.wrapping_add(at).cast()) };
        }
    }
}

/// Steps of a kernel from one request for memory to the next.
const AHEAD_EVERY: usize = 4;

type Kernel = unsafe fn(&Tile);

/// Kernels for 1 to [`MR`] rows, over some panels side by side.
struct Kernels {
    panels: usize,
    by_rows: [Kernel; MR],
}

/// What a CPU has: kernels over 4, 2 panels and one.
struct Family {
    kernels: [Kernels; 3],
    /// Most panels side by side in blocks of 1, 2, ... and of [`MR`] rows and more: as many as fill the accumulators.
    /// (One panel's chains of a few rows would wait for each other.)
    most: [usize; MR],
}

impl Family {
    /// Panels that tasks are cut by: with fewer side by side, a tile of so many rows has fewer chains than it takes to
    /// keep two multipliers busy for the four cycles of a multiply-add.
    fn unit(&self, rows: usize) -> usize {
        let rows = rows.clamp(1, MR);
        8_usize.div_ceil(rows).next_power_of_two().min(self.most[rows - 1])
    }
}

macro_rules! kernels {
    ($of:ident, $panels:literal) => {{
        use $of::kernel;
        Kernels {
            panels: $panels,
            by_rows: [
                kernel::<1, $panels>,
                kernel::<2, $panels>,
                kernel::<3, $panels>,
                kernel::<4, $panels>,
                kernel::<5, $panels>,
                kernel::<6, $panels>,
            ],
        }
    }};
    ($of:ident) => {
        [kernels!($of, 4), kernels!($of, 2), kernels!($of, 1)]
    };
}

static PORTABLE: Family = Family { kernels: kernels!(kernel_portable), most: [4, 2, 2, 1, 1, 1] };

#[cfg(target_arch = "x86_64")]
static AVX2: Family = Family { kernels: kernels!(kernel_avx2), most: [4, 2, 2, 1, 1, 1] };

#[cfg(target_arch = "x86_64")]
static AVX512: Family = Family { kernels: kernels!(kernel_avx512), most: [4; MR] };

fn family() -> &'static Family {
    #[cfg(target_arch = "x86_64")]
    if math::has_avx512() {
        return &AVX512;
    } else if math::has_avx2() {
        return &AVX2;
    }
    &PORTABLE
}

/// Number of panels that hold `n` columns.
fn panels(n: usize) -> usize {
    n.div_ceil(NR)
}

/// The length of the blocks that `k` is cut into, a function of `k` alone: as few as possible, of nearly equal length.
fn block_len(k: usize) -> usize {
    k.div_ceil(k.div_ceil(KC).max(1)).next_multiple_of(8)
}

/// `C = A B` or `C += A B` for `C [m, n]`, row-major, by all threads of the current pool.
///
/// # Panics
/// If an operand's length does not fit its shape.
pub fn gemm(m: usize, n: usize, k: usize, a: Lhs, b: &Rhs, store: Store, c: &mut [f32]) {
    Product { m, n, k, a, b: *b, store }.by(Crew::Pool, c);
}

/// [`gemm`] on the calling thread alone, for callers that are tasks themselves. The same bits.
pub fn gemm_serial(m: usize, n: usize, k: usize, a: Lhs, b: &Rhs, store: Store, c: &mut [f32]) {
    Product { m, n, k, a, b: *b, store }.by(Crew::Alone, c);
}

/// A product to be computed: A is `[m, k]`, B `[k, n]`, C `[m, n]`.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// The left operand.
    pub a: Lhs<'a>,
    /// The right operand.
    pub b: Rhs<'a>,
    /// What happens to C.
    pub store: Store,
}

impl Product<'_> {
    /// Computes it into `c`. Who does it changes no bit.
    ///
    /// # Panics
    /// If an operand's length does not fit its shape.
    pub fn by(self, crew: Crew, c: &mut [f32]) {
        self.partly(Skip::Nothing, crew, c);
    }

    /// [`Product::by`] without what need not be computed; the bits of the rest are the same.
    ///
    /// # Panics
    /// If an operand's length does not fit its shape.
    pub fn partly(self, skip: Skip, crew: Crew, c: &mut [f32]) {
        let Self { m, n, k, a, b, store } = self;
        let (Lhs::Rows(data) | Lhs::Transposed(data)) = a;
        assert_eq!(data.len(), m * k, "A must hold m * k elements");
        assert_eq!(c.len(), m * n, "C must hold m * n elements");
        match b {
            Rhs::Rows(data) | Rhs::Transposed(data) => assert_eq!(data.len(), k * n, "B must hold k * n elements"),
            Rhs::Tiles(w) => assert_eq!((w.out_features(), w.in_features()), (k, n), "B must be k by n"),
            Rhs::TilesTransposed(w) => assert_eq!((w.in_features(), w.out_features()), (k, n), "B must be k by n"),
            Rhs::Packed(w) => assert_eq!((w.in_features(), w.out_features()), (k, n), "B must be k by n"),
            Rhs::PackedRows(w) => assert_eq!((w.out_features(), w.in_features()), (k, n), "B must be k by n"),
        }
        if m == 0 || n == 0 {
            return;
        }
        if k == 0 {
            if store == Store::Overwrite {
                c.fill(0.0);
            }
            return;
        }
        if let (Rhs::TilesTransposed(w), Lhs::Rows(x), Skip::Nothing) = (b, a, skip)
            && few::multiply(m, w, x, store, crew, c)
        {
            return;
        }
        if let Rhs::TilesTransposed(_) = b
            && m <= FUSED_ROWS
        {
            let job = Job::new((m, n, k), a, c, skip, Crew::Alone);
            let most = family().most[0].min(FUSED_BYTES / (4 * NR * k)).max(1);
            let crew = if m * n * k < PARALLEL_FROM { Crew::Alone } else { crew };
            crew.each(panels(n).div_ceil(most), |part| {
                let group = part * most..panels(n).min((part + 1) * most);
                scratch::with(group.len() * NR * k, |packed| {
                    pack_panels(&b, n, k, 0..k, group.clone(), Crew::Alone, packed);
                    // SAFETY: `packed` holds the panels `group` over all of k, and no other part writes their columns.
                    unsafe { job.run(0..k, group, Panels::packed(packed, k), store) };
                });
            });
            return;
        }
        let job = Job::new((m, n, k), a, c, skip, crew);
        if let Rhs::Packed(w) = b {
            // SAFETY: the packed weight holds all panels over all of k.
            unsafe { job.run(0..k, 0..panels(n), Panels::packed(&w.data, k), store) };
            return;
        }
        if let Rhs::Rows(data) = b
            && m <= UNPACKED_ROWS
            && n.is_multiple_of(NR)
        {
            let b = Panels::rows(data, n);
            // SAFETY: whole panels lie side by side in the rows of B.
            unsafe { job.run(0..k, 0..panels(n), b, store) };
            return;
        }
        let block = block_len(k);
        // Encoded weights [k, n] are expanded once, row block by row block; everything else is packed by groups of
        // panels.
        let (deep, wide) = match b {
            Rhs::Tiles(_) => ((PACK_BYTES / (4 * NR * panels(n))).max(1).next_multiple_of(block), panels(n)),
            _ => (k, (PACK_BYTES / (4 * NR * k)).max(1)),
        };
        for first_panel in (0..panels(n)).step_by(wide) {
            let group = first_panel..panels(n).min(first_panel + wide);
            for start in (0..k).step_by(deep) {
                let range = start..k.min(start + deep);
                scratch::with(group.len() * NR * range.len(), |packed| {
                    pack_panels(&b, n, k, range.clone(), group.clone(), crew, packed);
                    let store = if start == 0 { store } else { Store::Add };
                    // SAFETY: `packed` holds the panels `group` over `range`.
                    unsafe { job.run(range.clone(), group.clone(), Panels::packed(packed, range.len()), store) };
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
