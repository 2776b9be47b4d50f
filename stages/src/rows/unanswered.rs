//! Rows that have no answer although a model was asked: the model or its server refused, or the prompt did not fit into
//! the model's context.
//!
//! One such row ends no stage. It is counted under its outcome, and said when the stage ends; only a share of them that
//! is larger than the parameter `max_refused` fails the stage, for then something is wrong with all rows.

use pipe_engine::{context::StageContext, kind::StageError};

use super::completed::{REFUSED, TOO_LONG};

/// Counts rows by whether they were answered.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    rows: usize,
    refused: usize,
    too_long: usize,
    /// The first of them, and why it has no answer, where that is known.
    first: Option<String>,
}

/// Whether a text that ended for this reason is no answer.
pub(crate) fn is_unanswered(finish_name: &str) -> bool {
    matches!(finish_name, REFUSED | TOO_LONG)
}

impl Unanswered {
    /// Counts a row. `what` says which it is, and `text` is what stands in place of its answer.
    pub(crate) fn add(&mut self, finish_name: &str, text: &str, what: impl FnOnce() -> String) {
        self.rows += 1;
        match finish_name {
            REFUSED => self.refused += 1,
            TOO_LONG => self.too_long += 1,
            _ => return,
        }
        let why = if text.is_empty() { finish_name } else { text };
        self.first.get_or_insert_with(|| format!("{}: {why}", what()));
    }

    /// `1 of 40 rows was refused, 2 did not fit ...`; `None` where all have an answer.
    pub(crate) fn told(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let one = |n: usize, what: &str| (n > 0).then(|| format!("{n} {what}"));
        let parts: Vec<String> = [
            one(self.too_long, "did not fit into the model's context"),
            one(self.refused, "got no answer from the model or its server"),
        ]
        .into_iter()
        .flatten()
        .collect();
        Some(format!("of {} rows {} ({first})", self.rows, parts.join(", ")))
    }

    /// Fails where more than the share `most` of the rows has no answer; says otherwise how many have none.
    ///
    /// # Errors
    /// Too many have none.
    pub(crate) fn report(&self, cx: &StageContext, most: f64, consequence: &str) -> Result<(), StageError> {
        cx.counter("rows_refused", self.refused as u64);
        cx.counter("rows_too_long", self.too_long as u64);
        let Some(told) = self.told() else { return Ok(()) };
        if self.exceeds(most) {
            return Err(self.error(most, &told));
        }
        cx.warn(format!("{told}: {consequence}"));
        Ok(())
    }

    /// Whether more than the share `most` of the rows has no answer.
    pub(crate) fn exceeds(&self, most: f64) -> bool {
        (self.refused + self.too_long) as f64 > most * self.rows as f64
    }

    /// [`Self::exceeds`] as an error, for sequences without an end: only after so many rows that the share says
    /// something.
    ///
    /// # Errors
    /// Too many of many have no answer.
    pub(crate) fn check_of_many(&self, most: f64) -> Result<(), StageError> {
        const MANY: usize = 32;
        match self.told() {
            Some(told) if self.rows >= MANY && self.exceeds(most) => Err(self.error(most, &told)),
            _ => Ok(()),
        }
    }

    fn error(&self, most: f64, told: &str) -> StageError {
        let help = if self.too_long > self.refused {
            "lower the number of demonstrations or passages, shorten them or the template, or use a model with a \
             longer context; \
             `max_refused` says how many rows may go without an answer"
        } else {
            "look at what the server says; `max_refused` says how many rows may go without an answer"
        };
        StageError::user_help(format!("{told}, which is more than `max_refused: {most}` allows"), help)
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
}
