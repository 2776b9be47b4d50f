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
pub struct Drawn {
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
/// Row r of stratum s (of S) is corrupted when ⌊(r+1)·f + φ⌋ > ⌊r·f + φ⌋ with φ = (s + 1/2) / S, so that after any number
/// n of rows of one stratum ⌊n·f + φ⌋ of them are corrupted. By Hermite's identity
/// Σ ⌊x + s/S⌋ = ⌊S·x⌋ the roundings of the strata cancel out instead of adding up.
pub fn order(
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

    // Strata are numbered in an order of the seed, so that no task is always rounded up.
    let mut numbers: HashMap<&str, u64> = HashMap::new();
    let mut sizes: Vec<u64> = Vec::new();
    let mut placed: Vec<(Drawn, u64, u64)> = Vec::with_capacity(by_digest.len());
    for row in by_digest {
        let next = sizes.len() as u64;
        let stratum = *numbers.entry(names.get(row).map_or("", String::as_str)).or_insert(next);
        if stratum == next {
            sizes.push(0);
        }
        let rank = sizes[stratum as usize];
        sizes[stratum as usize] += 1;
        placed.push((Drawn { row, digest: digests[row], corrupt: false }, stratum, rank));
    }
    let phase = |stratum: u64| (stratum as f64 + 0.5) / sizes.len() as f64;
    for (drawn, stratum, rank) in &mut placed {
        let until = |n: u64| (n as f64).mul_add(fraction, phase(*stratum)).floor();
        drawn.corrupt = until(*rank + 1) > until(*rank);
    }
    placed.sort_by(|(a, a_stratum, a_rank), (b, b_stratum, b_rank)| {
        let place = match allocation {
            Allocation::Balanced => a_rank.cmp(b_rank),
            // (2r+1)/m without rounding.
            Allocation::Proportional => {
                let (a_size, b_size) = (u128::from(sizes[*a_stratum as usize]), u128::from(sizes[*b_stratum as usize]));
                (u128::from(2 * a_rank + 1) * b_size).cmp(&(u128::from(2 * b_rank + 1) * a_size))
            }
        };
        if strata.is_some() { place.then(a.digest.cmp(&b.digest)) } else { Ordering::Equal }
    });
    Ok(placed.into_iter().map(|(drawn, ..)| drawn).collect())
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
