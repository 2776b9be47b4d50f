//! Products in integers: weights in 8 bits times activations that are rounded to 8 bits.
//!
//! Sums within a block of 32 columns are exact; the blocks' are scaled and added up in f32, in the order of columns. So
//! the bits of a row of the result depend on its row of activations alone.

use std::ops::Range;

use super::{
    Code, CodedWeight, NR,
    dots::{self, Dots, QUAD, QUAD_BYTES},
    lanes::Lanes,
    quads::{BLOCKS, Quads, SCALES, STEP},
};
use crate::ops::{
    Crew,
    gemm::{PARALLEL_FROM, Store, parts_of, prefetch, put_edge},
    math,
    rounded::{Block, RoundedRows},
};

/// Most rows of a tile.
const MR: usize = 6;
/// With no more rows than this, what takes time is reading the weight: panel by panel, from one end to the other.
const FEW: usize = 8;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Some rows of blocks times some panels, `c (+)= x wᵀ`.
struct Tile {
    /// `[rows, blocks]`
    x: *const Block,
    blocks: usize,
    /// Panels one after the other, `panel_bytes` each.
    panels: *const u8,
    panel_bytes: usize,
    c: *mut f32,
    c_stride: usize,
    add: bool,
    /// What is asked for meanwhile, so many bytes with each block of columns.
    ahead: *const u8,
    ahead_step: usize,
}

/// A kernel for a [`Tile`] of its size.
type Kernel = unsafe fn(&Tile);

/// Kernels for 1 to [`MR`] rows, over some panels side by side.
pub(super) struct Kernels {
    panels: usize,
    by_rows: [Kernel; MR],
}

/// What a CPU has, the widest first; over one panel at last.
pub(super) type Family = &'static [Kernels];

/// Compiles kernels for a kind of CPU.
macro_rules! family {
    ($name:ident, $dots:ident, [$($panels:literal),*] $(, $features:literal)?) => {
        mod $name {
            use super::{Family, Kernels, Tile, dots};

            /// # Safety
            /// As [`super::multiply`]'s, on a CPU that has what it is compiled for.
            $(#[target_feature(enable = $features)])?
            unsafe fn multiply<const ROWS: usize, const PANELS: usize>(t: &Tile) {
                // SAFETY: as this function's contract.
                unsafe { super::multiply::<dots::$dots, ROWS, PANELS>(t) }
            }

            pub(super) static FAMILY: Family = &[$(Kernels {
                panels: $panels,
                by_rows: [
                    multiply::<1, $panels>,
                    multiply::<2, $panels>,
                    multiply::<3, $panels>,
                    multiply::<4, $panels>,
                    multiply::<5, $panels>,
                    multiply::<6, $panels>,
                ],
            }),*];
        }
    };
}

#[cfg(target_arch = "x86_64")]
family!(vnni512, Vnni512, [4, 1], "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
#[cfg(target_arch = "x86_64")]
family!(vnni256, Vnni256, [1], "avx2,fma,f16c,avxvnni");
#[cfg(target_arch = "x86_64")]
family!(pairs, Pairs, [1], "avx2,fma,f16c");
family!(plain, Plain, [1]);

/// Those of all CPUs whose instructions this one has, the quickest first.
pub(super) fn families() -> impl Iterator<Item = Family> {
    #[cfg(target_arch = "x86_64")]
    let special = [
        (math::has_avx512() && is_x86_feature_detected!("avx512vnni")).then_some(vnni512::FAMILY),
        (math::has_avx2() && is_x86_feature_detected!("avxvnni")).then_some(vnni256::FAMILY),
        math::has_avx2().then_some(pairs::FAMILY),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let special = [None];
    special.into_iter().flatten().chain([plain::FAMILY])
}

/// Each element is one chain of multiply-adds over blocks of columns.
///
/// # Safety
/// `t` must point to a whole tile of that size, and the CPU must have what `D` needs.
#[inline(always)]
unsafe fn multiply<D: Dots, const ROWS: usize, const PANELS: usize>(t: &Tile) {
    // SAFETY: the caller vouches for the extents behind the pointers of `t`; every access below stays within them.
    unsafe {
        let mut acc = [[D::L::zero(); PANELS]; ROWS];
        let mut ahead = t.ahead;
        for block in 0..t.blocks {
            for line in (0..t.ahead_step).step_by(LINE) {
                prefetch(ahead.wrapping_add(line).cast());
            }
            ahead = ahead.wrapping_add(t.ahead_step);
            let x: [&Block; ROWS] = rows_of(t, block);
            let square = t.panels.add(block / BLOCKS * Quads::BYTES);
            let quads = square.add(BLOCKS * SCALES + block % BLOCKS * STEP * NR);
            let mut sums = [[D::L::splat(0); PANELS]; ROWS];
            for (sums, x) in sums.iter_mut().zip(x) {
                *sums = [D::L::splat(x.base); PANELS];
            }
            for quad in 0..STEP / QUAD {
                for p in 0..PANELS {
                    let from = quads.add(p * t.panel_bytes + quad * QUAD_BYTES);
                    for (sums, x) in sums.iter_mut().zip(x) {
                        let four = x.values.as_ptr().add(quad * QUAD).cast::<i32>().read_unaligned();
                        sums[p] = D::add(sums[p], from, four);
                    }
                }
            }
            for p in 0..PANELS {
                let scale = D::L::f16(square.add(block % BLOCKS * SCALES + p * t.panel_bytes));
                for ((acc, sums), x) in acc.iter_mut().zip(&sums).zip(x) {
                    acc[p] = acc[p].add_product(x.scale, D::L::float(sums[p], 0).mul(scale));
                }
            }
        }
        for (i, acc) in acc.into_iter().enumerate() {
            for (p, acc) in acc.into_iter().enumerate() {
                let c = t.c.add(i * t.c_stride + p * NR);
                let sum = if t.add { D::L::load(c).add(acc) } else { acc };
                sum.store(c);
            }
        }
    }
}

/// The block of each row.
#[inline(always)]
unsafe fn rows_of<'a, const ROWS: usize>(t: &Tile, block: usize) -> [&'a Block; ROWS] {
    // SAFETY: as that of `multiply`, of which this is a part.
    unsafe {
        let mut rows = [&*t.x; ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = &*t.x.add(i * t.blocks + block);
        }
        rows
    }
}

/// `c (+)= x wᵀ` for `c [rows, out]`, by whoever; who does it changes no bit.
///
/// # Panics
/// If c or x has another shape.
pub(super) fn product(w: &CodedWeight<Quads>, x: &RoundedRows, crew: Crew, store: Store, c: &mut [f32]) {
    let family = families().next().expect("plain kernels are those of every CPU");
    product_by(family, w, x, crew, store, c);
}

pub(super) fn product_by(
    family: Family,
    w: &CodedWeight<Quads>,
    x: &RoundedRows,
    crew: Crew,
    store: Store,
    c: &mut [f32],
) {
    let (n, k) = w.shape;
    let (rows, blocks) = (x.rows(), k / STEP);
    assert!(x.blocks().len() == rows * blocks && c.len() == rows * n, "x is [rows, k], c [rows, n]");
    if rows == 0 {
        return;
    }
    let work = Work {
        family,
        rows,
        blocks,
        n,
        x: x.blocks().as_ptr(),
        panels: w.bytes().as_ptr(),
        panel_bytes: CodedWeight::<Quads>::panel_bytes(k),
        c: c.as_mut_ptr(),
        add: store == Store::Add,
    };
    let crew = if rows * n * k < PARALLEL_FROM { Crew::Alone } else { crew };
    let unit = family[0].panels;
    let panels = n.div_ceil(NR);
    let begins = parts_of(panels.div_ceil(unit), crew, rows * n * k);
    crew.each(begins.len() - 1, |part| {
        let of = |part: usize| (begins[part] * unit).min(panels);
        // SAFETY: the extents were checked, and parts are different panels.
        unsafe { work.columns(of(part)..of(part + 1)) };
    });
}

struct Work {
    family: Family,
    rows: usize,
    blocks: usize,
    n: usize,
    x: *const Block,
    panels: *const u8,
    panel_bytes: usize,
    c: *mut f32,
    add: bool,
}
// SAFETY: nobody writes x and the weight meanwhile, and threads write different columns of c.
unsafe impl Sync for Work {}

impl Work {
    /// Computes the columns of some panels.
    ///
    /// # Safety
    /// All pointers are good for the extents, and nobody else has these columns of c.
    unsafe fn columns(&self, panels: Range<usize>) {
        let tiles = self.rows.div_ceil(MR);
        let mut panel = panels.start;
        while panel < panels.end {
            let column = panel * NR;
            // A panel that is cut by the edge goes through a tile of its own.
            let whole = (panels.end - panel).min((self.n - column) / NR);
            let most = if self.rows <= FEW { 1 } else { whole.max(1) };
            let kernels = self.family.iter().find(|kernels| kernels.panels <= most).expect("those of one panel");
            // Panels lie one after the other: every tile asks for its share of those that come next.
            let next = self.panels.wrapping_add((panel + kernels.panels) * self.panel_bytes);
            let share = (kernels.panels * self.panel_bytes).div_ceil(tiles * self.blocks).next_multiple_of(LINE);
            for (tile, row) in (0..self.rows).step_by(MR).enumerate() {
                let height = MR.min(self.rows - row);
                // SAFETY: `row` and `panel` lie within x, the weight and c; edges go through a local tile.
                unsafe {
                    let mut tile = Tile {
                        x: self.x.add(row * self.blocks),
                        blocks: self.blocks,
                        panels: self.panels.add(panel * self.panel_bytes),
                        panel_bytes: self.panel_bytes,
                        c: self.c.add(row * self.n + column),
                        c_stride: self.n,
                        add: self.add,
                        ahead: next.wrapping_add(tile * self.blocks * share),
                        ahead_step: share,
                    };
                    let kernel = kernels.by_rows[height - 1];
                    if whole > 0 {
                        kernel(&tile);
                        continue;
                    }
                    let mut edge = [0.0; MR * NR];
                    let c = tile.c;
                    (tile.c, tile.c_stride, tile.add) = (edge.as_mut_ptr(), NR, false);
                    kernel(&tile);
                    put_edge(&edge[..height * NR], self.n - column, c, self.n, self.add);
                }
            }
            panel += kernels.panels;
        }
    }
}
