//! Means with their uncertainty, and paired differences between arms.

use pipe_random::{Random, Stream};
use rayon::prelude::*;

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

/// The difference of two arms on the same items.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedDifference {
    /// Mean of the per-item differences, with its interval.
    pub difference: Estimate,
    /// Two-sided bootstrap p-value for "no difference": twice the smaller share of resampled means on either side of 0,
    /// at least 1/(B+1).
    pub p_value: f64,
}

/// The mean of n draws with replacement. Draw `j` of resample `b` depends on (seed, b, j) alone, so resamples can be
/// drawn in parallel.
fn resampled_mean(values: &[f64], seed: u64, resample: u64) -> f64 {
    let mut name = blake3::Hasher::new();
    name.update(b"pipe.bootstrap.v1").update(&seed.to_le_bytes()).update(&resample.to_le_bytes());
    let (mut stream, n) = (Stream::new(&name), values.len());
    (0..n).map(|_| values[stream.below(n)]).sum::<f64>() / n as f64
}

fn resampled_means(values: &[f64], resamples: usize, seed: u64) -> Vec<f64> {
    let mut means: Vec<f64> = (0..resamples).into_par_iter().map(|b| resampled_mean(values, seed, b as u64)).collect();
    means.sort_by(f64::total_cmp);
    means
}

/// The `q`-quantile of sorted values, with linear interpolation (numpy's default).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let (below, share) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * share
}

/// Mean, standard error and percentile bootstrap interval at the given confidence (0.95); `None` without items.
///
/// `resamples` is usually 1,000 to 10,000. The same seed gives the same interval on any machine and thread count.
pub fn estimate(values: &[f64], confidence: f64, resamples: usize, seed: u64) -> Option<Estimate> {
    summarise(values, confidence, &resampled_means(non_empty(values)?, resamples.max(1), seed))
}

fn non_empty(values: &[f64]) -> Option<&[f64]> {
    (!values.is_empty()).then_some(values)
}

fn summarise(values: &[f64], confidence: f64, sorted_means: &[f64]) -> Option<Estimate> {
    let n = non_empty(values)?.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let standard_error = if n > 1 { (squares / (n - 1) as f64 / n as f64).sqrt() } else { 0.0 };
    let tail = (1.0 - confidence) / 2.0;
    Some(Estimate {
        mean,
        standard_error,
        low: quantile(sorted_means, tail),
        high: quantile(sorted_means, 1.0 - tail),
        n,
    })
}

/// The paired bootstrap over items of `arm - baseline`; `None` if the two are not of the same, non-zero length.
pub fn paired_difference(
    arm: &[f64],
    baseline: &[f64],
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Option<PairedDifference> {
    if arm.len() != baseline.len() {
        return None;
    }
    let differences: Vec<f64> = arm.iter().zip(baseline).map(|(a, b)| a - b).collect();
    let means = resampled_means(non_empty(&differences)?, resamples.max(1), seed);
    let below = means.iter().filter(|m| **m <= 0.0).count();
    let above = means.iter().filter(|m| **m >= 0.0).count();
    let p_value = (2.0 * (below.min(above) + 1) as f64 / (means.len() + 1) as f64).min(1.0);
    Some(PairedDifference { difference: summarise(&differences, confidence, &means)?, p_value })
}

/// Holm's step-down correction (Holm 1979): adjusted p-values in the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest = 0.0_f64;
    for (rank, &i) in order.iter().enumerate() {
        largest = largest.max(((p_values.len() - rank) as f64 * p_values[i]).min(1.0));
        adjusted[i] = largest;
    }
    adjusted
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

    #[test]
    fn pairing_sees_a_small_steady_gain_that_the_spread_hides() {
        let baseline: Vec<f64> = (0..200).map(|i| f64::from(i % 10) / 10.0).collect();
        let arm: Vec<f64> =
            baseline.iter().enumerate().map(|(i, b)| b + if i % 3 == 0 { 0.05 } else { 0.01 }).collect();
        let d = paired_difference(&arm, &baseline, 0.95, 2000, 1).unwrap();
        assert!(d.difference.low > 0.0 && d.p_value < 0.01, "{d:?}");
        let none = paired_difference(&baseline, &baseline, 0.95, 2000, 1).unwrap();
        assert!((none.p_value - 1.0).abs() < 1e-12);
        assert!(paired_difference(&arm, &baseline[1..], 0.95, 100, 1).is_none());
    }

    /// Values of statsmodels' `multipletests(p, method="holm")`.
    #[test]
    fn holm_steps_down() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (a, b) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((a - b).abs() < 1e-12);
        }
    }
}
