//! Products and expansion out of a code, for each kind of CPU.

use std::ops::Range;

use super::{Code, NR, lanes::Lanes};
use crate::ops::{gemm::prefetch, math};

/// Rows of a panel between two requests for memory: what all codes have a whole number of in a step.
const GROUP: usize = 8;
/// Bytes from what is read to what is asked for: processors foresee what is next within a page alone.
const AHEAD: usize = 4096;

/// Some rows of x times some panels, `c (+)= x wᵀ`, over columns `k` of x.
pub(super) struct Tile {
    pub k: Range<usize>,
    /// `[rows, x_stride]`
    pub x: *const f32,
    pub x_stride: usize,
    /// Panels one after the other, `panel_bytes` each.
    pub panels: *const u8,
    pub panel_bytes: usize,
    pub c: *mut f32,
    pub c_stride: usize,
    pub add: bool,
}

/// A kernel for a [`Tile`] of its size.
type Kernel = unsafe fn(&Tile);

/// Most rows of x that kernels take: with more, a panel is better expanded once for all.
pub(super) const ROWS: usize = 4;

/// What a CPU has for a code.
pub(super) struct Kernels {
    /// Panels side by side, as many as fill the registers; and those for one.
    pub panels: usize,
    pub several: [Kernel; ROWS],
    pub one: [Kernel; ROWS],
    /// A panel of so many columns in f32.
    pub expand: unsafe fn(*const u8, &mut [f32]),
}

/// Those of this CPU.
pub(super) fn kernels<C: Code>() -> Kernels {
    #[cfg(target_arch = "x86_64")]
    if math::has_avx512() {
        return with_avx512::kernels::<C>();
    } else if math::has_avx2() {
        return with_avx2::kernels::<C>();
    }
    plain::kernels::<C>()
}

/// Those of all CPUs whose instructions this one has, the portable ones last.
#[cfg(test)]
pub(super) fn every<C: Code>() -> Vec<Kernels> {
    let mut every = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        every.extend(math::has_avx512().then(with_avx512::kernels::<C>));
        every.extend(math::has_avx2().then(with_avx2::kernels::<C>));
    }
    every.push(plain::kernels::<C>());
    every
}

/// Compiles kernels for a kind of CPU, with so many panels side by side.
macro_rules! compiled {
    ($name:ident, $lanes:ident, $panels:literal $(, $features:literal)?) => {
        mod $name {
            use super::{Code, Kernels, Tile};
            use crate::coded::lanes::$lanes;

            /// # Safety
            /// As [`super::multiply`]'s, on a CPU that has what it is compiled for.
            $(#[target_feature(enable = $features)])?
            unsafe fn multiply<C: Code, const ROWS: usize, const PANELS: usize>(t: &Tile) {
                // SAFETY: as this function's contract.
                unsafe { super::multiply::<C, $lanes, ROWS, PANELS>(t) }
            }

            /// # Safety
            /// As [`super::expand`]'s, on a CPU that has what it is compiled for.
            $(#[target_feature(enable = $features)])?
            unsafe fn expand<C: Code>(panel: *const u8, out: &mut [f32]) {
                // SAFETY: as this function's contract.
                unsafe { super::expand::<C, $lanes>(panel, out) }
            }

            pub(super) fn kernels<C: Code>() -> Kernels {
                Kernels {
                    panels: $panels,
                    several: [
                        multiply::<C, 1, $panels>,
                        multiply::<C, 2, $panels>,
                        multiply::<C, 3, $panels>,
                        multiply::<C, 4, $panels>,
                    ],
                    one: [multiply::<C, 1, 1>, multiply::<C, 2, 1>, multiply::<C, 3, 1>, multiply::<C, 4, 1>],
                    expand: expand::<C>,
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
compiled!(with_avx512, Avx512, 4, "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl");
#[cfg(target_arch = "x86_64")]
compiled!(with_avx2, Avx2, 2, "avx2,fma,f16c");
compiled!(plain, Portable, 2);

// Below, whatever uses lanes is a function that is always inlined: a closure would be compiled for no CPU in
// particular, and every instruction in it become a call.

/// Each element is one chain of multiply-adds over `k`, as those of [`crate::ops::gemm`]: the same bits.
///
/// # Safety
/// `t` must point to a whole tile of that size, and the CPU must have what `L` needs.
#[inline(always)]
unsafe fn multiply<C: Code, L: Lanes, const ROWS: usize, const PANELS: usize>(t: &Tile) {
    // SAFETY: the caller vouches for the extents behind the pointers of `t`; every access below stays within them.
    unsafe {
        let mut acc = [[L::zero(); PANELS]; ROWS];
        let mut shared = [C::shared::<L>(t.panels, t.k.start); PANELS];
        let mut k = t.k.start;
        while k < t.k.end {
            if k == t.k.start || k.is_multiple_of(C::STEP) {
                for (p, shared) in shared.iter_mut().enumerate() {
                    *shared = C::shared(t.panels.add(p * t.panel_bytes), k);
                }
            }
            for p in 0..PANELS {
                bring_near::<C>(t.panels.wrapping_add(p * t.panel_bytes), k);
            }
            if t.k.end - k >= GROUP {
                for h in 0..GROUP {
                    add_column::<C, L, ROWS, PANELS>(t, k, h, &shared, &mut acc);
                }
            } else {
                for h in 0..t.k.end - k {
                    add_column::<C, L, ROWS, PANELS>(t, k, h, &shared, &mut acc);
                }
            }
            k += GROUP;
        }
        for (i, acc) in acc.into_iter().enumerate() {
            for (p, acc) in acc.into_iter().enumerate() {
                let c = t.c.add(i * t.c_stride + p * NR);
                let sum = if t.add { L::load(c).add(acc) } else { acc };
                sum.store(c);
            }
        }
    }
}

/// Adds the products with column `k + h`.
#[inline(always)]
unsafe fn add_column<C: Code, L: Lanes, const ROWS: usize, const PANELS: usize>(
    t: &Tile,
    k: usize,
    h: usize,
    shared: &[C::Shared<L>; PANELS],
    acc: &mut [[L; PANELS]; ROWS],
) {
    // SAFETY: as that of `multiply`, of which this is a part.
    unsafe {
        for p in 0..PANELS {
            let b = C::row::<L>(t.panels.add(p * t.panel_bytes), k, h, &shared[p]);
            for (i, acc) in acc.iter_mut().enumerate() {
                acc[p] = acc[p].add_product(*t.x.add(i * t.x_stride + k + h), b);
            }
        }
    }
}

/// Writes a panel out, column by column.
///
/// # Safety
/// `panel` must hold as many columns as `out`, and the CPU must have what `L` needs.
#[inline(always)]
unsafe fn expand<C: Code, L: Lanes>(panel: *const u8, out: &mut [f32]) {
    let columns = out.len() / NR;
    // SAFETY: as this function's contract; `out` holds `columns` rows of NR.
    unsafe {
        let to = out.as_mut_ptr();
        let mut shared = C::shared::<L>(panel, 0);
        for k in (0..columns).step_by(GROUP) {
            if k.is_multiple_of(C::STEP) {
                shared = C::shared::<L>(panel, k);
            }
            bring_near::<C>(panel, k);
            if columns - k >= GROUP {
                for h in 0..GROUP {
                    C::row(panel, k, h, &shared).store(to.add((k + h) * NR));
                }
            } else {
                for h in 0..columns - k {
                    C::row(panel, k, h, &shared).store(to.add((k + h) * NR));
                }
            }
        }
    }
}

/// Asks for what lies ahead of a group's bytes.
#[inline(always)]
fn bring_near<C: Code>(panel: *const u8, k: usize) {
    let bytes = C::BYTES * GROUP / C::COLUMNS;
    let at = panel.wrapping_add(k / GROUP * bytes + AHEAD);
    for line in (0..bytes).step_by(64) {
        prefetch(at.wrapping_add(line).cast());
    }
}
