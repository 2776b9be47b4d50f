//! Single-precision matrix products whose bits depend on the operands alone.
//!
//! `C = A B` is cut into tiles of at most [`MR`] x [`NR`] elements. Every element is accumulated over `k` in one order,
//! fixed by `k` alone: chains of fused multiply-adds over blocks of at most [`KC`], the blocks added one after the other.
//! So a row's bits change neither with the number of rows beside it nor with the number of threads, which general
//! libraries do not promise (they choose blocking and special cases by shape). The blocking follows Goto and van de Geijn
//! 2008, "Anatomy of high-performance matrix multiplication": a panel of B in L1, a block of A in L2.

#[cfg(target_arch = "x86_64")]
mod kernel_avx2;
mod kernel_portable;
mod pack;
mod packed;

use std::ops::Range;

use rayon::prelude::*;

pub use packed::PackedWeight;

use super::{WeightTile, math, scratch};

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
/// Products below this number of multiply-adds are not worth waking another thread.
const PARALLEL_FROM: usize = 1 << 18;

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
}

/// What happens to the elements of C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// They are replaced (and may be uninitialised).
    Overwrite,
    /// They are added to.
    Add,
}

/// Operands of one call of a micro-kernel: `k` steps over rows of A at `a_row_stride` and panels of B at `panel_stride`
/// (whose rows are `b_k_stride` apart), into rows of C at `c_stride`.
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
}

type Kernel = unsafe fn(&Tile);

/// Kernels for 1 to 6 rows, over as many panels as fill the accumulators.
struct Kernels {
    /// One panel, for 1 to [`MR`] rows.
    narrow: [Kernel; MR],
    /// [`WIDE`] panels, for 1 to 3 rows: a single panel's two chains would wait for each other.
    wide: [Kernel; 3],
}

/// Panels of the wide kernels of 1, 2 and 3 rows.
const WIDE: [usize; 3] = [4, 2, 2];

static PORTABLE: Kernels = {
    use kernel_portable::kernel;
    Kernels {
        narrow: [kernel::<1, 1>, kernel::<2, 1>, kernel::<3, 1>, kernel::<4, 1>, kernel::<5, 1>, kernel::<6, 1>],
        wide: [kernel::<1, 4>, kernel::<2, 2>, kernel::<3, 2>],
    }
};

#[cfg(target_arch = "x86_64")]
static AVX2: Kernels = {
    use kernel_avx2::kernel;
    Kernels {
        narrow: [kernel::<1, 1>, kernel::<2, 1>, kernel::<3, 1>, kernel::<4, 1>, kernel::<5, 1>, kernel::<6, 1>],
        wide: [kernel::<1, 4>, kernel::<2, 2>, kernel::<3, 2>],
    }
};

fn kernels() -> &'static Kernels {
    #[cfg(target_arch = "x86_64")]
    if math::has_avx2() {
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

/// `C = A B` or `C += A B` for `C [m, n]`, row-major.
///
/// # Panics
/// If an operand's length does not fit its shape.
pub fn gemm(m: usize, n: usize, k: usize, a: Lhs, b: &Rhs, store: Store, c: &mut [f32]) {
    assert_eq!(c.len(), m * n, "C must hold m * n elements");
    // SAFETY: `c` holds m * n initialised elements.
    unsafe { gemm_into(m, n, k, a, b, store, c.as_mut_ptr()) }
}

/// [`gemm`] on the calling thread alone, for callers that are tasks themselves. The same bits.
pub fn gemm_serial(m: usize, n: usize, k: usize, a: Lhs, b: &Rhs, store: Store, c: &mut [f32]) {
    assert_eq!(c.len(), m * n, "C must hold m * n elements");
    // SAFETY: `c` holds m * n initialised elements.
    unsafe { product(m, n, k, a, b, store, c.as_mut_ptr(), true) }
}

/// [`gemm`] into memory that need not be initialised where the product overwrites it.
///
/// # Safety
/// `c` must be valid for writes of `m * n` elements, and for reads of them with [`Store::Add`].
pub unsafe fn gemm_into(m: usize, n: usize, k: usize, a: Lhs, b: &Rhs, store: Store, c: *mut f32) {
    // SAFETY: the same contract.
    unsafe { product(m, n, k, a, b, store, c, false) }
}

#[expect(clippy::too_many_arguments, reason = "the BLAS signature, behind three narrower ones")]
unsafe fn product(m: usize, n: usize, k: usize, a: Lhs, b: &Rhs, store: Store, c: *mut f32, serial: bool) {
    let (Lhs::Rows(data) | Lhs::Transposed(data)) = a;
    assert_eq!(data.len(), m * k, "A must hold m * k elements");
    match b {
        Rhs::Rows(data) | Rhs::Transposed(data) => assert_eq!(data.len(), k * n, "B must hold k * n elements"),
        Rhs::Tiles(w) => assert_eq!((w.out_features(), w.in_features()), (k, n), "B must be k by n"),
        Rhs::TilesTransposed(w) => assert_eq!((w.in_features(), w.out_features()), (k, n), "B must be k by n"),
        Rhs::Packed(w) => assert_eq!((w.in_features(), w.out_features()), (k, n), "B must be k by n"),
    }
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        if store == Store::Overwrite {
            // SAFETY: the caller vouches for m * n writable elements.
            unsafe { c.write_bytes(0, m * n) };
        }
        return;
    }
    let job = Job { m, n, k, a, c: SharedMut(c), serial };
    if let Rhs::Packed(w) = b {
        // SAFETY: the packed weight holds all panels over all of k; C is the caller's.
        unsafe { job.run(0..k, 0..panels(n), Panels::packed(&w.data, k), store) };
        return;
    }
    if let Rhs::Rows(data) = b
        && m <= UNPACKED_ROWS
        && n.is_multiple_of(NR)
    {
        let b = Panels { at: data.as_ptr(), k_stride: n, panel_stride: NR };
        // SAFETY: whole panels lie side by side in the rows of B; C is the caller's.
        unsafe { job.run(0..k, 0..panels(n), b, store) };
        return;
    }
    let block = block_len(k);
    // Encoded weights [k, n] are expanded once, row block by row block; everything else is packed by groups of panels.
    let (deep, wide) = match b {
        Rhs::Tiles(_) => ((PACK_BYTES / (4 * NR * panels(n))).max(1).next_multiple_of(block), panels(n)),
        _ => (k, (PACK_BYTES / (4 * NR * k)).max(1)),
    };
    for first_panel in (0..panels(n)).step_by(wide) {
        let group = first_panel..panels(n).min(first_panel + wide);
        for start in (0..k).step_by(deep) {
            let range = start..k.min(start + deep);
            scratch::with(group.len() * NR * range.len(), |packed| {
                pack_panels(b, n, k, range.clone(), group.clone(), serial, packed);
                let store = if start == 0 { store } else { Store::Add };
                // SAFETY: `packed` holds the panels `group` over `range`; C is the caller's.
                unsafe { job.run(range.clone(), group.clone(), Panels::packed(packed, range.len()), store) };
            });
        }
    }
}

/// Packs the panels `group` of B over rows `range` into `out`, in parallel over panels unless `serial`.
fn pack_panels(b: &Rhs, n: usize, k: usize, range: Range<usize>, group: Range<usize>, serial: bool, out: &mut [f32]) {
    let size = range.len() * NR;
    let pack = |first: usize, count: usize, out: &mut [f32]| match b {
        Rhs::Rows(data) => {
            for (p, panel) in out.chunks_exact_mut(size).enumerate() {
                pack::pack_rows(&data[range.start * n..range.end * n], n, (first + p) * NR, panel);
            }
        }
        Rhs::Transposed(data) => {
            for (p, panel) in out.chunks_exact_mut(size).enumerate() {
                pack::pack_transposed(&data[(first + p) * NR * k..], k, range.clone(), panel);
            }
        }
        Rhs::TilesTransposed(w) => {
            for (p, panel) in out.chunks_exact_mut(size).enumerate() {
                let rows = (first + p) * NR..n.min((first + p + 1) * NR);
                scratch::with(rows.len() * k, |rows_f32| {
                    w.read_rows(rows.clone(), rows_f32);
                    pack::pack_transposed(rows_f32, k, range.clone(), panel);
                });
            }
        }
        Rhs::Tiles(_) | Rhs::Packed(_) => debug_assert_eq!(count, 0, "packed elsewhere"),
    };
    if let Rhs::Tiles(w) = b {
        // One expansion of the rows serves all panels.
        scratch::with(range.len() * n, |rows| {
            rows.par_chunks_mut(8 * n).enumerate().for_each(|(i, rows)| {
                let start = range.start + i * 8;
                w.read_rows(start..start + rows.len() / n, rows);
            });
            let rows = &*rows;
            out.par_chunks_mut(size).enumerate().for_each(|(p, panel)| {
                pack::pack_rows(rows, n, (group.start + p) * NR, panel);
            });
        });
    } else if serial || out.len() < PARALLEL_FROM / 16 {
        pack(group.start, group.len(), out);
    } else {
        let each = (1_usize << 14).div_ceil(size);
        out.par_chunks_mut(size * each)
            .enumerate()
            .for_each(|(i, chunk)| pack(group.start + i * each, chunk.len() / size, chunk));
    }
}

/// A pointer that tasks share, each writing its own part.
#[derive(Clone, Copy)]
struct SharedMut(*mut f32);
// SAFETY: tasks write disjoint tiles behind the pointer (see `Job::run`).
unsafe impl Send for SharedMut {}
// SAFETY: as above.
unsafe impl Sync for SharedMut {}

/// Panels of B that tasks read: the first one's start, and the distances of its rows and of the panels.
#[derive(Clone, Copy)]
struct Panels {
    at: *const f32,
    k_stride: usize,
    panel_stride: usize,
}
// SAFETY: nobody writes behind the pointer while tasks read it.
unsafe impl Send for Panels {}
// SAFETY: as above.
unsafe impl Sync for Panels {}

impl Panels {
    /// Packed panels of `depth` rows each.
    fn packed(data: &[f32], depth: usize) -> Self {
        Self { at: data.as_ptr(), k_stride: NR, panel_stride: depth * NR }
    }
}

/// A product whose B is packed by parts.
struct Job<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: Lhs<'a>,
    c: SharedMut,
    serial: bool,
}

impl Job<'_> {
    /// Multiplies columns `range` of A with the panels `group`, which start at `b`.
    ///
    /// # Safety
    /// `b` must hold `group.len()` panels of `range.len()` rows, and C must be writable (readable with [`Store::Add`]).
    unsafe fn run(&self, range: Range<usize>, group: Range<usize>, b: Panels, store: Store) {
        let work = self.m * range.len() * group.len() * NR;
        let threads = if self.serial || work < PARALLEL_FROM { 1 } else { rayon::current_num_threads() };
        // As many blocks of rows for every thread, of nearly equal height: a last block shorter than the others, or one
        // thread with a block more, is time in which the other threads wait. What fits in one block stays in one, and is
        // cut by columns alone: B, perhaps a large weight, is then read once.
        let blocks = self.m.div_ceil(MC);
        let blocks = if blocks > 1 { blocks.next_multiple_of(threads) } else { 1 };
        let whole = self.m.div_ceil(blocks).next_multiple_of(MR);
        // Lower where a narrow C would otherwise leave threads idle.
        let height = if threads > 1 && group.len() < 8 {
            whole.min(self.m.div_ceil(4 * threads).next_multiple_of(MR).max(4 * MR))
        } else {
            whole
        };
        let blocks = self.m.div_ceil(height);
        // Few blocks: cut the columns as well, so that threads which started late still share the end. Every cut copies
        // a transposed A once more.
        let tasks = if matches!(self.a, Lhs::Rows(_)) { 16 } else { 2 } * threads;
        let cuts = if threads == 1 { 1 } else { tasks.div_ceil(blocks).min(group.len().div_ceil(4)) };
        let each = group.len().div_ceil(cuts);
        let task = |index: usize| {
            let (block, cut) = (index / cuts, index % cuts);
            let rows = block * height..self.m.min((block + 1) * height);
            let panels = cut * each..group.len().min((cut + 1) * each);
            // SAFETY: as this function's contract; tasks differ in rows or panels, so their tiles of C are disjoint.
            unsafe { self.task(rows, range.clone(), panels, group.start, b, store) }
        };
        if threads == 1 {
            (0..blocks * cuts).for_each(task);
        } else {
            (0..blocks * cuts).into_par_iter().with_max_len(1).for_each(task);
        }
    }

    /// One task of [`Job::run`]: all tiles of `rows` and `panels` (counted from `first_panel`), block of k by block.
    unsafe fn task(
        &self,
        rows: Range<usize>,
        range: Range<usize>,
        panels: Range<usize>,
        first_panel: usize,
        b: Panels,
        store: Store,
    ) {
        let kernels = kernels();
        let block = block_len(self.k);
        for start in range.clone().step_by(block) {
            let len = block.min(range.end - start);
            let add = store == Store::Add || start != range.start;
            // SAFETY: the row lies within the panels, whose rows are counted from `range.start`.
            let b = Panels { at: unsafe { b.at.add((start - range.start) * b.k_stride) }, ..b };
            let multiply = |a: *const f32, tile_stride: usize, row_stride: usize, k_stride: usize| {
                let mut panel = panels.clone();
                let few = rows.len() <= WIDE.len();
                while !panel.is_empty() {
                    let columns = (self.n - (first_panel + panel.start) * NR).min(NR);
                    let wide = if few { WIDE[rows.len() - 1] } else { 1 };
                    let whole = panel.start + wide <= panel.end && (first_panel + panel.start + wide) * NR <= self.n;
                    let (count, kernel_of) =
                        if few && whole { (wide, &kernels.wide[..]) } else { (1, &kernels.narrow[..]) };
                    // While the kernels work on this panel, the next one is brought near, a part with every tile.
                    let next = panel.start + count;
                    let ahead = if next < panel.end && b.k_stride == NR { len * NR } else { 0 };
                    let part = ahead.div_ceil(rows.len().div_ceil(MR)).next_multiple_of(16);
                    for (tile, row) in rows.clone().step_by(MR).enumerate() {
                        for line in (tile * part..ahead.min((tile + 1) * part)).step_by(16) {
                            // SAFETY: the line lies within the next panel.
                            pack::prefetch(unsafe { b.at.add(next * b.panel_stride + line) });
                        }
                        let height = MR.min(rows.end - row);
                        // SAFETY: `row` and `panel.start` lie within A, B and C; edges go through a local tile.
                        unsafe {
                            let mut tile = Tile {
                                k: len,
                                a: a.add((row - rows.start) / MR * tile_stride),
                                a_row_stride: row_stride,
                                a_k_stride: k_stride,
                                b: b.at.add(panel.start * b.panel_stride),
                                b_k_stride: b.k_stride,
                                panel_stride: b.panel_stride,
                                c: { self.c }.0.add(row * self.n + (first_panel + panel.start) * NR),
                                c_stride: self.n,
                                add,
                            };
                            let kernel = kernel_of[height - 1];
                            if columns == NR {
                                kernel(&tile);
                            } else {
                                let mut local = [0.0; MR * NR];
                                let c = tile.c;
                                (tile.c, tile.c_stride, tile.add) = (local.as_mut_ptr(), NR, false);
                                kernel(&tile);
                                for i in 0..height {
                                    for j in 0..columns {
                                        let (c, value) = (c.add(i * self.n + j), local[i * NR + j]);
                                        *c = if add { *c + value } else { value };
                                    }
                                }
                            }
                        }
                    }
                    panel.start += count;
                }
            };
            match self.a {
                Lhs::Rows(a) => multiply(a[rows.start * self.k + start..].as_ptr(), MR * self.k, self.k, 1),
                // Copying A into order pays only where several panels use the copy.
                Lhs::Transposed(a) if panels.len() <= 2 => {
                    multiply(a[start * self.m + rows.start..].as_ptr(), MR, 1, self.m);
                }
                Lhs::Transposed(a) => scratch::with(rows.len().div_ceil(MR) * MR * len, |packed| {
                    pack::pack_columns(&a[start * self.m..(start + len) * self.m], self.m, rows.clone(), packed);
                    multiply(packed.as_ptr(), MR * len, 1, MR);
                }),
            }
        }
    }
}

#[cfg(test)]
mod tests;
