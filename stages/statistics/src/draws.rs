//! Draws as the sample: is this choice of the method better?

use std::fmt;

use crate::{
    invalid::{Invalid, numbers, share},
    mixed::mixed,
    sample::Moments,
    t_test::{Method, TTest},
};

/// What one draw says: the mean score of each arm that it has, over the items that both have a score for if it has
/// both.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DrawMeans {
    /// Mean of the arm's scores.
    pub arm: Option<f64>,
    /// Mean of the baseline's.
    pub baseline: Option<f64>,
    /// How many items they are of.
    pub items: usize,
}

/// Why a question over draws was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAsked {
    /// An arm has no draw at all.
    NoDraws,
    /// There is one draw to ask, or an arm has no other.
    OneDraw,
    /// All draws have the very same difference: they are one draw, several times.
    NoSpread,
    /// A factor with a single level has no trend.
    OneLevel,
    /// There are fewer than two items that all draws have.
    FewItems,
}

impl fmt::Display for NotAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDraws => "no draws",
            Self::OneDraw => "one draw",
            Self::NoSpread => "draws do not differ",
            Self::OneLevel => "one level",
            Self::FewItems => "too few items",
        })
    }
}

/// What draws say.
#[derive(Debug, Clone, PartialEq)]
pub struct OverDraws {
    /// Draws that have both arms.
    pub paired: usize,
    /// Draws that have the arm alone.
    pub only_arm: usize,
    /// Draws that have the baseline alone.
    pub only_baseline: usize,
    /// Fewest and most items of a draw. Where these differ, a draw still counts as one: means are means of draws'
    /// means.
    pub items: (usize, usize),
    /// Mean over the arm's draws.
    pub mean_arm: Option<f64>,
    /// Mean over the baseline's.
    pub mean_baseline: Option<f64>,
    /// The difference, which one draw has, too: of draws that have both arms, if there are any, unless a mixed model
    /// made use of the others.
    pub difference: Option<f64>,
    /// The test, or why there is none.
    pub test: Result<TTest, NotAsked>,
    /// The test of those draws alone that have both arms: the same, unless a draw lacks one. It is exact, while a mixed
    /// model of few draws, whose level varies less than the difference does, sees what is not there in up to 8 % of
    /// studies at a nominal 5 %.
    pub complete: Result<TTest, NotAsked>,
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Asks draws for the difference of two arms.
///
/// With both arms in every draw that is a t test of the draws' differences. A draw that lacks one is used, too, by a
/// mixed model in which draws are random; with no more than one in common, arms are
/// compared as independent samples.
///
/// # Errors
/// Means that are no numbers, or a confidence that is none.
pub fn over_draws(draws: &[DrawMeans], confidence: f64) -> Result<OverDraws, Invalid> {
    share("the confidence", confidence)?;
    let (mut paired, mut only_arm, mut only_baseline) = (Vec::new(), Vec::new(), Vec::new());
    let mut items = (usize::MAX, 0);
    for (place, draw) in draws.iter().enumerate() {
        if let Some(value) = [draw.arm, draw.baseline].into_iter().flatten().find(|mean| !mean.is_finite()) {
            return Err(Invalid::NotANumber { what: "mean of draw", place, value });
        }
        match (draw.arm, draw.baseline) {
            (Some(arm), Some(baseline)) => paired.push((arm, baseline)),
            (Some(arm), None) => only_arm.push(arm),
            (None, Some(baseline)) => only_baseline.push(baseline),
            (None, None) => continue,
        }
        items = (items.0.min(draw.items), items.1.max(draw.items));
    }
    let of_arm: Vec<f64> = paired.iter().map(|pair| pair.0).chain(only_arm.iter().copied()).collect();
    let of_baseline: Vec<f64> = paired.iter().map(|pair| pair.1).chain(only_baseline.iter().copied()).collect();
    let differences: Vec<f64> = paired.iter().map(|(arm, baseline)| arm - baseline).collect();
    let scale = of_arm.iter().chain(&of_baseline).fold(0.0_f64, |largest, mean| largest.max(mean.abs()));
    let test = if of_arm.is_empty() || of_baseline.is_empty() {
        Err(NotAsked::NoDraws)
    } else if only_arm.is_empty() && only_baseline.is_empty() {
        one_sample(Moments::new(&differences, scale), confidence)
    } else if paired.len() < 2 {
        // One draw with both arms does not tell the spread of a difference from that of draws (the likelihood of the
        // mixed model has no maximum). As independent samples, arms are compared with too much caution, if anything.
        welch(&of_arm, &of_baseline, confidence)
    } else {
        unbalanced(&paired, &only_arm, &only_baseline, Moments::new(&differences, scale), confidence)
    };
    let complete = match differences.as_slice() {
        [] => Err(NotAsked::NoDraws),
        _ => one_sample(Moments::new(&differences, scale), confidence),
    };
    let apart = || Some(mean(&of_arm)? - mean(&of_baseline)?);
    Ok(OverDraws {
        paired: paired.len(),
        only_arm: only_arm.len(),
        only_baseline: only_baseline.len(),
        items: if items.0 > items.1 { (0, 0) } else { items },
        mean_arm: mean(&of_arm),
        mean_baseline: mean(&of_baseline),
        difference: test.ok().map(|test| test.difference).or_else(|| mean(&differences)).or_else(apart),
        test,
        complete,
    })
}

/// Asks draws that each have one difference already: a contrast of several arms, or the slope of a trend.
///
/// # Errors
/// Differences that are no numbers, or a confidence that is none.
pub fn over_differences(differences: &[f64], confidence: f64) -> Result<Result<TTest, NotAsked>, Invalid> {
    // They are made of scores between 0 and 1, which is how far rounding may go.
    over_scaled(differences, 1.0, confidence)
}

/// The same of differences that were computed from numbers as large as `scale`.
pub(crate) fn over_scaled(
    differences: &[f64],
    scale: f64,
    confidence: f64,
) -> Result<Result<TTest, NotAsked>, Invalid> {
    share("the confidence", confidence)?;
    numbers("difference of draw", differences)?;
    Ok(if differences.is_empty() {
        Err(NotAsked::NoDraws)
    } else {
        one_sample(Moments::new(differences, scale), confidence)
    })
}

fn one_sample(of: Moments, confidence: f64) -> Result<TTest, NotAsked> {
    if of.n == 1 {
        return Err(NotAsked::OneDraw);
    }
    if of.sd == 0.0 && of.mean != 0.0 {
        return Err(NotAsked::NoSpread);
    }
    let n = of.n as f64;
    Ok(TTest::new((Method::Paired, of.n), (of.mean, of.sd / n.sqrt()), of.sd, n - 1.0, confidence))
}

/// Some draws have both arms, some one.
fn unbalanced(
    paired: &[(f64, f64)],
    only_arm: &[f64],
    only_baseline: &[f64],
    differences: Moments,
    confidence: f64,
) -> Result<TTest, NotAsked> {
    if differences.sd == 0.0 {
        // Draws with both arms leave nothing open, and what the others say is nothing beside that.
        return one_sample(differences, confidence);
    }
    let fit = mixed(paired, only_arm, only_baseline);
    if fit.standard_error <= 1e-13 {
        return Err(NotAsked::NoSpread);
    }
    Ok(TTest::new((Method::Mixed, paired.len()), (fit.difference, fit.standard_error), fit.sd, fit.df, confidence))
}

/// At most one draw has both arms (Welch 1947).
fn welch(arm: &[f64], baseline: &[f64], confidence: f64) -> Result<TTest, NotAsked> {
    if arm.len() < 2 || baseline.len() < 2 {
        return Err(NotAsked::OneDraw);
    }
    let (a, b) = (Moments::new(arm, 0.0), Moments::new(baseline, 0.0));
    let (of_a, of_b) = (a.sd * a.sd / a.n as f64, b.sd * b.sd / b.n as f64);
    let variance = of_a + of_b;
    if variance == 0.0 {
        return Err(NotAsked::NoSpread);
    }
    let df = variance * variance / (of_a * of_a / (a.n - 1) as f64 + of_b * of_b / (b.n - 1) as f64);
    let draws = a.n.min(b.n);
    Ok(TTest::new((Method::Welch, draws), (a.mean - b.mean, variance.sqrt()), a.sd.hypot(b.sd), df, confidence))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(pairs: &[(f64, f64)]) -> Vec<DrawMeans> {
        pairs.iter().map(|&(arm, baseline)| DrawMeans { arm: Some(arm), baseline: Some(baseline), items: 10 }).collect()
    }

    fn alone(arm: Option<f64>, baseline: Option<f64>) -> DrawMeans {
        DrawMeans { arm, baseline, items: 9 }
    }

    #[test]
    fn this_projects_three_draws_show_nothing_and_eight_to_ten_would() {
        let found = over_draws(&both(&[(0.015, 0.0), (0.016, 0.0), (0.048, 0.0)]), 0.95).unwrap();
        let test = found.test.unwrap();
        assert!(test.is_weak() && test.p > 0.1 && test.low < 0.0 && test.df == 2.0, "{test:?}");
        assert_eq!(found.difference, Some(test.difference));
        assert!((7..=10).contains(&test.draws_needed(&crate::Power::default()).unwrap()), "{test:?}");
    }

    #[test]
    fn what_cannot_be_asked_says_why_and_still_has_its_means() {
        let ask = |draws: &[DrawMeans]| over_draws(draws, 0.95).unwrap();
        let none = ask(&[]);
        assert_eq!((none.test, none.difference, none.items), (Err(NotAsked::NoDraws), None, (0, 0)));
        assert_eq!(ask(&[alone(Some(0.1), None), alone(None, None)]).test, Err(NotAsked::NoDraws));
        let one = ask(&both(&[(0.5, 0.25)]));
        assert_eq!((one.test, one.difference, one.mean_arm), (Err(NotAsked::OneDraw), Some(0.25), Some(0.5)));
        let mut draws = both(&[(0.5, 0.25)]);
        draws.push(alone(Some(0.6), None));
        assert_eq!(ask(&draws).test, Err(NotAsked::OneDraw));
        assert_eq!(ask(&[alone(Some(0.6), None), alone(None, Some(0.5))]).test, Err(NotAsked::OneDraw));
        assert!(over_draws(&[alone(Some(f64::NAN), None)], 0.95).is_err() && over_draws(&[], 1.0).is_err());
    }

    #[test]
    fn draws_without_spread_are_no_sample_unless_there_is_no_difference_either() {
        let same = over_draws(&both(&[(0.3, 0.1), (0.5, 0.3), (0.4, 0.2)]), 0.95).unwrap();
        assert_eq!(same.test, Err(NotAsked::NoSpread));
        let none = over_draws(&both(&[(0.3, 0.3), (0.5, 0.5)]), 0.95).unwrap().test.unwrap();
        assert_eq!((none.p, none.low, none.high, none.equivalence(0.01)), (1.0, 0.0, 0.0, 0.0));
        let mut draws = both(&[(0.3, 0.1), (0.5, 0.3)]);
        draws.push(alone(Some(0.9), None));
        assert_eq!(over_draws(&draws, 0.95).unwrap().test, Err(NotAsked::NoSpread));
    }

    #[test]
    fn a_draw_that_lacks_an_arm_is_used_and_counted() {
        let mut draws = both(&[(0.52, 0.50), (0.55, 0.50), (0.61, 0.57), (0.48, 0.47)]);
        let balanced = over_draws(&draws, 0.95).unwrap();
        draws.push(alone(Some(0.6), None));
        let found = over_draws(&draws, 0.95).unwrap();
        assert_eq!((found.paired, found.only_arm, found.only_baseline, found.items), (4, 1, 0, (9, 10)));
        assert_eq!((found.complete, balanced.complete), (balanced.test, balanced.test));
        let (before, after) = (balanced.test.unwrap(), found.test.unwrap());
        assert_eq!((before.method, after.method), (Method::Paired, Method::Mixed));
        assert_eq!((after.draws, after.is_weak()), (4, true));
        // Draws differ much here, so that the fifth one says little of the difference.
        assert!((before.difference - after.difference).abs() < 0.005 && after.df > 2.5 && after.df < 7.0, "{after:?}");
    }
}
