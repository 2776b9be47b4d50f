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

/// So many flips are summed up together, each of them bit by bit: sums of several flips need not wait for each other.
const TOGETHER: usize = 8;

/// A difference, or the same with the other sign where the lowest bit of `flips` is set.
fn flipped(difference: f64, flips: u64) -> f64 {
    f64::from_bits(difference.to_bits() ^ flips << 63)
}

/// The sum of up to 64 differences for each of some flips, a bit for every difference. Eight of them make a sum, and
/// these the whole: p values hang on the order of additions.
fn flipped_sums(differences: &[f64], mut flips: [u64; TOGETHER]) -> [f64; TOGETHER] {
    let mut sums = [-0.0; TOGETHER]; // as an iterator's sum begins
    for eight in differences.chunks(8) {
        let mut parts = [-0.0; TOGETHER];
        for &difference in eight {
            for (part, flips) in parts.iter_mut().zip(&mut flips) {
                *part += flipped(difference, *flips);
                *flips >>= 1;
            }
        }
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum += part;
        }
    }
    sums
}

/// The two-sided test of the sum of differences (of clusters, where items are clustered); all flips are tried where
/// these are no more than `flips`.
pub(crate) fn sign_flips(differences: &[f64], flips: usize, source: Source) -> SignFlips {
    let changed: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    // Sums in another order differ by rounding, and flips that are as far as what was seen must count.
    let rounding = 1e-12 * changed.iter().map(|difference| difference.abs()).sum::<f64>();
    let seen = changed.iter().sum::<f64>().abs() - rounding;
    let are_as_far = |sums: &[f64]| sums.iter().filter(|sum| sum.abs() >= seen).count();
    let all = 1_usize.checked_shl(changed.len() as u32).unwrap_or(usize::MAX);
    if all <= flips {
        let some = |first: usize| {
            let sums = flipped_sums(&changed, std::array::from_fn(|nth| (first + nth) as u64));
            are_as_far(&sums[..TOGETHER.min(all - first)])
        };
        let as_far: usize = (0..all).step_by(TOGETHER).map(some).sum();
        return SignFlips { p: as_far as f64 / all as f64, exhaustive: true };
    }
    let words = changed.len().div_ceil(64);
    let as_far: usize = (0..flips.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let mut stream = source.stream("signs", block);
            let flips = BLOCK.min(flips - block * BLOCK);
            let mut bits = vec![0; TOGETHER * words];
            let mut some = |first: usize| {
                let count = TOGETHER.min(flips - first);
                bits[..count * words].fill_with(|| stream.next_u64());
                let mut sums = [-0.0; TOGETHER];
                for (word, differences) in changed.chunks(64).enumerate() {
                    let flips = std::array::from_fn(|nth| bits[nth * words + word]);
                    for (sum, part) in sums.iter_mut().zip(flipped_sums(differences, flips)) {
                        *sum += part;
                    }
                }
                are_as_far(&sums[..count])
            };
            (0..flips).step_by(TOGETHER).map(&mut some).sum::<usize>()
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

    /// By the definition, flip after flip: eight differences make a sum, eight of these another, and those the whole.
    #[test]
    fn flips_that_are_summed_up_together_are_those_that_they_are_alone() {
        let differences: Vec<f64> = (0..531).map(|i| f64::from((i * 37) % 101 - 50) / 7.0 + 0.001).collect();
        let flips = BLOCK + 13;
        let seen = differences.iter().sum::<f64>().abs() - 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
        let mut as_far = 0;
        for flip in 0..flips {
            let mut stream = SOURCE.stream("signs", flip / BLOCK);
            (0..flip % BLOCK * differences.len().div_ceil(64)).for_each(|_| _ = stream.next_u64());
            let words = differences.chunks(64).map(|differences| {
                let bytes = stream.next_u64().to_le_bytes();
                let eights = differences.chunks(8).zip(bytes).map(|(eight, byte)| {
                    let signed = |(i, d): (usize, &f64)| if byte >> i & 1 == 1 { -d } else { *d };
                    eight.iter().enumerate().map(signed).sum::<f64>()
                });
                eights.sum::<f64>()
            });
            as_far += usize::from(words.sum::<f64>().abs() >= seen);
        }
        let found = sign_flips(&differences, flips, SOURCE);
        assert!(as_far > 10 && as_far < flips - 10, "{as_far}");
        assert_eq!(found.p.to_bits(), ((as_far + 1) as f64 / (flips + 1) as f64).to_bits());
    }

    #[test]
    fn rounding_does_not_hide_flips_that_are_as_far() {
        // 0.3 − 0.1 − 0.2 is 0 but for rounding, as half of all flips are.
        assert_eq!(sign_flips(&[0.3, -0.1, -0.2], 100, SOURCE).p, 1.0);
        assert_eq!(sign_flips(&[0.1, 0.2, 0.3, 0.4, 0.5], 100, SOURCE).p, 2.0 / 32.0);
    }
}
