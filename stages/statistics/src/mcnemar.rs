//! McNemar's test of two arms whose answers are right or wrong.

use crate::{
    distributions::binomial::{fair_cdf, fair_density},
    invalid::{Invalid, numbers, same_length},
};

/// Whether right and wrong answers change more often in one direction than in the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Items that the baseline gets wrong and the arm right.
    pub improved: u64,
    /// Items that the arm gets wrong and the baseline right.
    pub regressed: u64,
    /// The exact two-sided p value: these are tosses of a fair coin if nothing differs. It never rejects more often
    /// than it says, and mostly less often.
    pub exact: f64,
    /// The mid-p value, which counts what was seen only half: nearer to the nominal level, and over it by little and
    /// rarely (Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data").
    pub mid_p: f64,
}

impl McNemar {
    /// The test of what changed.
    pub fn new(improved: u64, regressed: u64) -> Self {
        let (fewer, changed) = (improved.min(regressed), improved + regressed);
        let (tail, seen) = (fair_cdf(fewer, changed), fair_density(fewer, changed));
        let (exact, mid_p) = match improved == regressed {
            true if changed == 0 => (1.0, 1.0),
            true => (1.0, 1.0 - 0.5 * seen),
            false => ((2.0 * tail).min(1.0), 2.0 * tail - seen),
        };
        Self { improved, regressed, exact, mid_p }
    }
}

/// The test of paired scores; `None` unless every score is 0 or 1, or where there are none. Items must be independent:
/// of clustered ones, ask [`over_items`](crate::over_items).
///
/// # Errors
/// Lists of different length, or what is no number.
pub fn mcnemar(arm: &[f64], baseline: &[f64]) -> Result<Option<McNemar>, Invalid> {
    same_length(("scores of the arm", arm.len()), ("scores of the baseline", baseline.len()))?;
    numbers("score", arm)?;
    numbers("score", baseline)?;
    if arm.is_empty() || arm.iter().chain(baseline).any(|&score| score != 0.0 && score != 1.0) {
        return Ok(None);
    }
    let count = |right: f64| arm.iter().zip(baseline).filter(|&(&a, &b)| a == right && b != right).count() as u64;
    Ok(Some(McNemar::new(count(1.0), count(0.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_and_wrong_alone_are_counted() {
        let test = mcnemar(&[1.0, 1.0, 0.0, 1.0, 0.0], &[0.0, 1.0, 1.0, 0.0, 0.0]).unwrap().unwrap();
        assert_eq!((test.improved, test.regressed, test.exact), (2, 1, 1.0));
        assert_eq!(mcnemar(&[0.5], &[1.0]), Ok(None));
        assert_eq!(mcnemar(&[], &[]), Ok(None));
        assert!(mcnemar(&[f64::NAN], &[1.0]).is_err() && mcnemar(&[1.0], &[]).is_err());
    }

    #[test]
    fn nothing_that_changed_is_no_difference() {
        let test = McNemar::new(0, 0);
        assert_eq!((test.exact, test.mid_p), (1.0, 1.0));
        let all = McNemar::new(6, 0);
        assert!((all.exact - 2.0 / 64.0).abs() < 1e-16 && (all.mid_p - 1.0 / 64.0).abs() < 1e-16, "{all:?}");
    }
}
