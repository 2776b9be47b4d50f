//! A condition: `f1@question >= baseline - 0.01`.

use crate::error::CliError;

/// What must hold of a metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gate {
    /// As it was written.
    pub text: String,
    pub metric: String,
    /// `all` where none is named.
    pub task: String,
    comparison: Comparison,
    pub against: Against,
}

/// What the metric is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Against {
    Number(f64),
    /// The baseline, so much more.
    Baseline(f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Gate {
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        let wrong = |what: &str| CliError::Usage {
            message: format!("`{text}` is no condition: {what}"),
            help: Some("write for instance `f1 >= baseline - 0.01` or `exact_match@question > 0.5`".to_owned()),
        };
        let signs = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            (">", Comparison::Above),
            ("<", Comparison::Below),
        ];
        let found = signs.iter().find_map(|(sign, comparison)| Some((text.split_once(sign)?, *comparison)));
        let Some(((left, right), comparison)) = found else { return Err(wrong("it has no `>=`, `>`, `<=` or `<`")) };
        let (metric, task) = left.split_once('@').map_or((left.trim(), "all"), |(m, t)| (m.trim(), t.trim()));
        if metric.is_empty() || task.is_empty() {
            return Err(wrong("a metric stands before the sign, and its task, if one is meant, behind an `@`"));
        }
        let number = |text: &str| text.replace(' ', "").parse::<f64>().ok().filter(|number| number.is_finite());
        let right = right.trim();
        let against = match right.strip_prefix("baseline") {
            None => number(right).map(Against::Number),
            Some(rest) if rest.trim().is_empty() => Some(Against::Baseline(0.0)),
            Some(rest) if rest.trim_start().starts_with(['+', '-']) => number(rest).map(Against::Baseline),
            Some(_) => None,
        };
        let against = against.ok_or_else(|| {
            wrong("behind the sign stands a number, or `baseline`, or `baseline` and a number more (`+`) or less (`-`)")
        })?;
        Ok(Self { text: text.to_owned(), metric: metric.to_owned(), task: task.to_owned(), comparison, against })
    }

    /// What the value, or the difference to the baseline, is held against.
    pub(super) fn limit(&self) -> f64 {
        match self.against {
            Against::Number(limit) | Against::Baseline(limit) => limit,
        }
    }

    pub(super) fn wants_more(&self) -> bool {
        matches!(self.comparison, Comparison::AtLeast | Comparison::Above)
    }

    /// Whether a value, or a difference, passes.
    pub(super) fn holds(&self, value: f64) -> bool {
        let limit = self.limit();
        match self.comparison {
            Comparison::AtLeast => value >= limit,
            Comparison::Above => value > limit,
            Comparison::AtMost => value <= limit,
            Comparison::Below => value < limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let gate = Gate::parse("f1 >= baseline - 0.01").unwrap();
        assert_eq!((&*gate.metric, &*gate.task, gate.against), ("f1", "all", Against::Baseline(-0.01)));
        assert!(gate.holds(-0.01) && gate.holds(0.2) && !gate.holds(-0.011) && !gate.holds(f64::NAN));
        let gate = Gate::parse("exact_match@short answer<0.5").unwrap();
        assert_eq!((&*gate.metric, &*gate.task, gate.against), ("exact_match", "short answer", Against::Number(0.5)));
        assert!(gate.holds(0.49) && !gate.holds(0.5) && !gate.wants_more());
        assert!(!Gate::parse("f1 > baseline").unwrap().holds(0.0));
        assert!(Gate::parse("loss <= baseline + 1e-3").unwrap().holds(0.001));
    }

    #[test]
    fn what_is_no_condition_is_said_to_be_none() {
        for text in ["", "f1", "f1 = 3", ">= 3", "f1@ > 3", "f1 > ", "f1 > base", "f1 > baseline 0.1", "f1 > nan"] {
            assert!(Gate::parse(text).is_err(), "{text}");
        }
    }
}
