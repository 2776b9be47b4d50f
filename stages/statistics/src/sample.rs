//! Mean and spread of a sample.

/// A mean and a standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub n: usize,
    pub mean: f64,
    /// Over n − 1; 0 of a single value. What is no more than rounding is 0; so is then the mean, if that is no more,
    /// either.
    pub sd: f64,
}

impl Moments {
    /// Of at least one value; `scale` is how large the numbers are that the values were computed from, of which they
    /// have the rounding errors.
    pub(crate) fn new(values: &[f64], scale: f64) -> Self {
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = if n > 1 { (squares / (n - 1) as f64).sqrt() } else { 0.0 };
        let rounding = 1e-13 * values.iter().fold(scale, |largest, value| largest.max(value.abs()));
        if sd > rounding {
            return Self { n, mean, sd };
        }
        Self { n, mean: if mean.abs() <= rounding { 0.0 } else { mean }, sd: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_no_spread() {
        assert_eq!(Moments::new(&[0.1 + 0.2, 0.3, 0.3], 1.0).sd, 0.0);
        assert_eq!(Moments::new(&[0.1 + 0.2 - 0.3, 0.0], 1.0), Moments { n: 2, mean: 0.0, sd: 0.0 });
        assert_eq!(Moments::new(&[0.9 - 0.8, 0.6 - 0.5, 0.1], 1.0).sd, 0.0);
        assert_eq!(
            Moments::new(&[1e-10, 3e-10], 0.0),
            Moments { n: 2, mean: 2e-10, sd: 2e-10_f64.hypot(0.0) / 2.0_f64.sqrt() }
        );
        assert_eq!(Moments::new(&[4.0], 0.0), Moments { n: 1, mean: 4.0, sd: 0.0 });
    }
}
