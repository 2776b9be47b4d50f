//! The standard normal distribution.

use std::f64::consts::PI;

use super::quantile;

/// The density at `x`.
pub fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The probability of more than `x`.
pub fn upper(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - upper(-x);
    }
    if x < 2.0 {
        // Φ(x) − ½ by a series of positive terms (Abramowitz and Stegun 26.2.11).
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term > 1e-17 * sum {
            odd += 2.0;
            term *= x * x / odd;
            sum += term;
        }
        return 0.5 - density(x) * sum;
    }
    // Laplace's continued fraction of Mills' ratio (26.2.14), from its far end; 80 terms are more than enough from 2
    // on.
    density(x) / (1..=80).rev().fold(x, |below, k| x + f64::from(k) / below)
}

/// The probability of at most `x`.
pub fn cdf(x: f64) -> f64 {
    upper(-x)
}

/// The `x` that is exceeded with probability `p`.
pub fn upper_quantile(p: f64) -> f64 {
    quantile::upper_quantile(p, upper, density)
}

/// The `x` that is not exceeded with probability `p`.
pub fn quantile(p: f64) -> f64 {
    -upper_quantile(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_the_tail_meet_and_quantiles_invert_it() {
        let (below, above) = (upper(2.0 - 1e-12), upper(2.0));
        assert!((below - above - 1e-12 * density(2.0)).abs() < 1e-15, "{below} {above}");
        for x in [1e-9, 0.3, 1.0, 1.959_963_984_540_054, 2.5, 8.0, 37.0] {
            let back = upper_quantile(upper(x));
            assert!((back - x).abs() < 1e-13 * x.max(1e-2), "{x}: {back}");
            assert!((quantile(upper(x)) + back).abs() < 1e-14);
        }
        assert_eq!(
            (upper_quantile(0.5), upper_quantile(0.0), upper_quantile(1.0)),
            (0.0, f64::INFINITY, -f64::INFINITY)
        );
        assert!(upper_quantile(f64::NAN).is_nan() && upper_quantile(1.5).is_nan());
    }
}
