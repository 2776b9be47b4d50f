//! Operands copied into the order in which the micro-kernels read them.
//!
//! The right operand becomes panels of [`NR`] columns: `panel[k][j]`, columns beyond the matrix being zero. A left
//! operand that is given transposed becomes tiles of [`MR`] rows: `tile[k][i]`.

use std::ops::Range;

use super::{
    super::{Crew, scratch},
    MR, NR, PARALLEL_FROM, Rhs,
};

/// Packs the panels `group` of `B [k, n]` over rows `range` into `out`.
pub(crate) fn pack_panels(
    b: &Rhs,
    n: usize,
    k: usize,
    range: Range<usize>,
    group: Range<usize>,
    crew: Crew,
    out: &mut [f32],
) {
    let size = range.len() * NR;
    let pack = |first: usize, count: usize, out: &mut [f32]| match b {
        Rhs::Rows(data) => {
            for (p, panel) in out.chunks_exact_mut(size).enumerate() {
                pack_rows(&data[range.start * n..range.end * n], n, (first + p) * NR, panel);
            }
        }
        Rhs::Transposed(data) => {
            for (p, panel) in out.chunks_exact_mut(size).enumerate() {
                pack_transposed(&data[(first + p) * NR * k..], k, range.clone(), panel);
            }
        }
        Rhs::TilesTransposed(w) => {
            for (p, panel) in out.chunks_exact_mut(size).enumerate() {
                if range == (0..k) && w.expand_panel(first + p, panel) {
                    continue;
                }
                let rows = (first + p) * NR..n.min((first + p + 1) * NR);
                scratch::with(rows.len() * k, |rows_f32| {
                    w.read_rows(rows.clone(), rows_f32);
                    pack_transposed(rows_f32, k, range.clone(), panel);
                });
            }
        }
        Rhs::PackedRows(w) => {
            for (p, panel) in out.chunks_exact_mut(size).enumerate() {
                pack_packed(&w.data, n, range.clone(), (first + p) * NR, panel);
            }
        }
        Rhs::Tiles(_) | Rhs::Packed(_) => debug_assert_eq!(count, 0, "packed elsewhere"),
    };
    if let Rhs::Tiles(w) = b {
        // One expansion of the rows serves all panels.
        scratch::with(range.len() * n, |rows| {
            crew.parts(rows, NR * n, |i, rows| {
                let start = range.start + i * NR;
                w.read_rows(start..start + rows.len() / n, rows);
            });
            let rows = &*rows;
            crew.parts(out, size, |p, panel| pack_rows(rows, n, (group.start + p) * NR, panel));
        });
    } else {
        let crew = if out.len() < PARALLEL_FROM / 16 { Crew::Alone } else { crew };
        let each = (1_usize << 14).div_ceil(size);
        crew.parts(out, size * each, |i, panels| pack(group.start + i * each, panels.len() / size, panels));
    }
}

/// Packs columns `[first, first + NR)` of `B = wᵀ` for rows `w [n, width]`, taking columns `k` of `w`.
/// `rows` holds `w`'s rows from `first` on, at most `NR` of which are used.
pub(crate) fn pack_transposed(rows: &[f32], width: usize, k: Range<usize>, panel: &mut [f32]) {
    let count = (rows.len() / width).min(NR);
    let depth = k.len();
    assert!(panel.len() == depth * NR && k.end <= width);
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if count == NR && crate::ops::math::has_avx2() {
        while done + 8 <= depth {
            for half in [0, 8] {
                // SAFETY: AVX2 was detected; 16 rows of `width` floats are in `rows`, of which columns up to `k.end`
                // are read, and `panel` holds `depth` rows of NR.
                unsafe {
                    let from = rows.as_ptr().add(half * width + k.start + done);
                    super::kernel_avx2::transpose8(from, width, panel.as_mut_ptr().add(done * NR + half), NR);
                }
            }
            done += 8;
        }
    }
    for (p, to) in panel.chunks_exact_mut(NR).enumerate().skip(done) {
        for (j, to) in to.iter_mut().enumerate() {
            *to = if j < count { rows[j * width + k.start + p] } else { 0.0 };
        }
    }
}

/// Packs columns `[first, first + NR)` of row-major `b [k, n]`, `rows` being the rows of `b` that are wanted.
pub(crate) fn pack_rows(rows: &[f32], n: usize, first: usize, panel: &mut [f32]) {
    let count = (n - first).min(NR);
    for (k, (from, to)) in rows.chunks_exact(n).zip(panel.chunks_exact_mut(NR)).enumerate() {
        prefetch_range(rows, (k + 16) * n + first, NR);
        if count == NR {
            to.copy_from_slice(&from[first..first + NR]);
        } else {
            to[..count].copy_from_slice(&from[first..]);
            to[count..].fill(0.0);
        }
    }
}

/// Packs columns `[first, first + NR)` of `b [k, n]`, of which `data` holds the panels of its transpose: squares of
/// [`NR`] by [`NR`] are turned.
pub(crate) fn pack_packed(data: &[f32], n: usize, k: Range<usize>, first: usize, panel: &mut [f32]) {
    let count = (n - first).min(NR);
    let mut row = k.start;
    while row < k.end {
        // Of the panel that holds rows `square..square + NR` of b, as columns.
        let square = row / NR * NR;
        let rows = row - square..(k.end - square).min(NR);
        let from = &data[square * n + first * NR..][..count * NR];
        let to = &mut panel[(row - k.start) * NR..][..rows.len() * NR];
        #[cfg(target_arch = "x86_64")]
        if count == NR && rows.len() == NR && crate::ops::math::has_avx2() {
            for (i, j) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
                // SAFETY: AVX2 was detected, and both sides are whole squares of NR by NR.
                unsafe {
                    let (from, to) = (from.as_ptr().add(i * NR + j), to.as_mut_ptr().add(j * NR + i));
                    super::kernel_avx2::transpose8(from, NR, to, NR);
                }
            }
            row += NR;
            continue;
        }
        for (to, k) in to.chunks_exact_mut(NR).zip(rows.clone()) {
            for (j, to) in to.iter_mut().enumerate() {
                *to = if j < count { from[j * NR + k] } else { 0.0 };
            }
        }
        row += rows.len();
    }
}

/// Reads rows back out of one panel over `width` columns: `rows` are counted within it.
pub(crate) fn unpack(panel: &[f32], width: usize, rows: Range<usize>, out: &mut [f32]) {
    assert!(panel.len() == NR * width && rows.end <= NR && out.len() == rows.len() * width);
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if rows.start.is_multiple_of(8) && rows.end.is_multiple_of(8) && crate::ops::math::has_avx2() {
        while done + 8 <= width {
            for first in rows.clone().step_by(8) {
                // SAFETY: AVX2 was detected; the panel holds `width` rows of NR, of which those from `done` on are
                // read, and `out` the wanted rows of `width`.
                unsafe {
                    let from = panel.as_ptr().add(done * NR + first);
                    let to = out.as_mut_ptr().add((first - rows.start) * width + done);
                    super::kernel_avx2::transpose8(from, NR, to, width);
                }
            }
            done += 8;
        }
    }
    for (row, out) in rows.zip(out.chunks_exact_mut(width)) {
        for (k, value) in out.iter_mut().enumerate().skip(done) {
            *value = panel[k * NR + row];
        }
    }
}

/// Packs rows `wanted` of `A = aᵀ` for row-major `a [k, m]`, `rows` being the rows of `a` that are wanted, into tiles
/// one after the other. Runs along the rows of `a`, whose stride may be a power of two, unkind to the cache.
pub(crate) fn pack_columns(rows: &[f32], m: usize, wanted: Range<usize>, tiles: &mut [f32]) {
    let depth = rows.len() / m;
    for (k, from) in rows.chunks_exact(m).enumerate() {
        // The next rows are too far away for the processor to foresee.
        prefetch_range(rows, (k + 8) * m + wanted.start, wanted.len());
        let (whole, rest) = from[wanted.clone()].as_chunks::<MR>();
        for (i, from) in whole.iter().enumerate() {
            tiles[(i * depth + k) * MR..][..MR].copy_from_slice(from);
        }
        if !rest.is_empty() {
            tiles[(whole.len() * depth + k) * MR..][..rest.len()].copy_from_slice(rest);
        }
    }
}

/// Asks for `len` floats from `at` on to be brought near, as far as there are so many.
#[inline(always)]
fn prefetch_range(data: &[f32], at: usize, len: usize) {
    for line in data.get(at..at + len).unwrap_or_default().chunks(16) {
        prefetch(line.as_ptr());
    }
}

/// Asks for the cache line at `at` to be brought near. Any address will do: nothing is read that a program could
/// notice.
#[inline(always)]
pub(crate) fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64, and a prefetch of any address is allowed.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
