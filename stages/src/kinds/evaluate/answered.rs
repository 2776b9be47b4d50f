//! What became of the items: their answers, without the thoughts in front of them, and how many there are of each
//! outcome.

use arrow::array::RecordBatch;
use pipe_engine::{context::StageContext, kind::StageError};

use super::{PREDICTION, params::EvaluateParams};
use crate::rows::{
    completed::{
        Completed, NO_INSTRUCTION, NO_PREDICTION, NO_REFERENCE, NOT_FINITE, REFUSED, TOO_LONG, UNRENDERED, is_cut,
        unanswered,
    },
    examples::Row,
    unanswered::Unanswered,
    yields::Yield,
};

const TRUNCATED: &str = "truncated";
const EMPTY: &str = "empty";
const ANSWERED: &str = "answered";
const OUTCOMES: [&str; 10] = [
    NO_REFERENCE,
    NO_INSTRUCTION,
    UNRENDERED,
    REFUSED,
    TOO_LONG,
    NOT_FINITE,
    NO_PREDICTION,
    TRUNCATED,
    EMPTY,
    ANSWERED,
];

/// The answers to all items, in their order.
pub(super) struct Answered<'a> {
    /// What stands in the column `prediction`: the answer, or what a server wrote instead of one.
    pub texts: Vec<&'a str>,
    /// What the model thought in front of it.
    pub thoughts: Vec<Option<&'a str>>,
    /// Whether the text is an answer.
    is_answer: Vec<bool>,
    /// How many items there are of each outcome.
    pub counts: Yield,
    unanswered: Unanswered,
    cut: usize,
    without_reference: usize,
}

impl<'a> Answered<'a> {
    /// Reads what was kept.
    pub(super) fn new(params: &EvaluateParams, rows: &[Row], kept: &'a RecordBatch) -> Result<Self, StageError> {
        let completed = Completed::of(kept, PREDICTION)?;
        let mut this = Self {
            texts: Vec::with_capacity(rows.len()),
            thoughts: Vec::with_capacity(rows.len()),
            is_answer: Vec::with_capacity(rows.len()),
            counts: Yield::new(&OUTCOMES),
            unanswered: Unanswered::default(),
            cut: 0,
            without_reference: 0,
        };
        for (i, row) in rows.iter().enumerate() {
            let (written, finish) = (completed.text(i), completed.finish_reason(i));
            let (thought, answer) = params.sampling.reasoning.split(written);
            let no_answer = unanswered(finish);
            let outcome = match finish {
                NO_REFERENCE => NO_REFERENCE,
                _ if no_answer.is_some() => no_answer.unwrap_or_default(),
                _ if is_cut(finish) => TRUNCATED,
                _ if answer.is_empty() => EMPTY,
                _ => ANSWERED,
            };
            this.counts.add(outcome);
            this.cut += usize::from(outcome == TRUNCATED);
            this.without_reference += usize::from(outcome == NO_REFERENCE);
            if outcome != NO_REFERENCE {
                this.unanswered.add(finish, written, || format!("row `{}`", row.id));
            }
            // What stands in the text's place is the reason, unless a server wrote it.
            this.texts.push(if no_answer.is_some_and(|outcome| outcome != REFUSED) { "" } else { answer });
            this.thoughts.push(thought);
            this.is_answer.push(no_answer.is_none() && finish != NO_REFERENCE);
        }
        Ok(this)
    }

    /// The answers; `None` where there is none.
    pub(super) fn answers(&self) -> Vec<Option<&'a str>> {
        self.texts.iter().zip(&self.is_answer).map(|(text, is_answer)| is_answer.then_some(*text)).collect()
    }

    /// Says how many rows are not what one would expect.
    ///
    /// # Errors
    /// More rows than `max_refused` allows have no answer.
    pub(super) fn report(&self, cx: &StageContext, params: &EvaluateParams) -> Result<(), StageError> {
        let all = self.texts.len();
        cx.counter("predictions_cut", self.cut as u64);
        if 10 * self.cut > all && params.predictions.is_none() {
            let most = params.sampling.max_new_tokens;
            cx.warn(format!("{} of {all} answers did not end by themselves within max_new_tokens ({most})", self.cut));
        }
        if self.without_reference > 0 {
            cx.warn(format!(
                "{} of {all} items have no answer to compare with, and are not scored",
                self.without_reference
            ));
        }
        self.unanswered.report(cx, params.sampling.max_refused, "they are scored 0")
    }
}
