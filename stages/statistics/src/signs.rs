//! The sign-flip test: were the two arms one and the same, each item's difference could as well have had the other
//! sign.
//!
//! This is what is known as approximate randomisation where metrics are compared that are no means of normal numbers
//! (Noreen 1989; Yeh 2000, "More accurate tests for the statistical significance of result differences"). It is chosen
//! over a p value by bootstrap because that one rejects more often than it says (Riezler and Maxwell 2005, "On Some
//! Pitfalls in Automatic Evaluation and Significance Testing for MT"; Dror et al. 2018, "The Hitchhiker's Guide to
//! Testing Statistical Significance in NLP", recommend either where no distribution is known), while this one is exact:
//! for 0/1 scores it *is* McNemar's. What was seen counts as one of the flips (Phipson and Smyth 2010, "Permutation
//! P-values should never be zero").

use pipe_random::Random;
use rayon::prelude::*;

use crate::resample::Source;

/// How many flips one stream draws.
const BLOCK: usize = 256;

/// A p value, and whether all flips were tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct SignFlips {
    pub p: f64,
    pub exhaustive: bool,
}

/// Sums over all ways to flip up to eight differences, by the bits of a byte: a flip of hundreds is then a few dozen
/// look-ups.
fn flipped_sums(differences: &[f64]) -> [f64; 256] {
    let mut sums = [0.0; 256];
    for (flips, sum) in sums.iter_mut().enumerate() {
        *sum = differences.iter().enumerate().map(|(i, d)| if flips >> i & 1 == 1 { -d } else { *d }).sum();
    }
    sums
}

/// The two-sided test of the sum of differences (of clusters, where items are clustered); all flips are tried where
/// these are no more than `flips`.
pub(crate) fn sign_flips(differences: &[f64], flips: usize, source: Source) -> SignFlips {
    let changed: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let tables: Vec<[f64; 256]> = changed.chunks(8).map(flipped_sums).collect();
    // Sums in another order differ by rounding, and flips that are as far as what was seen must count.
    let rounding = 1e-12 * changed.iter().map(|difference| difference.abs()).sum::<f64>();
    let seen = changed.iter().sum::<f64>().abs() - rounding;
    let is_as_far = |sum: f64| usize::from(sum.abs() >= seen);
    let all = 1_usize.checked_shl(changed.len() as u32).unwrap_or(usize::MAX);
    if all <= flips {
        let sum = |flip: usize| tables.iter().enumerate().map(|(i, table)| table[flip >> (8 * i) & 255]).sum::<f64>();
        let as_far: usize = (0..all).map(|flip| is_as_far(sum(flip))).sum();
        return SignFlips { p: as_far as f64 / all as f64, exhaustive: true };
    }
    let as_far: usize = (0..flips.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let mut stream = source.stream("signs", block);
            let one = || {
                let sums = tables.chunks(8).map(|tables| {
                    let bytes = stream.next_u64().to_le_bytes();
                    tables.iter().zip(bytes).map(|(table, byte)| table[usize::from(byte)]).sum::<f64>()
                });
                is_as_far(sums.sum())
            };
            std::iter::repeat_with(one).take(BLOCK.min(flips - block * BLOCK)).sum::<usize>()
        })
        .sum();
    SignFlips { p: (as_far + 1) as f64 / (flips + 1) as f64, exhaustive: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::McNemar;

    const SOURCE: Source = Source { seed: 1, name: "a test" };

    #[test]
    fn of_right_and_wrong_it_is_mcnemars() {
        for (improved, regressed) in [(0, 0), (1, 0), (6, 0), (9, 2), (5, 5), (400, 330)] {
            let mut differences = vec![1.0; improved as usize];
            differences.extend(vec![-1.0; regressed as usize]);
            differences.extend([0.0; 100]);
            let (found, expect) = (sign_flips(&differences, 20_000, SOURCE), McNemar::new(improved, regressed).exact);
            assert_eq!(found.exhaustive, improved + regressed < 15);
            let tolerance = if found.exhaustive { 1e-14 } else { 4.0 * (expect * (1.0 - expect) / 20_000.0).sqrt() };
            assert!((found.p - expect).abs() < tolerance, "{improved} {regressed}: {found:?} {expect}");
        }
    }

    #[test]
    fn rounding_does_not_hide_flips_that_are_as_far() {
        // 0.3 − 0.1 − 0.2 is 0 but for rounding, as half of all flips are.
        assert_eq!(sign_flips(&[0.3, -0.1, -0.2], 100, SOURCE).p, 1.0);
        assert_eq!(sign_flips(&[0.1, 0.2, 0.3, 0.4, 0.5], 100, SOURCE).p, 2.0 / 32.0);
    }
}
