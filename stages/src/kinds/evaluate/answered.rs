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
/// `extract` finds nothing in the answer.
const UNMATCHED: &str = "unmatched";
const ANSWERED: &str = "answered";
const OUTCOMES: [&str; 11] = [
    NO_REFERENCE,
    NO_INSTRUCTION,
    UNRENDERED,
    REFUSED,
    TOO_LONG,
    NOT_FINITE,
    NO_PREDICTION,
    TRUNCATED,
    EMPTY,
    UNMATCHED,
    ANSWERED,
];

/// Where nothing is extracted.
const WITHOUT_EXTRACT: [&str; 10] = {
    let mut outcomes = [ANSWERED; 10];
    let mut i = 0;
    while i < 9 {
        outcomes[i] = OUTCOMES[i];
        i += 1;
    }
    outcomes
};

/// The answers to all items, in their order.
pub(super) struct Answered<'a> {
    /// What stands in the column `prediction`: the answer, or what a server wrote instead of one.
    pub texts: Vec<&'a str>,
    /// What the model thought in front of it.
    pub thoughts: Vec<Option<&'a str>>,
    /// What `extract` took out of the answer; `None` where it found nothing, or nothing is to be extracted.
    pub extracted: Vec<Option<&'a str>>,
    /// Whether the text is an answer.
    is_answer: Vec<bool>,
    extracts: bool,
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
        let extract = params.extraction().transpose().map_err(|e| StageError::other("read `extract`", e))?;
        let mut this = Self {
            texts: Vec::with_capacity(rows.len()),
            thoughts: Vec::with_capacity(rows.len()),
            extracted: Vec::with_capacity(rows.len()),
            extracts: extract.is_some(),
            is_answer: Vec::with_capacity(rows.len()),
            counts: Yield::new(if extract.is_some() { &OUTCOMES } else { &WITHOUT_EXTRACT }),
            unanswered: Unanswered::default(),
            cut: 0,
            without_reference: 0,
        };
        for (i, row) in rows.iter().enumerate() {
            let (written, finish) = (completed.text(i), completed.finish_reason(i));
            let (thought, answer) = params.sampling.reasoning.split(written);
            let no_answer = unanswered(finish);
            let extracted = extract.as_ref().and_then(|extract| extract.find(answer));
            let outcome = match finish {
                NO_REFERENCE => NO_REFERENCE,
                _ if no_answer.is_some() => no_answer.unwrap_or_default(),
                _ if is_cut(finish) => TRUNCATED,
                _ if answer.is_empty() => EMPTY,
                _ if extract.is_some() && extracted.is_none() => UNMATCHED,
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
            this.extracted.push(extracted);
            this.is_answer.push(no_answer.is_none() && finish != NO_REFERENCE);
        }
        Ok(this)
    }

    /// What of the answers is scored; `None` where there is no answer, or nothing of it.
    pub(super) fn answers(&self) -> Vec<Option<&'a str>> {
        let scored =
            if self.extracts { self.extracted.clone() } else { self.texts.iter().copied().map(Some).collect() };
        scored.into_iter().zip(&self.is_answer).map(|(text, is_answer)| text.filter(|_| *is_answer)).collect()
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
        let (unmatched, answered) = (self.counts.number(UNMATCHED), self.counts.number(ANSWERED));
        if unmatched > answered {
            cx.warn(format!("{unmatched} of {all} answers match nothing of `extract`: they are scored 0"));
        }
        self.unanswered.report(cx, params.sampling.max_refused, "they are scored 0")
    }
}
