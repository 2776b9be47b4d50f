//! Learning-rate schedules, as a factor of the peak rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shape of the learning rate after warmup. Names and formulas as in `transformers`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheduler {
    /// Stays at the peak.
    #[default]
    Constant,
    /// Falls in a straight line to 0 at the last step.
    Linear,
    /// Falls along half a cosine to 0 at the last step.
    Cosine,
    /// Stays at the peak, then falls in a straight line to 0 over the last `decay_ratio` of all steps. Not to be chosen
    /// by name: a kind that has it makes it of a parameter of its own.
    #[schemars(skip)]
    WarmupStableDecay {
        /// Fraction of all steps spent falling, in (0, 1].
        decay_ratio: f64,
    },
}

/// Length of the linear rise from 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmup {
    /// In optimizer steps.
    Steps(u64),
    /// As a fraction of all steps, rounded up.
    Ratio(f64),
}

impl Default for Warmup {
    fn default() -> Self {
        Self::Steps(0)
    }
}

impl Warmup {
    /// Warmup steps of a training of `total` steps.
    pub fn steps(self, total: u64) -> u64 {
        match self {
            Self::Steps(n) => n,
            Self::Ratio(ratio) => (ratio * total as f64).ceil() as u64,
        }
    }
}

/// The factor of the peak learning rate at `step` (0-based) of `total`.
pub fn factor(scheduler: Scheduler, warmup: Warmup, step: u64, total: u64) -> f64 {
    let warmup = warmup.steps(total);
    if step < warmup {
        return step as f64 / warmup.max(1) as f64;
    }
    let remaining = total.saturating_sub(step) as f64;
    let after_warmup = total.saturating_sub(warmup).max(1) as f64;
    match scheduler {
        Scheduler::Constant => 1.0,
        Scheduler::Linear => remaining / after_warmup,
        Scheduler::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * (1.0 - remaining / after_warmup)).cos()),
        Scheduler::WarmupStableDecay { decay_ratio } => (remaining / (decay_ratio * total as f64)).min(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scheduler: Scheduler, warmup: Warmup, total: u64, expect: &[(u64, f64)]) {
        for &(step, value) in expect {
            let found = factor(scheduler, warmup, step, total);
            assert!((found - value).abs() < 1e-9, "{scheduler:?} at {step}: {found}, not {value}");
        }
    }

    /// Values of `transformers.get_scheduler` 5.23 with 10 warmup steps of 110.
    #[test]
    fn agrees_with_transformers() {
        let ten = Warmup::Steps(10);
        check(Scheduler::Constant, ten, 110, &[(0, 0.0), (5, 0.5), (10, 1.0), (109, 1.0)]);
        check(Scheduler::Linear, ten, 110, &[(0, 0.0), (5, 0.5), (10, 1.0), (60, 0.5), (109, 0.01)]);
        check(Scheduler::Cosine, ten, 110, &[(5, 0.5), (10, 1.0), (35, 0.853_553_390_593_273_8), (60, 0.5)]);
    }

    #[test]
    fn warmup_ratio_rounds_up() {
        assert_eq!(Warmup::Ratio(0.03).steps(250), 8);
        check(Scheduler::Linear, Warmup::Ratio(0.0), 4, &[(0, 1.0), (3, 0.25)]);
    }

    #[test]
    fn stable_then_decay() {
        let wsd = Scheduler::WarmupStableDecay { decay_ratio: 0.6 };
        check(wsd, Warmup::Steps(2), 100, &[(1, 0.5), (2, 1.0), (40, 1.0), (70, 0.5), (99, 1.0 / 60.0)]);
    }
}
