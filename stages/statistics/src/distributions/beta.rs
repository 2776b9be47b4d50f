//! The incomplete beta function, of which the tails of t and of the binomial are made.

use std::f64::consts::PI;

use super::stirling::{deviance, stirling_error};

/// `x^a y^b / (a B(a, b))` with `y = 1 − x`: the first term of the incomplete beta function, and how much it loses from
/// `a` to `a + 1`.
pub(super) fn first_term(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if x <= 0.0 || y <= 0.0 {
        return 0.0;
    }
    let n = a + b;
    let error = stirling_error(n) - stirling_error(a) - stirling_error(b);
    (b / (2.0 * PI * a * n)).sqrt() * (error - deviance(a, n * x) - deviance(b, n * y)).exp()
}

/// The continued fraction of `I_x(a, b)` over [`first_term`] (Didonato and Morris 1992, "Algorithm 708", `bfrac`: the
/// even part of DLMF 8.17.22), by the method of Lentz and Thompson; for `x` up to about the mean, where it converges in
/// some `sqrt(max(a, b))` steps. It sees `x` and `y` only in their difference from the mean, which keeps its digits
/// with millions of degrees of freedom, where `x` is 1 but for some millionths.
fn fraction(a: f64, b: f64, x: f64, y: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let below_mean = a * y - b * x;
    let mut c = away(a * (below_mean + 1.0) / (a + 1.0));
    let (mut value, mut d) = (c, 0.0);
    for m in 1..1_000_000 {
        let m = f64::from(m);
        let odd = a + 2.0 * m - 1.0;
        let numerator = (a + m - 1.0) * (a + b + m - 1.0) / odd * m * (b - m) / odd * x * x;
        let denominator =
            m + m * (b - m) * x / odd + (a + m) * (below_mean + 1.0 + m * (1.0 + y)) / (a + 2.0 * m + 1.0);
        d = away(denominator + numerator * d).recip();
        c = away(denominator + numerator / c);
        value *= c * d;
        if (c * d - 1.0).abs() < 3e-16 {
            break;
        }
    }
    a / value
}

/// The regularised incomplete beta function `I_x(a, b)` and `1 − I_x(a, b)`, each with all its digits; `y` is `1 − x`,
/// which whoever asks may know better than by subtraction.
pub(super) fn incomplete_beta(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    if x <= (a + 1.0) / (a + b + 2.0) {
        let lower = first_term(a, b, x, y) * fraction(a, b, x, y);
        (lower, 1.0 - lower)
    } else {
        let upper = first_term(b, a, y, x) * fraction(b, a, y, x);
        (1.0 - upper, upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_cases_are_exact() {
        for x in [1e-9, 0.1, 0.5, 0.9] {
            let y = 1.0 - x;
            let (one, two) = (incomplete_beta(1.0, 1.0, x, y), incomplete_beta(2.0, 1.0, x, y));
            assert!((one.0 / x - 1.0).abs() < 1e-14 && (one.1 / y - 1.0).abs() < 1e-14, "{x}: {one:?}");
            assert!((two.0 / (x * x) - 1.0).abs() < 1e-14, "{x}: {two:?}");
            let arcsine = 2.0 / PI * x.sqrt().asin();
            assert!((incomplete_beta(0.5, 0.5, x, y).0 / arcsine - 1.0).abs() < 1e-14, "{x}");
        }
        assert_eq!(incomplete_beta(3.0, 4.0, 0.0, 1.0), (0.0, 1.0));
        assert_eq!(incomplete_beta(3.0, 4.0, 1.0, 0.0), (1.0, 0.0));
    }
}
