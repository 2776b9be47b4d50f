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

/// The mean of n draws with replacement. Draw `j` of resample `b` depends on (seed, b, j) alone, so resamples can be
/// drawn in parallel.
fn resampled_mean(values: &[f64], seed: u64, resample: u64) -> f64 {
    let mut name = blake3::Hasher::new();
    name.update(b"pipe.bootstrap.v1").update(&seed.to_le_bytes()).update(&resample.to_le_bytes());
    let (mut stream, n) = (Stream::new(&name), values.len());
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
