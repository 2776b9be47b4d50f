//! The division of a product into tasks, and of a task into tiles.

use std::{marker::PhantomData, ops::Range};

use super::{
    super::{Crew, scratch},
    AHEAD_EVERY, Lhs, MC, MR, NR, PARALLEL_FROM, Skip, Store, Tile, block_len, family, pack,
};

/// Multiply-adds of a team's smallest parts.
const SMALLEST_PART: usize = 1 << 17;

/// Puts the first `columns` of rows of [`NR`] in their places in C, which the edge of C leaves of a tile.
///
/// # Safety
/// `c` must be good for as many rows, `c_stride` apart, and nobody else has these columns.
pub(crate) unsafe fn put_edge(tile: &[f32], columns: usize, c: *mut f32, c_stride: usize, add: bool) {
    for (i, row) in tile.chunks_exact(NR).enumerate() {
        for (j, value) in row[..columns].iter().enumerate() {
            // SAFETY: as this function's contract.
            unsafe {
                let c = c.add(i * c_stride + j);
                *c = if add { *c + value } else { *value };
            }
        }
    }
}

/// Where parts of `units`, `most` at most, begin for whoever does them, and where the last one ends.
fn cut(units: usize, most: usize, crew: Crew) -> Vec<usize> {
    let most = most.min(units);
    match crew {
        Crew::Team(_) => shrinking(units, crew.threads(), units.div_ceil(most)),
        _ => (0..=most).map(|cut| cut * units / most).collect(),
    }
}

/// The same, of a piece of work of so many multiply-adds.
pub(crate) fn parts_of(units: usize, crew: Crew, work: usize) -> Vec<usize> {
    let threads = crew.threads();
    let most = match crew {
        _ if threads == 1 => 1,
        Crew::Team(_) => (64 * threads).min(work / SMALLEST_PART + 1),
        _ => 16 * threads,
    };
    cut(units, most, crew)
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
pub(super) struct Panels {
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
    pub(crate) fn packed(data: &[f32], depth: usize) -> Self {
        Self { at: data.as_ptr(), k_stride: NR, panel_stride: depth * NR }
    }

    /// The columns of row-major `data [k, n]`, read where they are.
    pub(crate) fn rows(data: &[f32], n: usize) -> Self {
        Self { at: data.as_ptr(), k_stride: n, panel_stride: NR }
    }
}

/// Where parts of `units` begin, and where the last one ends. Two thirds of what is left go to the threads in equal
/// parts, again and again, down to parts of `least` (as Hummel et al. 1992, "Factoring"): a large part is read from one
/// end to the other, and whoever is late or slow leaves small ones to the others.
fn shrinking(units: usize, threads: usize, least: usize) -> Vec<usize> {
    let mut begins = vec![0];
    let mut begin = 0;
    while begin < units {
        let part = ((units - begin) * 2 / (3 * threads)).max(least);
        for _ in 0..threads {
            begin = units.min(begin + part);
            if begins.last() != Some(&begin) {
                begins.push(begin);
            }
        }
    }
    begins
}

/// A product whose B is packed by parts.
pub(super) struct Job<'a> {
    m: usize,
    n: usize,
    k: usize,
    a: Lhs<'a>,
    c: SharedMut,
    skip: Skip,
    crew: Crew<'a>,
    /// C is borrowed for as long as this lives.
    borrowed: PhantomData<&'a mut [f32]>,
}

/// A part of a product: what one thread computes in one go.
struct Task {
    rows: Range<usize>,
    /// Counted from `first_panel`.
    panels: Range<usize>,
    first_panel: usize,
    /// The panel after these, counted likewise, that the same thread is likely to need.
    then: usize,
}

impl<'a> Job<'a> {
    pub(crate) fn new(
        (m, n, k): (usize, usize, usize),
        a: Lhs<'a>,
        c: &'a mut [f32],
        skip: Skip,
        crew: Crew<'a>,
    ) -> Self {
        Self { m, n, k, a, c: SharedMut(c.as_mut_ptr()), skip, crew, borrowed: PhantomData }
    }

    /// The columns of A that matter to the tile of `rows` whose columns begin at `column`; `None` if the tile does not.
    fn terms(&self, rows: &Range<usize>, column: usize) -> Option<Range<usize>> {
        match (self.skip, self.a) {
            (Skip::Result { shift }, _) if column >= rows.end + shift => None,
            (Skip::Left { shift }, Lhs::Rows(_)) => Some(0..self.k.min(rows.end + shift)),
            (Skip::Left { shift }, Lhs::Transposed(_)) => Some(rows.start.saturating_sub(shift)..self.k),
            _ => Some(0..self.k),
        }
    }

    /// Multiplies columns `range` of A with the panels `group`, which start at `b`.
    ///
    /// # Safety
    /// `b` must hold `group.len()` panels of `range.len()` rows.
    pub(crate) unsafe fn run(&self, range: Range<usize>, group: Range<usize>, b: Panels, store: Store) {
        let work = self.m * range.len() * group.len() * NR;
        let crew = if work < PARALLEL_FROM { Crew::Alone } else { self.crew };
        let threads = crew.threads();
        // As many blocks of rows for every thread, of nearly equal height: a last block shorter than the others, or one
        // thread with a block more, is time in which the other threads wait. What fits in one block stays in one, and
        // is cut by columns alone: B, perhaps a large weight, is then read once.
        let blocks = self.m.div_ceil(MC);
        let blocks = if blocks > 1 { blocks.next_multiple_of(threads) } else { 1 };
        let whole = self.m.div_ceil(blocks).next_multiple_of(MR);
        // Lower where a narrow C would otherwise leave threads idle; less so where A lies transposed, whose rows are
        // then read in pieces as long as a block is high.
        let height = if threads > 1 && group.len() < 8 {
            let (parts, least) = if let Lhs::Transposed(_) = self.a { (2, 8 * MR) } else { (4, 4 * MR) };
            whole.min(self.m.div_ceil(parts * threads).next_multiple_of(MR).max(least))
        } else {
            whole
        };
        let blocks = self.m.div_ceil(height);
        // Few blocks: cut the columns as well, so that threads which started late still share the end. Every cut copies
        // a transposed A once more. A team takes a part in passing, hence down to the least that kernels are quick at:
        // the smaller the last parts, the shorter the wait for them.
        let unit = family().unit(height.min(self.m));
        let units = group.len().div_ceil(unit);
        let most = match (self.a, crew) {
            _ if threads == 1 => 1,
            (Lhs::Transposed(_), _) => (2 * threads).div_ceil(blocks).min(group.len().div_ceil(4)),
            (_, Crew::Team(_)) => (64 * threads).div_ceil(blocks).min(work / SMALLEST_PART + 1),
            _ => (16 * threads).div_ceil(blocks).min(group.len().div_ceil(4)),
        };
        let begins = cut(units, most, if blocks == 1 { crew } else { Crew::Alone });
        let cuts = begins.len() - 1;
        // Where the thread of a task most likely goes on: a team's threads take tasks in turns, others rows of tasks.
        let stride = if let Crew::Team(_) = crew { threads } else { 1 };
        crew.each(blocks * cuts, |index| {
            let (block, cut) = (index / cuts, index % cuts);
            let first_of = |cut: usize| (begins[cut] * unit).min(group.len());
            let task = Task {
                rows: block * height..self.m.min((block + 1) * height),
                panels: first_of(cut)..first_of(cut + 1),
                first_panel: group.start,
                then: first_of((cut + stride) % cuts),
            };
            // SAFETY: as this function's contract; tasks differ in rows or panels, so their tiles of C are disjoint.
            unsafe { self.task(&task, range.clone(), b, store) };
        });
    }

    /// Computes all tiles of a task, block of k by block.
    unsafe fn task(&self, task: &Task, range: Range<usize>, b: Panels, store: Store) {
        let Task { rows, panels, first_panel, then } = task;
        let family = family();
        let most = family.most[rows.len().min(MR) - 1];
        let block = block_len(self.k);
        for start in range.clone().step_by(block) {
            let len = block.min(range.end - start);
            let add = store == Store::Add || start != range.start;
            // SAFETY: the row lies within the panels, whose rows are counted from `range.start`.
            let b = Panels { at: unsafe { b.at.add((start - range.start) * b.k_stride) }, ..b };
            let multiply = |a: *const f32, tile_stride: usize, row_stride: usize, k_stride: usize| {
                // A transposed A that is read in place: its rows are too far apart for the processor to foresee.
                let scattered = row_stride == 1 && k_stride == self.m;
                let mut panel = panels.clone();
                while !panel.is_empty() {
                    let column = (first_panel + panel.start) * NR;
                    let columns = (self.n - column).min(NR);
                    // The widest that finds whole panels; a single one may be cut by the edge.
                    let whole = panel.len().min((self.n - column) / NR).clamp(1, most);
                    let kernels = family.kernels.iter().find(|kernels| kernels.panels <= whole).expect("one panel");
                    let count = kernels.panels;
                    // What comes after this panel: the next one, the first one's next block, or another task's.
                    let tiles = rows.len().div_ceil(MR);
                    let next = match panel.start + count {
                        next if next < panel.end => b.at.wrapping_add(next * b.panel_stride),
                        _ if start + len < range.end => b.at.wrapping_add(panels.start * b.panel_stride + len * NR),
                        _ => b.at.wrapping_add(then * b.panel_stride).wrapping_sub((start - range.start) * NR),
                    };
                    // Every tile asks for its share, so far as panels are memory without gaps.
                    let gapless = usize::from(b.k_stride == NR);
                    let ahead_of = |tile: usize| {
                        if scattered {
                            // The next block's rows: one in AHEAD_EVERY from each tile, a cache line from as many
                            // tiles.
                            let row = len + tile % AHEAD_EVERY;
                            (a.wrapping_add(row * k_stride + tile / AHEAD_EVERY * NR), AHEAD_EVERY * k_stride, 0)
                        } else {
                            let share = gapless * tile * len * NR / tiles;
                            (next.wrapping_add(share), gapless * (AHEAD_EVERY * NR).div_ceil(tiles), b.panel_stride)
                        }
                    };
                    for (tile, row) in rows.clone().step_by(MR).enumerate() {
                        let height = MR.min(rows.end - row);
                        let Some(terms) = self.terms(&(row..row + height), column) else { continue };
                        let first = terms.start.clamp(start, start + len) - start;
                        let last = terms.end.clamp(start, start + len) - start;
                        let (ahead, ahead_step, ahead_across) = ahead_of(tile);
                        // SAFETY: `row` and `panel.start` lie within A, B and C; edges go through a local tile.
                        unsafe {
                            let mut tile = Tile {
                                k: last.saturating_sub(first),
                                a: a.add((row - rows.start) / MR * tile_stride + first * k_stride),
                                a_row_stride: row_stride,
                                a_k_stride: k_stride,
                                b: b.at.add(panel.start * b.panel_stride + first * b.k_stride),
                                b_k_stride: b.k_stride,
                                panel_stride: b.panel_stride,
                                c: { self.c }.0.add(row * self.n + column),
                                c_stride: self.n,
                                add,
                                ahead,
                                ahead_step,
                                ahead_across,
                            };
                            let kernel = kernels.by_rows[height - 1];
                            if columns == NR {
                                kernel(&tile);
                            } else {
                                let mut local = [0.0; MR * NR];
                                let c = tile.c;
                                (tile.c, tile.c_stride, tile.add) = (local.as_mut_ptr(), NR, false);
                                kernel(&tile);
                                put_edge(&local[..height * NR], columns, c, self.n, add);
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
mod tests {
    use super::shrinking;

    #[test]
    fn parts_shrink_and_leave_nothing_out() {
        assert_eq!(shrinking(18, 2, 1), [0, 6, 12, 14, 16, 17, 18]);
        assert_eq!(shrinking(3, 4, 1), [0, 1, 2, 3]);
        for (units, threads, least) in [(1, 1, 1), (7, 3, 2), (48, 2, 3), (1536, 64, 1), (5, 2, 9)] {
            let begins = shrinking(units, threads, least);
            assert_eq!((begins[0], begins[begins.len() - 1]), (0, units));
            let lengths: Vec<usize> = begins.windows(2).map(|part| part[1] - part[0]).collect();
            assert!(lengths.windows(2).all(|two| two[0] >= two[1]) && lengths.iter().all(|&len| len > 0));
        }
    }
}
