//! The mean of one arm's scores, as it stands in stored tables: its numbers, and so its random stream, must not change.

use pipe_random::{Random, Stream};
use rayon::prelude::*;

use crate::quantile::quantile;

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

/// The draws of a resample.
fn resampled(seed: u64, resample: u64) -> Stream {
    let mut name = blake3::Hasher::new();
    name.update(b"pipe.bootstrap.v1").update(&seed.to_le_bytes()).update(&resample.to_le_bytes());
    Stream::new(&name)
}

/// The mean of n draws with replacement. Draw `j` of resample `b` depends on (seed, b, j) alone, so resamples can be
/// drawn in parallel.
fn resampled_mean(values: &[f64], seed: u64, resample: u64) -> f64 {
    let (mut stream, n) = (resampled(seed, resample), values.len());
    (0..n).map(|_| values[stream.below(n)]).sum::<f64>() / n as f64
}

/// Mean, standard error and percentile bootstrap interval at the given confidence (0.95); `None` without items.
///
/// `resamples` is usually 1,000 to 10,000. The same seed gives the same interval on any machine and thread count.
pub fn estimate(values: &[f64], confidence: f64, resamples: usize, seed: u64) -> Option<Estimate> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let resamples = 0..resamples.max(1);
    let mut means: Vec<f64> = resamples.into_par_iter().map(|b| resampled_mean(values, seed, b as u64)).collect();
    means.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let standard_error = if n > 1 { (squares / (n - 1) as f64 / n as f64).sqrt() } else { 0.0 };
    let tail = (1.0 - confidence) / 2.0;
    Some(Estimate { mean, standard_error, low: quantile(&means, tail), high: quantile(&means, 1.0 - tail), n })
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
    let sum = |all: &mut dyn Iterator<Item = (f64, f64)>| all.fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
    let all = sum(&mut pairs.iter().copied());
    if n == 0 || all.1 == 0.0 {
        return None;
    }
    let one = |resample: usize| {
        let mut stream = resampled(seed, resample as u64);
        let drawn = sum(&mut (0..n).map(|_| pairs[stream.below(n)]));
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
    use super::*;

    #[test]
    fn interval_of_coin_flips_is_near_the_normal_one() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let e = estimate(&values, 0.95, 4000, 1).unwrap();
        assert!((e.mean - 0.25).abs() < 1e-12);
        let normal = 1.96 * e.standard_error;
        assert!((e.high - e.mean - normal).abs() < 0.004 && (e.mean - e.low - normal).abs() < 0.004, "{e:?}");
        assert!(estimate(&[], 0.95, 4000, 1).is_none());
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
