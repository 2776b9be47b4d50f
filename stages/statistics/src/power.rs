//! What a sample could have shown, and how large one would have to be.

use crate::{
    distributions::{noncentral, normal, student},
    invalid::{Invalid, share},
};

/// More draws than this are as good as never.
pub const MOST_DRAWS: usize = 10_000;
/// More items than this are as good as never.
pub const MOST_ITEMS: usize = 100_000_000;

/// How often a test may err in either way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// How often a difference is seen that is none, on both sides together.
    pub alpha: f64,
    /// How often one is seen that there is.
    pub power: f64,
}

impl Default for Power {
    /// 80 % at two-sided 5 %.
    fn default() -> Self {
        Self { alpha: 0.05, power: 0.8 }
    }
}

impl Power {
    /// Both between 0 and 1, and the power above `alpha`, which even no effect has.
    ///
    /// # Errors
    /// They are not.
    pub fn new(alpha: f64, power: f64) -> Result<Self, Invalid> {
        share("alpha", alpha)?;
        share("the power", power)?;
        if power <= alpha {
            Err(Invalid::Share { what: "the power above alpha", value: power })
        } else {
            Ok(Self { alpha, power })
        }
    }

    /// The probability that a two-sided t test sees an effect of `delta` standard errors (true ones), exactly.
    pub fn of_t(&self, df: f64, delta: f64) -> f64 {
        noncentral::outside(student::upper_quantile(self.alpha / 2.0, df), df, delta)
    }

    /// How many standard errors an effect must have for a t test to see it with this power; infinite with a fraction of
    /// a degree of freedom, where `t` itself goes beyond a hundred thousand.
    pub fn effect_of_t(&self, df: f64) -> f64 {
        let t = student::upper_quantile(self.alpha / 2.0, df);
        if t > 1e5 {
            return f64::INFINITY;
        }
        let missing = |delta: f64| noncentral::outside(t, df, delta) - self.power;
        let (mut low, mut high) = (0.0, t + normal::quantile(self.power).max(1.0));
        while missing(high) < 0.0 {
            (low, high) = (high, 2.0 * high);
        }
        // Regula falsi, with the end that stays counted at half (Illinois).
        let (mut at_low, mut at_high) = (missing(low), missing(high));
        for _ in 0..100 {
            let delta = low + (high - low) * at_low / (at_low - at_high);
            let here = missing(delta);
            if here.abs() < 1e-12 || high - low < 1e-12 * high {
                return delta;
            }
            if here < 0.0 {
                (low, at_low) = (delta, here);
                at_high /= 2.0;
            } else {
                (high, at_high) = (delta, here);
                at_low /= 2.0;
            }
        }
        low.midpoint(high)
    }

    /// The fewest draws with which a paired t test sees a difference with this power, where the differences of draws
    /// have a standard deviation of `sd`; `None` where the difference is 0, or above [`MOST_DRAWS`].
    ///
    /// A difference that was seen in few draws is a rough guess at the true one, and so is this.
    pub fn draws_needed(&self, difference: f64, sd: f64) -> Option<usize> {
        let effect = difference.abs() / sd;
        if difference == 0.0 || effect.is_nan() {
            return None;
        }
        // Were the spread known, fewer would do: from there upwards.
        let known = ((normal::upper_quantile(self.alpha / 2.0) + normal::quantile(self.power)) / effect).powi(2);
        if known > MOST_DRAWS as f64 {
            return None;
        }
        let is_enough = |n: &usize| self.of_t((n - 1) as f64, effect * (*n as f64).sqrt()) >= self.power;
        ((known.floor() as usize).max(2)..=MOST_DRAWS).find(is_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_effect_has_the_power_asked_for() {
        for df in [1.0, 2.0, 3.4, 9.0, 659.0, 1e6] {
            for power in [Power::default(), Power { alpha: 0.01, power: 0.95 }, Power { alpha: 0.05, power: 0.06 }] {
                let effect = power.effect_of_t(df);
                assert!((power.of_t(df, effect) - power.power).abs() < 1e-11, "{df} {power:?}: {effect}");
            }
        }
        assert_eq!(Power::default().effect_of_t(0.1), f64::INFINITY);
        assert!(Power::default().effect_of_t(0.5).is_finite() && Power::default().effect_of_t(f64::NAN).is_nan());
        let normal = Power::default().effect_of_t(1e6);
        assert!((normal - 2.801_585).abs() < 1e-4, "{normal}");
    }

    #[test]
    fn one_draw_fewer_would_not_do() {
        let power = Power::default();
        for effect in [0.05, 0.3, 1.0, 2.0, 5.0] {
            let n = power.draws_needed(-effect, 1.0).unwrap();
            let at = |n: usize| power.of_t(n as f64 - 1.0, effect * (n as f64).sqrt());
            assert!(at(n) >= 0.8 && (n == 2 || at(n - 1) < 0.8), "{effect}: {n}");
        }
    }

    #[test]
    fn no_difference_and_no_spread_are_answered() {
        let power = Power::default();
        assert_eq!((power.draws_needed(0.0, 1.0), power.draws_needed(0.0, 0.0)), (None, None));
        assert_eq!((power.draws_needed(1e-3, 1.0), power.draws_needed(1.0, 0.0)), (None, Some(2)));
        assert_eq!(power.draws_needed(f64::NAN, 1.0), None);
        assert!(Power::new(0.05, 0.04).is_err() && Power::new(0.0, 0.8).is_err() && Power::new(0.05, 0.8).is_ok());
    }
}
