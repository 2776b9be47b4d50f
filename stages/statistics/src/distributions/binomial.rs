//! The binomial distribution of fair coins, which is all that McNemar's test needs.

use super::beta::{first_term, incomplete_beta};

/// The probability of at most `k` heads in `n` tosses.
pub fn fair_cdf(k: u64, n: u64) -> f64 {
    if k >= n { 1.0 } else { incomplete_beta((n - k) as f64, k as f64 + 1.0, 0.5, 0.5).0 }
}

/// The probability of `k` heads in `n` tosses.
pub fn fair_density(k: u64, n: u64) -> f64 {
    if k > n {
        return 0.0;
    }
    if k == n {
        return 0.5_f64.powf(n as f64);
    }
    // 1 / (a B(a, b)) is C(n, k) for a = n − k and b = k + 1.
    2.0 * first_term((n - k) as f64, k as f64 + 1.0, 0.5, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tosses_are_counted() {
        let mut sum = 0.0;
        for (k, ways) in [1.0, 5.0, 10.0, 10.0, 5.0, 1.0].into_iter().enumerate() {
            sum += ways / 32.0;
            let (density, cdf) = (fair_density(k as u64, 5), fair_cdf(k as u64, 5));
            assert!((density - ways / 32.0).abs() < 1e-15 && (cdf - sum).abs() < 1e-15, "{k}: {density} {cdf}");
        }
        assert_eq!((fair_density(0, 0), fair_cdf(0, 0), fair_density(6, 5)), (1.0, 1.0, 0.0));
        assert!((fair_cdf(0, 1000) / 0.5_f64.powi(1000) - 1.0).abs() < 1e-12);
    }
}
