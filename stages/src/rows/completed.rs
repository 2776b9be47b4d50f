//! Completions in tables: what every kind that has a model write keeps of a text.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type},
};
use pipe_engine::kind::StageError;
use pipe_lm::generate::{Completion, FinishReason, Usage};

use super::reasoning;

const FINISH_REASON: &str = "finish_reason";
const PROMPT_TOKENS: &str = "prompt_tokens";
const GENERATED_TOKENS: &str = "generated_tokens";

/// The name of [`FinishReason::Refused`], and the outcome of such rows.
pub(crate) const REFUSED: &str = "refused";

/// The name of [`FinishReason::TooLong`], and the outcome of such rows.
pub(crate) const TOO_LONG: &str = "too_long";

/// The name of [`FinishReason::NotFinite`], and the outcome of such rows.
pub(crate) const NOT_FINITE: &str = "not_finite";

/// In place of a finish reason: the row has no instruction, and the model was not asked.
pub(crate) const NO_INSTRUCTION: &str = "no_instruction";

/// In place of a finish reason: the template fails on this row, and the model was not asked.
pub(crate) const UNRENDERED: &str = "unrendered";

/// In place of a finish reason: the model was not asked, since no answer could be compared with anything.
pub(crate) const NO_REFERENCE: &str = "no_reference";

/// In place of a finish reason: the answer was to be given, and is not.
pub(crate) const NO_PREDICTION: &str = "no_prediction";

/// The name of a finish reason in tables.
pub(crate) fn finish_name(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Eos => "eos",
        FinishReason::Context => "context",
        FinishReason::Refused => REFUSED,
        FinishReason::TooLong => TOO_LONG,
        FinishReason::NotFinite => NOT_FINITE,
    }
}

/// Whether the finish reason of this name cut the text off.
pub(crate) fn is_cut(finish_name: &str) -> bool {
    matches!(finish_name, "length" | "context")
}

/// The outcome of a row that has no answer, as its finish reason names it: what stands in place of the text is why.
pub(crate) fn unanswered(finish_name: &str) -> Option<&'static str> {
    [NO_INSTRUCTION, UNRENDERED, REFUSED, TOO_LONG, NOT_FINITE, NO_PREDICTION]
        .into_iter()
        .find(|name| *name == finish_name)
}

/// How a row ended: with a text of the model's, or with what stands in its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finished {
    /// The text, with thoughts that a server told apart in front of it; or why there is none.
    pub text: String,
    /// Why it ended.
    pub finish: &'static str,
    /// What it cost.
    pub usage: Usage,
}

impl Finished {
    /// A row for which nothing was asked.
    pub(crate) fn unasked(finish: &'static str, why: impl Into<String>) -> Self {
        Self { text: why.into(), finish, usage: Usage::default() }
    }
}

impl From<Completion> for Finished {
    fn from(done: Completion) -> Self {
        let finish = finish_name(done.finish);
        // What the server writes in place of an answer is for people.
        let thoughts = done.thoughts.filter(|_| unanswered(finish).is_none());
        let text = thoughts.map_or_else(|| done.text.clone(), |thoughts| reasoning::joined(&thoughts, &done.text));
        Self { text, finish, usage: done.usage }
    }
}

/// The columns of a completion: its text, under a name that is the kind's own, why it ended, and what it cost.
pub(crate) fn fields(text: &str) -> [Field; 4] {
    [
        Field::new(text, DataType::Utf8, false),
        Field::new(FINISH_REASON, DataType::Utf8, false),
        Field::new(PROMPT_TOKENS, DataType::Int64, false),
        Field::new(GENERATED_TOKENS, DataType::Int64, false),
    ]
}

/// The values of [`fields`]; `of_text` is what is kept of a text.
pub(crate) fn columns<'c>(
    done: impl Iterator<Item = &'c Finished> + Clone,
    of_text: impl Fn(&'c str) -> &'c str,
) -> [ArrayRef; 4] {
    let tokens =
        |of: fn(&Finished) -> u64| -> ArrayRef { Arc::new(done.clone().map(|c| of(c) as i64).collect::<Int64Array>()) };
    [
        Arc::new(done.clone().map(|c| Some(of_text(&c.text))).collect::<StringArray>()),
        Arc::new(done.clone().map(|c| Some(c.finish)).collect::<StringArray>()),
        tokens(|c| c.usage.prompt_tokens),
        tokens(|c| c.usage.completion_tokens),
    ]
}

/// Completions as they were kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Completed<'a> {
    texts: &'a StringArray,
    finish_reasons: &'a StringArray,
    prompt_tokens: &'a Int64Array,
    generated_tokens: &'a Int64Array,
}

impl<'a> Completed<'a> {
    /// The columns of a table that has them, with its name for the text.
    ///
    /// # Errors
    /// It has not: a mistake in the kind.
    pub(crate) fn of(table: &'a RecordBatch, text: &str) -> Result<Self, StageError> {
        let column = |name: &str| {
            let missing = || StageError::contract(format!("a table of completions has no column `{name}`"));
            table.column_by_name(name).ok_or_else(missing)
        };
        Ok(Self {
            texts: column(text)?.as_string(),
            finish_reasons: column(FINISH_REASON)?.as_string(),
            prompt_tokens: column(PROMPT_TOKENS)?.as_primitive::<Int64Type>(),
            generated_tokens: column(GENERATED_TOKENS)?.as_primitive::<Int64Type>(),
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// A row's text.
    pub(crate) fn text(&self, row: usize) -> &'a str {
        self.texts.value(row)
    }

    /// Why a row's text ended.
    pub(crate) fn finish_reason(&self, row: usize) -> &'a str {
        self.finish_reasons.value(row)
    }

    /// Tokens of the prompt and of the text of a row.
    pub(crate) fn tokens(&self, row: usize) -> (u64, u64) {
        (self.prompt_tokens.value(row) as u64, self.generated_tokens.value(row) as u64)
    }

    /// The sums of [`Self::tokens`].
    pub(crate) fn all_tokens(&self) -> (u64, u64) {
        (0..self.len()).map(|row| self.tokens(row)).fold((0, 0), |(p, g), (prompt, text)| (p + prompt, g + text))
    }
}
