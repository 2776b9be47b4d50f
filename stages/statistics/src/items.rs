//! Items as the sample: are these trained models different?

use std::collections::HashMap;

use crate::{
    bca::bca_quantiles,
    distributions::normal,
    invalid::{Invalid, numbers, same_length, share},
    power::{MOST_ITEMS, Power},
    quantile::quantile,
    resample::{Source, resampled_means},
    signs::sign_flips,
};

/// How the ends of an interval are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interval {
    /// Quantiles of the resampled means.
    #[default]
    Percentile,
    /// The same, corrected for bias and skew. Differences of paired scores are seldom skewed, and of few items the
    /// chance look of skew makes this interval narrower than it should be: in simulations with 40 items it misses the
    /// true difference twice to four times as often as it says, the other up to twice.
    Bca,
}

/// How a question over items is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// Of the interval.
    pub confidence: f64,
    /// Resamples of the interval, and of the test of equivalence.
    pub resamples: usize,
    /// Sign flips of the test, which cost a tenth of as many resamples.
    pub flips: usize,
    /// Which interval.
    pub interval: Interval,
    /// Of all random numbers; the name of the question is the other part.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { confidence: 0.95, resamples: 10_000, flips: 10_000, interval: Interval::default(), seed: 0 }
    }
}

/// What paired differences over items say.
#[derive(Debug, Clone, PartialEq)]
pub struct OverItems {
    /// Number of items.
    pub items: usize,
    /// Number of independent ones: clusters, where these were given.
    pub clusters: usize,
    /// Mean difference over items.
    pub difference: f64,
    /// Its standard error, between clusters; `None` of a single one.
    pub standard_error: Option<f64>,
    /// The interval; `None` of a single cluster.
    pub interval: Option<(f64, f64)>,
    /// Two-sided p value of the sign-flip test.
    pub p: f64,
    /// Whether all sign flips were tried, so that `p` is exact.
    pub exhaustive: bool,
    /// Items whose difference is above 0.
    pub improved: usize,
    /// Items whose difference is below 0.
    pub regressed: usize,
    /// All others.
    pub unchanged: usize,
    /// Sorted, for tests that are asked later.
    means: Vec<f64>,
}

/// Differences added up by cluster.
struct Clusters {
    sums: Vec<f64>,
    sizes: Vec<f64>,
}

impl Clusters {
    /// In the order in which clusters appear.
    fn new(differences: &[f64], clusters: Option<&[usize]>) -> Self {
        let Some(clusters) = clusters else {
            return Self { sums: differences.to_vec(), sizes: vec![1.0; differences.len()] };
        };
        let mut places = HashMap::new();
        let (mut sums, mut sizes) = (Vec::new(), Vec::new());
        for (difference, cluster) in differences.iter().zip(clusters) {
            let place = *places.entry(*cluster).or_insert(sums.len());
            if place == sums.len() {
                sums.push(0.0);
                sizes.push(0.0);
            }
            sums[place] += difference;
            sizes[place] += 1.0;
        }
        Self { sums, sizes }
    }

    /// Of the mean over items, which is a ratio where clusters differ in size.
    fn standard_error(&self, mean: f64, items: f64) -> f64 {
        let k = self.sums.len() as f64;
        let squares: f64 = self.sums.iter().zip(&self.sizes).map(|(sum, size)| (sum - size * mean).powi(2)).sum();
        (k / (k - 1.0) * squares).sqrt() / items
    }
}

/// The standard error of the mean of `values`, where `clusters[i]` names the cluster that value `i` belongs to: between
/// clusters, as that of [`over_items`]. `None` of fewer than two clusters.
///
/// # Errors
/// Values that are no numbers, or clusters of another length.
pub fn clustered_error(values: &[f64], clusters: &[usize]) -> Result<Option<f64>, Invalid> {
    numbers("value", values)?;
    same_length(("clusters", clusters.len()), ("values", values.len()))?;
    let (grouped, n) = (Clusters::new(values, Some(clusters)), values.len() as f64);
    Ok((grouped.sums.len() > 1).then(|| grouped.standard_error(values.iter().sum::<f64>() / n, n)))
}

/// The differences of items, arm less baseline, as one sample; `None` without any.
///
/// Clusters (several questions on one passage) are resampled and flipped as a whole: `clusters[i]` names the cluster of
/// item `i`. The interval is a bootstrap, `p` that of the sign-flip test. Near the edge the one may include 0 and the
/// other be below 5 %; a verdict goes by `p`. `name` says which question this is: another name has other random
/// numbers, the same name and seed always the same ones.
///
/// # Errors
/// Differences that are no numbers, clusters of another length, a confidence that is none.
pub fn over_items(
    differences: &[f64],
    clusters: Option<&[usize]>,
    how: &Bootstrap,
    name: &str,
) -> Result<Option<OverItems>, Invalid> {
    numbers("difference", differences)?;
    share("the confidence", how.confidence)?;
    if let Some(clusters) = clusters {
        same_length(("clusters", clusters.len()), ("differences", differences.len()))?;
    }
    let items = differences.len();
    if items == 0 {
        return Ok(None);
    }
    let (grouped, source) = (Clusters::new(differences, clusters), Source { seed: how.seed, name });
    let (k, n) = (grouped.sums.len(), items as f64);
    let difference = differences.iter().sum::<f64>() / n;
    let resamples = how.resamples.max(1);
    let flips = sign_flips(&grouped.sums, how.flips.max(1), source);
    let improved = differences.iter().filter(|difference| **difference > 0.0).count();
    let regressed = differences.iter().filter(|difference| **difference < 0.0).count();
    let (standard_error, means) = if k < 2 {
        (None, Vec::new())
    } else if differences.iter().all(|other| *other == differences[0]) {
        (Some(0.0), vec![differences[0]])
    } else {
        let sizes = grouped.sizes.iter().any(|size| *size != 1.0).then_some(&grouped.sizes[..]);
        let means = resampled_means(&grouped.sums, sizes, resamples, source);
        (Some(grouped.standard_error(difference, n)), means)
    };
    let tail = (1.0 - how.confidence) / 2.0;
    let ends = match how.interval {
        Interval::Bca if means.len() > 1 => {
            let total: f64 = grouped.sums.iter().sum();
            let without = grouped.sums.iter().zip(&grouped.sizes).map(|(sum, size)| (total - sum) / (n - size));
            bca_quantiles(&means, difference, &without.collect::<Vec<_>>(), tail)
        }
        _ => None,
    };
    let (low, high) = ends.unwrap_or((tail, 1.0 - tail));
    Ok(Some(OverItems {
        items,
        clusters: k,
        difference,
        standard_error,
        interval: (!means.is_empty()).then(|| (quantile(&means, low), quantile(&means, high))),
        p: flips.p,
        exhaustive: flips.exhaustive,
        improved,
        regressed,
        unchanged: items - improved - regressed,
        means,
    }))
}

impl OverItems {
    /// The p value of equivalence: that the difference lies within `±margin`, by two one-sided bootstrap tests. It is
    /// below 5 % where the 90 % percentile interval lies inside. `None` of a single cluster.
    pub fn equivalence(&self, margin: f64) -> Option<f64> {
        if self.means.is_empty() {
            return None;
        }
        if self.standard_error == Some(0.0) {
            return Some(f64::from(u8::from(self.difference.abs() >= margin)));
        }
        let below = self.means.partition_point(|mean| *mean <= -margin);
        let above = self.means.len() - self.means.partition_point(|mean| *mean < margin);
        Some((below.max(above) + 1) as f64 / (self.means.len() + 1) as f64)
    }

    /// The smallest effect that this many items would have shown with the power that is asked for, by the normal
    /// distribution; `None` of a single cluster.
    pub fn smallest_effect(&self, power: &Power) -> Option<f64> {
        self.standard_error.map(|error| error * normal_effect(power))
    }

    /// How many items like these would show the difference that was seen; `None` where it is 0, of a single cluster, or
    /// above [`MOST_ITEMS`].
    pub fn items_needed(&self, power: &Power) -> Option<usize> {
        let ratio = self.smallest_effect(power)? / self.difference.abs();
        let needed = (self.items as f64 * ratio * ratio).ceil();
        (needed <= MOST_ITEMS as f64).then(|| (needed as usize).max(2))
    }
}

/// How many standard errors an effect must have to be seen in most samples.
fn normal_effect(power: &Power) -> f64 {
    normal::upper_quantile(power.alpha / 2.0) + normal::quantile(power.power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(differences: &[f64], clusters: Option<&[usize]>) -> OverItems {
        over_items(differences, clusters, &Bootstrap::default(), "a test").unwrap().unwrap()
    }

    #[test]
    fn pairing_sees_a_small_steady_gain_that_the_spread_hides() {
        let gains: Vec<f64> = (0..200).map(|i| if i % 3 == 0 { 0.05 } else { 0.01 }).collect();
        let found = ask(&gains, None);
        assert!(found.interval.unwrap().0 > 0.0 && found.p < 0.001, "{found:?}");
        assert_eq!((found.improved, found.regressed, found.unchanged), (200, 0, 0));
        assert!(found.equivalence(0.03).unwrap() < 0.01 && found.equivalence(0.02).unwrap() > 0.05);
    }

    #[test]
    fn items_of_one_cluster_are_one_witness() {
        // Sixty clusters of ten items each, which always agree: no more is known than from sixty items.
        let one = |cluster: usize| if cluster % 5 < 2 { 0.3 } else { -0.15 };
        let differences: Vec<f64> = (0..600).map(|item| one(item / 10)).collect();
        let clusters: Vec<usize> = (0..600).map(|item| 7 * (item / 10)).collect();
        let (naive, clustered) = (ask(&differences, None), ask(&differences, Some(&clusters)));
        let (few, power) = (ask(&(0..60).map(one).collect::<Vec<_>>(), None), Power::default());
        assert_eq!((clustered.items, clustered.clusters), (600, 60));
        assert!((clustered.standard_error.unwrap() - few.standard_error.unwrap()).abs() < 1e-12);
        assert!(naive.standard_error.unwrap() < 0.4 * clustered.standard_error.unwrap());
        assert!(naive.p < 0.01 && clustered.p > 0.05 && (clustered.p - few.p).abs() < 0.02, "{}", clustered.p);
        let (ends, other) = (clustered.interval.unwrap(), few.interval.unwrap());
        assert!((ends.0 - other.0).abs() < 0.005 && (ends.1 - other.1).abs() < 0.005, "{ends:?} {other:?}");
        let (of_items, of_few) = (clustered.items_needed(&power).unwrap(), few.items_needed(&power).unwrap());
        assert!(of_items.abs_diff(10 * of_few) <= 10, "{of_items} {of_few}");
    }

    #[test]
    fn clusters_that_differ_in_size_weigh_by_their_items() {
        let found = ask(&[1.0, 0.0, 0.0, 0.0, 1.0, 0.5], Some(&[1, 2, 2, 2, 3, 3]));
        assert!((found.difference - 2.5 / 6.0).abs() < 1e-15 && found.clusters == 3, "{found:?}");
        // Of the ratio: residuals of 1 − m, 0 − 3 m and 1.5 − 2 m.
        let m: f64 = 2.5 / 6.0;
        let expect = (1.5 * ((1.0 - m).powi(2) + 9.0 * m * m + (1.5 - 2.0 * m).powi(2))).sqrt() / 6.0;
        assert!((found.standard_error.unwrap() - expect).abs() < 1e-15);
    }

    #[test]
    fn a_mean_of_clusters_has_the_error_of_clusters() {
        let values = [1.0, 0.0, 0.0, 0.0, 1.0, 0.5];
        let of = |clusters: &[usize]| clustered_error(&values, clusters).unwrap();
        assert_eq!(of(&[1, 2, 2, 2, 3, 3]), ask(&values, Some(&[1, 2, 2, 2, 3, 3])).standard_error);
        // Each by itself: the usual one.
        assert_eq!(of(&[0, 1, 2, 3, 4, 5]), ask(&values, None).standard_error);
        assert_eq!((of(&[7; 6]), clustered_error(&[], &[])), (None, Ok(None)));
        assert!(clustered_error(&values, &[1]).is_err() && clustered_error(&[f64::NAN], &[1]).is_err());
    }

    #[test]
    fn a_name_and_a_seed_are_one_answer_and_others_another() {
        let differences: Vec<f64> = (0..50).map(|i| f64::from(i * 7 % 11) / 10.0 - 0.45).collect();
        let ask = |seed, name| {
            over_items(&differences, None, &Bootstrap { seed, ..Bootstrap::default() }, name).unwrap().unwrap()
        };
        assert_eq!(ask(1, "a"), ask(1, "a"));
        assert_ne!(ask(1, "a").interval, ask(2, "a").interval);
        assert_ne!(ask(1, "a").interval, ask(1, "b").interval);
    }

    #[test]
    fn edges_are_answers() {
        let power = Power::default();
        assert_eq!(over_items(&[], None, &Bootstrap::default(), ""), Ok(None));
        let one = ask(&[0.5], None);
        assert_eq!((one.p, one.interval, one.standard_error, one.equivalence(1.0)), (1.0, None, None, None));
        assert_eq!((one.smallest_effect(&power), one.items_needed(&power)), (None, None));
        let none = ask(&[0.0; 30], None);
        assert_eq!((none.p, none.interval, none.unchanged), (1.0, Some((0.0, 0.0)), 30));
        assert_eq!((none.equivalence(0.01), none.items_needed(&power)), (Some(0.0), None));
        let same = ask(&[0.1; 30], None);
        assert_eq!((same.interval, same.standard_error), (Some((0.1, 0.1)), Some(0.0)));
        assert!(same.p < 0.001 && same.equivalence(0.05) == Some(1.0) && same.items_needed(&power) == Some(2));
        let ask = |differences: &[f64], clusters| over_items(differences, clusters, &Bootstrap::default(), "");
        assert!(ask(&[0.1, f64::NAN], None).is_err() && ask(&[0.1], Some(&[][..])).is_err());
        assert!(over_items(&[0.1], None, &Bootstrap { confidence: 1.0, ..Bootstrap::default() }, "").is_err());
    }
}
