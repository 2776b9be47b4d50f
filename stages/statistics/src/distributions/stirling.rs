//! What is left of the gamma function when Stirling's formula is taken away, which is what densities are made of: the
//! large parts cancel in them on paper, and must not be left to cancel in 53 bits (Loader 2000, "Fast and Accurate
//! Computation of Binomial Probabilities").

use std::f64::consts::PI;

/// `ln Γ(z + 1)` less Stirling's `(z + ½) ln z − z + ½ ln 2π`, for `z > 0`.
pub(super) fn stirling_error(z: f64) -> f64 {
    // Below 16 the series does not give all digits: Γ(z + 2) = (z + 1) Γ(z + 1) leads there.
    let (mut z, mut steps) = (z, 0.0);
    while z < 16.0 {
        steps += (z + 0.5) * z.recip().ln_1p() - 1.0;
        z += 1.0;
    }
    let s = (z * z).recip();
    let series = 1.0 / 12.0
        - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s * (1.0 / 1188.0 - s * (691.0 / 360_360.0)))));
    steps + series / z
}

/// `ln Γ(z)` for `z > 0`.
pub(super) fn ln_gamma(z: f64) -> f64 {
    stirling_error(z) + (z - 0.5) * z.ln() - z + 0.5 * (2.0 * PI).ln()
}

/// `x ln(x / m) + m − x`: how far a count `x` is from its mean `m`, without loss where they are near each other.
pub(super) fn deviance(x: f64, m: f64) -> f64 {
    if x == 0.0 {
        return m;
    }
    if (x - m).abs() >= 0.1 * (x + m) {
        return x * (x / m).ln() + m - x;
    }
    let v = (x - m) / (x + m);
    let (mut sum, mut term, mut odd) = ((x - m) * v, 2.0 * x * v, 1.0);
    loop {
        term *= v * v;
        odd += 2.0;
        let next = sum + term / odd;
        if next == sum {
            return sum;
        }
        sum = next;
    }
}

/// The probability of `k` where `mean` is expected (Poisson).
pub(super) fn poisson(k: f64, mean: f64) -> f64 {
    if k == 0.0 {
        return (-mean).exp();
    }
    (-stirling_error(k) - deviance(k, mean)).exp() / (2.0 * PI * k).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gamma_of_halves_and_factorials() {
        let mut factorial = 1.0_f64;
        for n in 1..30 {
            factorial *= f64::from(n);
            let (found, expect) = (ln_gamma(f64::from(n) + 1.0), factorial.ln());
            assert!((found - expect).abs() <= 2e-15 * expect.max(2.0), "{n}: {found} {expect}");
        }
        assert!((ln_gamma(0.5) - PI.sqrt().ln()).abs() < 1e-15);
        // Γ(x) is 1/x − γ near 0.
        assert!((ln_gamma(1e-12) - 1e12_f64.ln()).abs() < 1e-11);
    }

    #[test]
    fn deviance_is_one_function_on_both_sides_of_its_switch() {
        for x in [0.5, 3.0, 1e6] {
            for v in [0.0999, -0.0999_f64] {
                let m = x * (1.0 - v) / (1.0 + v);
                let direct = x * (x / m).ln() + m - x;
                assert!((deviance(x, m) / direct - 1.0).abs() < 1e-11, "{x} {m}");
            }
        }
        assert_eq!(deviance(7.0, 7.0), 0.0);
    }
}
