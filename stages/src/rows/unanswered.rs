//! Rows that have no answer: the row has no instruction, or the template fails on it; the prompt did not fit into the
//! model's context; the model or its server refused, or computed what is no number.
//!
//! One such row ends no stage. It is counted under its outcome, and said when the stage ends; only a share of them that
//! is larger than the parameter `max_refused` fails the stage, for then something is wrong with all rows. A model that
//! computes nothing but what is no number always does.

use pipe_engine::{context::StageContext, kind::StageError};

use super::completed::{NO_INSTRUCTION, NO_PREDICTION, NOT_FINITE, REFUSED, TOO_LONG, UNRENDERED, unanswered};

/// The outcomes, what is said of such rows, and the counter.
const SORTS: [(&str, &str, &str); 6] = [
    (NO_INSTRUCTION, "had no instruction", "rows_without_instruction"),
    (UNRENDERED, "could not be rendered by the template", "rows_unrendered"),
    (TOO_LONG, "did not fit into the model's context", "rows_too_long"),
    (REFUSED, "got no answer from the model or its server", "rows_refused"),
    (NOT_FINITE, "made the model compute what is not a number", "rows_not_finite"),
    (NO_PREDICTION, "had no answer among those that are given", "rows_without_prediction"),
];

/// Counts rows by whether they were answered.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    rows: usize,
    /// Rows that the model wrote something for.
    answered: usize,
    /// As [`SORTS`].
    counts: [usize; SORTS.len()],
    /// The first of them, and why it has no answer, where that is known.
    first: Option<String>,
}

impl Unanswered {
    /// Counts a row. `what` says which it is, and `text` is what stands in place of its answer.
    pub(crate) fn add(&mut self, finish_name: &str, text: &str, what: impl FnOnce() -> String) {
        self.rows += 1;
        let Some(sort) = unanswered(finish_name).and_then(|name| SORTS.iter().position(|sort| sort.0 == name)) else {
            self.answered += 1;
            return;
        };
        self.counts[sort] += 1;
        let why = if text.is_empty() { finish_name } else { text };
        self.first.get_or_insert_with(|| format!("{}: {why}", what()));
    }

    fn of(&self, name: &str) -> usize {
        SORTS.iter().zip(self.counts).find(|(sort, _)| sort.0 == name).map_or(0, |(_, n)| n)
    }

    /// `1 of 40 rows was refused, 2 did not fit ...`; `None` where all have an answer.
    pub(crate) fn told(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let sorts = SORTS.iter().zip(self.counts).filter(|(_, n)| *n > 0);
        let parts: Vec<String> = sorts.map(|((_, what, _), n)| format!("{n} {what}")).collect();
        Some(format!("of {} rows {} ({first})", self.rows, parts.join(", ")))
    }

    /// Fails where more than the share `most` of the rows has no answer; says otherwise how many have none.
    ///
    /// # Errors
    /// Too many have none.
    pub(crate) fn report(&self, cx: &StageContext, most: f64, consequence: &str) -> Result<(), StageError> {
        for ((name, _, counter), n) in SORTS.iter().zip(self.counts) {
            if n > 0 || [REFUSED, TOO_LONG].contains(name) {
                cx.counter(counter, n as u64);
            }
        }
        let Some(told) = self.told() else { return Ok(()) };
        self.check(most, &told)?;
        cx.warn(format!("{told}: {consequence}"));
        Ok(())
    }

    fn check(&self, most: f64, told: &str) -> Result<(), StageError> {
        if self.of(NOT_FINITE) > 0 && self.answered == 0 {
            return Err(StageError::user_help(
                format!(
                    "{told}, and none was answered: the model's weights, or the adapter's, are damaged or overflow"
                ),
                "look at the stage that trained them (a lower `learning_rate`), or load the model anew",
            ));
        }
        if self.exceeds(most) { Err(self.error(most, told)) } else { Ok(()) }
    }

    /// Whether more than the share `most` of the rows has no answer.
    pub(crate) fn exceeds(&self, most: f64) -> bool {
        self.counts.iter().sum::<usize>() as f64 > most * self.rows as f64
    }

    /// [`Self::report`]'s failures, for sequences without an end: only after so many rows that the share says
    /// something.
    ///
    /// # Errors
    /// Too many of many have no answer.
    pub(crate) fn check_of_many(&self, most: f64) -> Result<(), StageError> {
        const MANY: usize = 32;
        match self.told() {
            Some(told) if self.rows >= MANY => self.check(most, &told),
            _ => Ok(()),
        }
    }

    fn error(&self, most: f64, told: &str) -> StageError {
        let largest = SORTS.iter().zip(self.counts).max_by_key(|(_, n)| *n).map_or("", |(sort, _)| sort.0);
        let help = match largest {
            TOO_LONG => {
                "lower the number of demonstrations or passages, shorten them or the template, or use a model with a \
                 longer context"
            }
            NO_INSTRUCTION | NO_PREDICTION => "look at the stage that makes the rows",
            UNRENDERED => "mend the template, or test in it whether what it uses is there",
            NOT_FINITE => "look at the model's weights, and at the stage that trained them",
            _ => "look at what the server says",
        };
        StageError::user_help(
            format!("{told}, which is more than `max_refused: {most}` allows"),
            format!("{help}; `max_refused` says how many rows may go without an answer"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_an_answer_are_counted_against_a_share() {
        let mut counts = Unanswered::default();
        for row in 0..40 {
            let finish = ["stop", TOO_LONG, "length", REFUSED][row % 4];
            counts
                .add(finish, if finish == TOO_LONG { "its prompt has 99 tokens" } else { "" }, || format!("row {row}"));
        }
        assert!(!counts.exceeds(0.5) && counts.exceeds(0.49));
        assert_eq!(
            counts.told().unwrap(),
            "of 40 rows 10 did not fit into the model's context, 10 got no answer from the model or its server \
             (row 1: its prompt has 99 tokens)"
        );
        assert!(counts.check_of_many(0.5).is_ok());
        let error = counts.check_of_many(0.1).unwrap_err().to_string();
        assert!(error.contains("more than `max_refused: 0.1` allows"), "{error}");
        let mut few = Unanswered::default();
        few.add(REFUSED, "", || "row 0".to_owned());
        assert!(few.check_of_many(0.1).is_ok() && few.exceeds(0.5), "one of one is too many at the end");
        assert_eq!(Unanswered::default().told(), None);
    }

    #[test]
    fn one_row_that_is_not_finite_is_its_own_fault_and_all_are_the_models() {
        let mut counts = Unanswered::default();
        for row in 0..32 {
            counts.add(NOT_FINITE, "the model's logits at position 3 are not finite", || format!("row {row}"));
        }
        let error = counts.check_of_many(1.0).unwrap_err().to_string();
        assert!(error.contains("of 32 rows 32 made the model compute what is not a number (row 0: the"), "{error}");
        assert!(error.contains("damaged or overflow"), "{error}");
        // Rows that were not asked say nothing of the model, and one that was answered does.
        counts.add(NO_INSTRUCTION, "", || "row 32".to_owned());
        assert!(counts.check_of_many(1.0).is_err());
        counts.add("stop", "gold", || "row 33".to_owned());
        assert!(counts.check_of_many(1.0).is_ok() && counts.check_of_many(0.9).is_err());
    }
}
