//! A t test of a difference, whatever its standard error and degrees of freedom come from.

use crate::{distributions::student, equivalence::two_one_sided, power::Power};

/// Where standard error and degrees of freedom come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Every draw has both arms: a t test of their differences.
    Paired,
    /// Some draws lack an arm: a mixed model with random draws, fitted by REML, with Satterthwaite's degrees of
    /// freedom.
    Mixed,
    /// No more than one draw has both arms: Welch's t test.
    Welch,
}

/// A difference and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// Where the rest comes from.
    pub method: Method,
    /// How many draws it rests on: those that have both arms; of Welch's test, those of the arm that has fewer.
    pub draws: usize,
    /// The difference that is tested; of a mixed model, draws that have both arms weigh more in it.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Degrees of freedom; fractions where Satterthwaite estimates them.
    pub df: f64,
    /// The difference in standard errors.
    pub t: f64,
    /// Two-sided.
    pub p: f64,
    /// Of the interval.
    pub confidence: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Standard deviation of a draw's difference.
    pub sd: f64,
}

impl TTest {
    /// The test of `difference`. Without any spread there is only one that can be tested: none.
    pub(crate) fn new(
        (method, draws): (Method, usize),
        (difference, standard_error): (f64, f64),
        sd: f64,
        df: f64,
        confidence: f64,
    ) -> Self {
        let t = if difference == 0.0 { 0.0 } else { difference / standard_error };
        let reach = student::upper_quantile((1.0 - confidence) / 2.0, df) * standard_error;
        Self {
            method,
            draws,
            difference,
            standard_error,
            df,
            t,
            p: student::two_sided(t, df),
            confidence,
            low: difference - reach,
            high: difference + reach,
            sd,
        }
    }

    /// Whether it rests on fewer than five draws: such a test sees only the largest effects, and its assumptions cannot
    /// be looked at.
    pub fn is_weak(&self) -> bool {
        self.draws < 5
    }

    /// The p value of equivalence: that the difference lies within `±margin`, by two one-sided t tests.
    pub fn equivalence(&self, margin: f64) -> f64 {
        two_one_sided(self.difference, self.standard_error, self.df, margin)
    }

    /// The smallest effect that this many draws would have shown with the power that is asked for.
    pub fn smallest_effect(&self, power: &Power) -> f64 {
        power.effect_of_t(self.df) * self.standard_error
    }

    /// How many draws, each with both arms, would show the difference that was seen; `None` where it is 0, or above
    /// [`MOST_DRAWS`](crate::MOST_DRAWS).
    pub fn draws_needed(&self, power: &Power) -> Option<usize> {
        power.draws_needed(self.difference, self.sd)
    }
}
