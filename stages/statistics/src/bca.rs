//! The ends of a bootstrap interval that allow for bias and skew: bias-corrected and accelerated (Efron 1987, "Better
//! Bootstrap Confidence Intervals").

use crate::distributions::normal;

/// At which quantiles of the resampled means an interval with `tail` on either side ends. `left_out` has the mean
/// without each of the clusters. `None` where these say nothing (no spread).
pub(crate) fn bca_quantiles(sorted_means: &[f64], mean: f64, left_out: &[f64], tail: f64) -> Option<(f64, f64)> {
    let below = sorted_means.partition_point(|m| *m < mean);
    let to = sorted_means.partition_point(|m| *m <= mean);
    let bias = normal::quantile((below + to) as f64 / (2 * sorted_means.len()) as f64);
    let centre = left_out.iter().sum::<f64>() / left_out.len() as f64;
    let moment = |power| left_out.iter().map(|without| (centre - without).powi(power)).sum::<f64>();
    let acceleration = moment(3) / (6.0 * moment(2).powf(1.5));
    let end = |z: f64| normal::cdf(bias + (bias + z) / (1.0 - acceleration * (bias + z)));
    let (low, high) = (end(normal::quantile(tail)), end(-normal::quantile(tail)));
    (low.is_finite() && high.is_finite() && low < high).then_some((low, high))
}
