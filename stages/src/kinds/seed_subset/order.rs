//! The order that subsets are prefixes of, and which of its rows are to be corrupted.

use std::{cmp::Ordering, collections::HashMap};

use arrow::{
    array::{Array, RecordBatch},
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_cache::{Digest, Hasher, row_digests};
use pipe_engine::kind::StageError;

use super::Allocation;

/// One row of the pool in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Index into the pool.
    pub row: usize,
    /// blake3(seed, row): the row's place among others, and the source of its randomness.
    pub digest: Digest,
    /// Whether it is to be corrupted.
    pub corrupt: bool,
}

/// All rows of the pool in the order of `seed`.
///
/// Without strata that is the order of the digests. With strata, row r (from 0) of a stratum of m rows stands at
/// (r + 1/2) / m for proportional allocation and at r for balanced allocation; ties are broken by digest. Either way
/// a place depends on seed and pool alone, so subsets of different sizes are nested.
///
/// The row in place i (from 0) is corrupted when ⌊(i+1)·f + 1/2⌋ > ⌊i·f + 1/2⌋, so that of the first n rows n·f are, to
/// the nearest whole. Counting within strata instead would leave the first rows, one of each stratum, all whole or all
/// corrupted.
pub(crate) fn order(
    pool: &RecordBatch,
    seed: u64,
    strata: Option<usize>,
    allocation: Allocation,
    fraction: f64,
) -> Result<Vec<Drawn>, StageError> {
    let digests = digests(pool, seed)?;
    let names = stratum_names(pool, strata)?;
    let mut by_digest: Vec<usize> = (0..pool.num_rows()).collect();
    by_digest.sort_unstable_by_key(|&row| digests[row]);

    let mut numbers: HashMap<&str, usize> = HashMap::new();
    let mut sizes: Vec<u64> = Vec::new();
    let mut placed: Vec<(usize, usize, u64)> = Vec::with_capacity(by_digest.len());
    for row in by_digest {
        let stratum = *numbers.entry(names.get(row).map_or("", String::as_str)).or_insert(sizes.len());
        if stratum == sizes.len() {
            sizes.push(0);
        }
        placed.push((row, stratum, sizes[stratum]));
        sizes[stratum] += 1;
    }
    placed.sort_by(|(a, a_stratum, a_rank), (b, b_stratum, b_rank)| {
        let place = match allocation {
            Allocation::Balanced => a_rank.cmp(b_rank),
            // (2r+1)/m without rounding.
            Allocation::Proportional => {
                let (a_size, b_size) = (u128::from(sizes[*a_stratum]), u128::from(sizes[*b_stratum]));
                (u128::from(2 * a_rank + 1) * b_size).cmp(&(u128::from(2 * b_rank + 1) * a_size))
            }
        };
        if strata.is_some() { place.then(digests[*a].cmp(&digests[*b])) } else { Ordering::Equal }
    });
    let corrupted = |first: usize| (first as f64).mul_add(fraction, 0.5).floor();
    Ok((placed.into_iter().enumerate())
        .map(|(place, (row, ..))| Drawn { row, digest: digests[row], corrupt: corrupted(place + 1) > corrupted(place) })
        .collect())
}

/// blake3(seed, row) for every row. Equal rows are told apart by how many came before.
fn digests(pool: &RecordBatch, seed: u64) -> Result<Vec<Digest>, StageError> {
    let mut seen: HashMap<Digest, u64> = HashMap::new();
    let contents = row_digests(pool)?;
    Ok(contents
        .iter()
        .map(|content| {
            let before = seen.entry(*content).or_default();
            *before += 1;
            Hasher::new("pipe.seed_subset.v1").u64(seed).digest(content).u64(*before).finish()
        })
        .collect())
}

/// The task of every row, as text; rows without one form a stratum of their own. Empty without strata.
fn stratum_names(pool: &RecordBatch, strata: Option<usize>) -> Result<Vec<String>, StageError> {
    let Some(column) = strata else { return Ok(Vec::new()) };
    let array = pool.column(column);
    let options = FormatOptions::new();
    let format = ArrayFormatter::try_new(array, &options).map_err(|e| StageError::other("show a task's name", e))?;
    Ok((0..array.len())
        .map(|row| if array.is_null(row) { "\0".to_owned() } else { format.value(row).to_string() })
        .collect())
}
