//! The mean of one arm's scores, as it stands in stored tables: its numbers, and so its random stream, must not change.

use std::collections::BTreeMap;

use pipe_random::Stream;
use rayon::prelude::*;

use crate::{pool::Pool, quantile::quantile};

/// A mean over items with its standard error and a percentile interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The plain mean.
    pub mean: f64,
    /// Standard error of the mean: sample standard deviation (n-1) over the square root of n; 0 for a single item.
    pub standard_error: f64,
    /// Lower end of the percentile bootstrap interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Number of items.
    pub n: usize,
}

/// So many draws are made at once: none of them then waits for what another finds in memory.
const DRAWS: usize = 256;

/// Gives the draws of a resample of `n` items, with replacement, to `to`, some at a time. Draw `j` of resample `b`
/// depends on (seed, b, j) alone, so resamples can be drawn in parallel, and columns together.
fn resampled(seed: u64, resample: u64, n: usize, mut to: impl FnMut(&[usize])) {
    let mut name = blake3::Hasher::new();
    name.update(b"pipe.bootstrap.v1").update(&seed.to_le_bytes()).update(&resample.to_le_bytes());
    let (mut stream, mut numbers) = (Stream::new(&name), [0; DRAWS]);
    for begin in (0..n).step_by(DRAWS) {
        let numbers = &mut numbers[..DRAWS.min(n - begin)];
        stream.fill_below(n, numbers);
        to(numbers);
    }
}

/// So many columns are drawn from at once: a row of them is one cache line.
const TOGETHER: usize = 8;

/// The means of all resamples, for each of K columns of equal lengths.
fn drawn<const K: usize>(columns: &[&[f64]], resamples: usize, seed: u64) -> Vec<Vec<f64>> {
    let n = columns[0].len();
    let rows: Vec<[f64; K]> = (0..n).map(|row| std::array::from_fn(|column| columns[column][row])).collect();
    let pool = Pool::of(&rows, |row| row.map(f64::to_bits));
    let one = |resample: usize| {
        let mut sums = [-0.0; K]; // as an iterator's sum begins
        resampled(seed, resample as u64, n, |numbers| {
            pool.each(numbers.iter().map(|&number| [number]), |[row]| {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
            });
        });
        sums.map(|sum| sum / n as f64)
    };
    let all: Vec<[f64; K]> = (0..resamples.max(1)).into_par_iter().map(one).collect();
    (0..K).map(|column| all.iter().map(|means| means[column]).collect()).collect()
}

/// Of each column mean, standard error and percentile bootstrap interval at the given confidence (0.95); `None` for one
/// without items.
///
/// `resamples` is usually 1,000 to 10,000. The same seed gives the same interval on any machine and thread count.
/// Columns of equal lengths are drawn together: the same draws are made for all of them, and making them and finding
/// the rows in memory is what resampling takes.
pub fn estimates(columns: &[&[f64]], confidence: f64, resamples: usize, seed: u64) -> Vec<Option<Estimate>> {
    let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, column) in columns.iter().enumerate().filter(|(_, column)| !column.is_empty()) {
        by_length.entry(column.len()).or_default().push(place);
    }
    let mut found = vec![None; columns.len()];
    for places in by_length.values().flat_map(|places| places.chunks(TOGETHER)) {
        let these: Vec<&[f64]> = places.iter().map(|&place| columns[place]).collect();
        let draw = match these.len() {
            1 => drawn::<1>,
            2 => drawn::<2>,
            3 => drawn::<3>,
            4 => drawn::<4>,
            5 => drawn::<5>,
            6 => drawn::<6>,
            7 => drawn::<7>,
            _ => drawn::<TOGETHER>,
        };
        for (&place, means) in places.iter().zip(draw(&these, resamples, seed)) {
            found[place] = Some(summed_up(columns[place], means, confidence));
        }
    }
    found
}

/// What values and the means of their resamples say.
fn summed_up(values: &[f64], mut means: Vec<f64>, confidence: f64) -> Estimate {
    let n = values.len();
    means.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let standard_error = if n > 1 { (squares / (n - 1) as f64 / n as f64).sqrt() } else { 0.0 };
    let tail = (1.0 - confidence) / 2.0;
    Estimate { mean, standard_error, low: quantile(&means, tail), high: quantile(&means, 1.0 - tail), n }
}

/// A function of Σa/Σb over items, `then`, with the percentile bootstrap interval over items and, as its standard
/// error, the standard deviation of the resamples; `None` without items, or where all `b` are 0.
pub fn estimate_ratio(
    pairs: &[(f64, f64)],
    then: fn(f64) -> f64,
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Option<Estimate> {
    let n = pairs.len();
    let of = |sums: (f64, f64)| then(sums.0 / sums.1);
    let all = pairs.iter().fold((0.0, 0.0), |sums, pair| (sums.0 + pair.0, sums.1 + pair.1));
    if n == 0 || all.1 == 0.0 {
        return None;
    }
    let pool = Pool::of(pairs, |(a, b)| (a.to_bits(), b.to_bits()));
    let one = |resample: usize| {
        let mut drawn = (0.0, 0.0);
        resampled(seed, resample as u64, n, |numbers| {
            pool.each(numbers.iter().map(|&number| [number]), |[(a, b)]| drawn = (drawn.0 + a, drawn.1 + b));
        });
        // A resample of nothing but texts without length says nothing else than all of them.
        if drawn.1 == 0.0 { of(all) } else { of(drawn) }
    };
    let mut values: Vec<f64> = (0..resamples.max(1)).into_par_iter().map(one).collect();
    values.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let standard_error = if values.len() > 1 { (squares / (values.len() - 1) as f64).sqrt() } else { 0.0 };
    let tail = (1.0 - confidence) / 2.0;
    Some(Estimate {
        mean: of(all),
        standard_error,
        low: quantile(&values, tail),
        high: quantile(&values, 1.0 - tail),
        n,
    })
}

#[cfg(test)]
mod tests {
    use pipe_random::Random;

    use super::*;

    fn estimate(values: &[f64], confidence: f64, resamples: usize, seed: u64) -> Option<Estimate> {
        estimates(&[values], confidence, resamples, seed)[0]
    }

    #[test]
    fn interval_of_coin_flips_is_near_the_normal_one() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let e = estimate(&values, 0.95, 4000, 1).unwrap();
        assert!((e.mean - 0.25).abs() < 1e-12);
        let normal = 1.96 * e.standard_error;
        assert!((e.high - e.mean - normal).abs() < 0.004 && (e.mean - e.low - normal).abs() < 0.004, "{e:?}");
        assert!(estimate(&[], 0.95, 4000, 1).is_none());
    }

    /// One column after the other, by the definition: a mean of draws in their order.
    #[test]
    fn columns_that_are_drawn_together_have_the_intervals_they_have_alone() {
        let column = |k: usize, n: usize| (0..n).map(|i| ((i * (k + 3) * 37) % 101) as f64 / 7.0).collect::<Vec<f64>>();
        // The last ones are many of few values, which are drawn by their places among these.
        let lengths = [50, 30, 50, 0, 50, 50, 1, 50, 50, 50, 50, 50, 50, 20_000, 20_000];
        let columns: Vec<Vec<f64>> = lengths.iter().enumerate().map(|(k, &n)| column(k, n)).collect();
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let together = estimates(&columns, 0.9, 200, 5);
        for (values, together) in columns.iter().zip(together) {
            let Some(together) = together else {
                assert!(values.is_empty());
                continue;
            };
            let mean = |b: u64| {
                let mut name = blake3::Hasher::new();
                name.update(b"pipe.bootstrap.v1").update(&5_u64.to_le_bytes()).update(&b.to_le_bytes());
                let (mut stream, n) = (Stream::new(&name), values.len());
                (0..n).map(|_| values[stream.below(n)]).sum::<f64>() / n as f64
            };
            let mut means: Vec<f64> = (0..200).map(mean).collect();
            means.sort_by(f64::total_cmp);
            let ends = [together.low, together.high].map(f64::to_bits);
            assert_eq!(ends, [quantile(&means, 0.05), quantile(&means, 1.0 - 0.05)].map(f64::to_bits));
        }
    }

    /// With equal weights a ratio of sums is a mean, drawn by the same draws.
    #[test]
    fn a_ratio_with_equal_weights_is_a_mean() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i * 37 % 101) / 10.0).collect();
        let pairs: Vec<(f64, f64)> = values.iter().map(|v| (2.0 * v, 2.0)).collect();
        let (mean, ratio) =
            (estimate(&values, 0.9, 1000, 3).unwrap(), estimate_ratio(&pairs, |x| x, 0.9, 1000, 3).unwrap());
        let close = |a: f64, b: f64, within: f64| assert!((a - b).abs() < within, "{mean:?} {ratio:?}");
        close(mean.mean, ratio.mean, 1e-12);
        close(mean.low, ratio.low, 1e-12);
        close(mean.high, ratio.high, 1e-12);
        close(mean.standard_error, ratio.standard_error, 0.05 * mean.standard_error);
        let uneven = estimate_ratio(&[(1.0, 1.0), (9.0, 3.0)], f64::exp, 0.9, 100, 0).unwrap();
        close(uneven.mean, 2.5f64.exp(), 1e-9);
        assert!(
            estimate_ratio(&[], |x| x, 0.9, 10, 0).is_none()
                && estimate_ratio(&[(1.0, 0.0)], |x| x, 0.9, 10, 0).is_none()
        );
    }

    #[test]
    fn interval_does_not_depend_on_threads_but_on_the_seed() {
        let values: Vec<f64> = (0..97).map(|i| f64::from(i) * 0.7 % 1.3).collect();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let two = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let run = |seed| estimate(&values, 0.95, 500, seed);
        assert_eq!(one.install(|| run(3)), two.install(|| run(3)));
        assert_ne!(run(3), run(4));
    }
}
