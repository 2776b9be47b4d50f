//! What an answer says in words.

use std::fmt;

use crate::NotAsked;

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// More is better.
    #[default]
    Higher,
    /// Less is better.
    Lower,
}

/// What is said of an arm against the baseline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// Better.
    Better,
    /// Worse.
    Worse,
    /// The difference lies within the margin, on either side of 0.
    Same {
        /// The margin.
        margin: f64,
    },
    /// Neither a difference nor its absence.
    NotShown,
    /// There was nothing to ask.
    NotAsked(NotAsked),
}

impl Verdict {
    /// The verdict on a difference with its p value (after correction for other tests) and, where a margin is given,
    /// that margin with the p value of equivalence. A difference that is shown to be within the margin is `Same`, even
    /// if it is also shown not to be 0: that is what a margin says.
    pub fn new(difference: f64, p: f64, alpha: f64, equivalence: Option<(f64, f64)>, direction: Direction) -> Self {
        match equivalence {
            Some((margin, p)) if p < alpha => Self::Same { margin },
            _ if p < alpha && (difference > 0.0) == (direction == Direction::Higher) => Self::Better,
            _ if p < alpha => Self::Worse,
            _ => Self::NotShown,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Better => f.write_str("better"),
            Self::Worse => f.write_str("worse"),
            Self::Same { margin } => write!(f, "same within ±{margin}"),
            Self::NotShown => f.write_str("not shown"),
            Self::NotAsked(reason) => write!(f, "not asked: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DrawMeans, over_draws};

    #[test]
    fn words_follow_from_numbers() {
        let say = |difference, p, equivalence, direction| {
            Verdict::new(difference, p, 0.05, equivalence, direction).to_string()
        };
        assert_eq!(say(0.1, 0.01, None, Direction::Higher), "better");
        assert_eq!(say(0.1, 0.01, None, Direction::Lower), "worse");
        assert_eq!(say(-0.1, 0.01, Some((0.02, 0.9)), Direction::Higher), "worse");
        assert_eq!(say(0.001, 0.01, Some((0.02, 0.01)), Direction::Higher), "same within ±0.02");
        assert_eq!(say(0.1, 0.05, Some((0.02, 0.4)), Direction::Higher), "not shown");
        assert_eq!(say(0.1, f64::NAN, Some((0.02, f64::NAN)), Direction::Higher), "not shown");
    }

    #[test]
    fn few_draws_are_weak_and_one_is_not_asked() {
        let draws = |arms: &[f64]| {
            let draws: Vec<DrawMeans> =
                arms.iter().map(|arm| DrawMeans { arm: Some(*arm), baseline: Some(0.1), items: 3 }).collect();
            over_draws(&draws, 0.95).unwrap()
        };
        let say = |arms: &[f64]| {
            let test = match draws(arms).test {
                Ok(test) => test,
                Err(reason) => return Verdict::NotAsked(reason).to_string(),
            };
            let verdict = Verdict::new(test.difference, test.p, 0.05, None, Direction::Higher);
            format!("{verdict}{}", if test.is_weak() { " (weak)" } else { "" })
        };
        assert_eq!(say(&[0.3]), "not asked: one draw");
        assert_eq!(say(&[0.30, 0.31, 0.32, 0.29]), "better (weak)");
        assert_eq!(say(&[0.30, 0.31, 0.32, 0.29, 0.3]), "better");
        assert_eq!(say(&[0.30, 0.01]), "not shown (weak)");
        assert_eq!(say(&[0.3, 0.3]), "not asked: draws do not differ");
    }
}
