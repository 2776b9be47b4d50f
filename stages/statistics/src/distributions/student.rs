//! Student's t distribution, for any positive number of degrees of freedom, fractions of one included.

use std::f64::consts::PI;

use super::{
    beta::{first_term, incomplete_beta},
    quantile,
    stirling::ln_gamma,
};

/// `t² / (df + t²)` and `df / (df + t²)`, each with all its digits.
pub(super) fn shares(t: f64, df: f64) -> (f64, f64) {
    let square = t / df.sqrt() * (t / df.sqrt());
    if square > 1.0 {
        ((1.0 + square.recip()).recip(), (1.0 + square).recip())
    } else {
        (square / (1.0 + square), (1.0 + square).recip())
    }
}

/// The density at `t`.
pub fn density(t: f64, df: f64) -> f64 {
    let (taken, left) = shares(t, df);
    if taken == 0.0 {
        return (ln_gamma(df / 2.0 + 0.5) - ln_gamma(df / 2.0)).exp() / (df * PI).sqrt();
    }
    // The tail is ½ I(df/2, ½) of `left`; its derivative.
    first_term(df / 2.0, 0.5, left, taken) * df / 2.0 / t.abs()
}

/// The probability of more than `t`.
pub fn upper(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if t < 0.0 {
        return 1.0 - upper(-t, df);
    }
    if t == f64::INFINITY {
        return 0.0;
    }
    let (far, half) = (t / df.sqrt(), df / 2.0);
    if far > 1e100 {
        // Its square would overflow; all but the first term is nothing.
        let ln_beta = ln_gamma(half) + 0.5 * PI.ln() - ln_gamma(half + 0.5);
        return 0.5 * (-df * far.ln() - ln_beta).exp() / half;
    }
    let (taken, left) = shares(t, df);
    0.5 * incomplete_beta(half, 0.5, left, taken).0
}

/// The probability of at most `t`.
pub fn cdf(t: f64, df: f64) -> f64 {
    upper(-t, df)
}

/// The probability of being at least as far from 0 as `t` is.
pub fn two_sided(t: f64, df: f64) -> f64 {
    2.0 * upper(t.abs(), df)
}

/// The `t` that is exceeded with probability `p`.
pub fn upper_quantile(p: f64, df: f64) -> f64 {
    if df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    quantile::upper_quantile(p, |t| upper(t, df), |t| density(t, df))
}

/// The `t` that is not exceeded with probability `p`.
pub fn quantile(p: f64, df: f64) -> f64 {
    -upper_quantile(p, df)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_and_two_degrees_have_closed_forms() {
        for t in [1e-8_f64, 0.1, 1.0, 12.7, 1e6, 1e120, 1e250] {
            let cauchy = if t < 1.0 { 0.5 - t.atan() / PI } else { t.recip().atan() / PI };
            assert!((upper(t, 1.0) / cauchy - 1.0).abs() < 1e-13, "{t}: {} {cauchy}", upper(t, 1.0));
            assert!((density(t, 1.0) * PI * (1.0 + t * t) - 1.0).abs() < 1e-13 || t > 1e100, "{t}");
            let two = if t > 1e4 { 0.5 / t / t } else { 1.0 / (2.0 + t * t) / (1.0 + t / (2.0 + t * t).sqrt()) };
            assert!((upper(t, 2.0) / two - 1.0).abs() < 1e-9 || t > 1e100, "{t}: {} {two}", upper(t, 2.0));
        }
    }

    #[test]
    fn quantiles_invert_tails_from_one_degree_to_a_million() {
        for df in [0.3, 1.0, 1.5, 2.0, 4.7, 30.0, 659.0, 1e6] {
            for p in [0.499_999, 0.3, 0.1, 0.025, 1e-4, 1e-12, 1e-60, 1e-200] {
                let t = upper_quantile(p, df);
                if t < 1e300 {
                    assert!((upper(t, df) / p - 1.0).abs() < 1e-11, "df {df}, p {p}: {t} {}", upper(t, df));
                }
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_not_a_number() {
        assert!(upper(f64::NAN, 3.0).is_nan() && upper(1.0, 0.0).is_nan() && upper_quantile(0.1, -1.0).is_nan());
        assert_eq!((upper(f64::INFINITY, 3.0), cdf(f64::INFINITY, 3.0), two_sided(0.0, 3.0)), (0.0, 1.0, 1.0));
    }
}
