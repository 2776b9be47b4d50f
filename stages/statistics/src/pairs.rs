//! Two arms on the same items.

use crate::invalid::{Invalid, same_length};

/// The items that both arms have a score for, and how many were left out, and why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pairs {
    /// Scores of the arm.
    pub arm: Vec<f64>,
    /// Scores of the baseline, of the same items in the same order.
    pub baseline: Vec<f64>,
    /// For each pair, the place of its item in the lists that were given.
    pub places: Vec<usize>,
    /// Items that the arm alone has a score for.
    pub only_arm: usize,
    /// Items that the baseline alone has a score for.
    pub only_baseline: usize,
    /// Items that neither has a score for.
    pub neither: usize,
    /// Items of which a score is NaN or infinite.
    pub not_a_number: usize,
}

impl Pairs {
    /// Pairs two lists of scores that are in the same order of items.
    ///
    /// # Errors
    /// They are not of one length.
    pub fn new(arm: &[Option<f64>], baseline: &[Option<f64>]) -> Result<Self, Invalid> {
        same_length(("scores of the arm", arm.len()), ("scores of the baseline", baseline.len()))?;
        let mut pairs = Self::default();
        for (place, (arm, baseline)) in arm.iter().zip(baseline).enumerate() {
            if [arm, baseline].into_iter().flatten().any(|score| !score.is_finite()) {
                pairs.not_a_number += 1;
                continue;
            }
            match (*arm, *baseline) {
                (Some(arm), Some(baseline)) => {
                    pairs.arm.push(arm);
                    pairs.baseline.push(baseline);
                    pairs.places.push(place);
                }
                (Some(_), None) => pairs.only_arm += 1,
                (None, Some(_)) => pairs.only_baseline += 1,
                (None, None) => pairs.neither += 1,
            }
        }
        Ok(pairs)
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.arm.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.arm.is_empty()
    }

    /// The difference of each pair, arm less baseline.
    pub fn differences(&self) -> Vec<f64> {
        self.arm.iter().zip(&self.baseline).map(|(arm, baseline)| arm - baseline).collect()
    }

    /// Means of the arm and of the baseline over the pairs; `None` without any.
    pub fn means(&self) -> Option<(f64, f64)> {
        let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
        (!self.is_empty()).then(|| (mean(&self.arm), mean(&self.baseline)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_paired_is_counted() {
        let (nan, infinite) = (Some(f64::NAN), Some(f64::INFINITY));
        let arm = [Some(1.0), Some(0.5), None, None, nan, Some(1.0), None];
        let baseline = [Some(0.0), None, Some(0.5), None, Some(1.0), infinite, nan];
        let pairs = Pairs::new(&arm, &baseline).unwrap();
        assert_eq!((pairs.differences(), &pairs.places, pairs.means()), (vec![1.0], &vec![0], Some((1.0, 0.0))));
        assert_eq!((pairs.only_arm, pairs.only_baseline, pairs.neither, pairs.not_a_number), (1, 1, 1, 3));
        assert_eq!(Pairs::new(&[], &[]).unwrap().means(), None);
        let error = Pairs::new(&[None], &[]).unwrap_err().to_string();
        assert_eq!(error, "1 scores of the arm stand beside 0 scores of the baseline: give one for each");
    }
}
