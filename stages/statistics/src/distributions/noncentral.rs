//! The non-central t distribution, as far as power asks for it: the probability that a t statistic is far from 0 on
//! either side.

use super::{
    beta::{first_term, incomplete_beta},
    stirling::poisson,
    student::shares,
};

/// Weights below this are left out.
const NOTHING: f64 = 1e-18;

/// The probability that a t statistic with `df` degrees of freedom and non-centrality `delta` lies outside `±t`.
///
/// Its square is a non-central F with 1 and `df` degrees of freedom: a mixture of beta distributions with Poisson
/// weights, summed from its heaviest term to both sides (Benton and Krishnamoorthy 2003, "Computing discrete mixtures
/// of continuous distributions"), so that nothing underflows at large `delta`. Good to 1e-13.
pub fn outside(t: f64, df: f64, delta: f64) -> f64 {
    if t.is_nan() || delta.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    // A spread is never estimated at nine times itself; with less than one degree, not at nine over its root.
    if t == 0.0 || delta.abs() > 9.0 * t.abs() / df.min(1.0).sqrt() + 40.0 {
        return 1.0;
    }
    let (mean, b) = (delta * delta / 2.0, df / 2.0);
    let (x, y) = shares(t, df);
    let heaviest = mean.floor();
    let (weight, a) = (poisson(heaviest, mean), heaviest + 0.5);
    let (term, upper) = (first_term(a, b, x, y), incomplete_beta(a, b, x, y).1);
    let mut sum = 0.0;
    let (mut j, mut w, mut tail, mut loss) = (heaviest, weight, upper, term);
    while w > NOTHING {
        sum += w * tail;
        let a = j + 0.5;
        tail += loss;
        loss *= x * (a + b) / (a + 1.0);
        j += 1.0;
        w *= mean / j;
    }
    (j, w, tail, loss) = (heaviest, weight, upper, term);
    while j > 0.0 && w > NOTHING {
        w *= j / mean;
        j -= 1.0;
        let a = j + 0.5;
        loss *= (a + 1.0) / (x * (a + b));
        tail -= loss;
        sum += w * tail.max(0.0);
    }
    sum.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributions::student;

    #[test]
    fn without_an_effect_it_is_the_two_sided_tail() {
        for df in [0.7, 1.0, 4.0, 659.0, 1e6] {
            for t in [0.1, 2.0, 12.7] {
                let (found, expect) = (outside(t, df, 0.0), student::two_sided(t, df));
                assert!((found - expect).abs() < 1e-13, "df {df}, t {t}: {found} {expect}");
            }
        }
    }

    #[test]
    fn it_grows_to_one_with_the_effect_and_not_beyond() {
        for df in [1.0, 2.5, 9.0, 1e5] {
            let mut before = 0.0;
            for step in 0..2000 {
                let now = outside(2.5, df, f64::from(step) * 0.05);
                assert!(now >= before - 1e-13 && now <= 1.0, "df {df}, step {step}: {before} {now}");
                before = now;
            }
            assert!(before > 1.0 - 1e-12, "df {df}: {before}");
        }
        assert!(outside(2.0, -1.0, 1.0).is_nan() && outside(f64::NAN, 1.0, 1.0).is_nan());
        assert_eq!(outside(0.0, 3.0, 1.0), 1.0);
    }
}
