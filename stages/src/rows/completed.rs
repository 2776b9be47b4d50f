//! Completions in tables: what every kind that has a model write keeps of a text.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Int64Type},
};
use pipe_engine::kind::StageError;
use pipe_lm::generate::{Completion, FinishReason};

const FINISH_REASON: &str = "finish_reason";
const PROMPT_TOKENS: &str = "prompt_tokens";
const GENERATED_TOKENS: &str = "generated_tokens";

/// The name of [`FinishReason::Refused`], and the outcome of such rows.
pub(crate) const REFUSED: &str = "refused";

/// The name of [`FinishReason::TooLong`], and the outcome of such rows.
pub(crate) const TOO_LONG: &str = "too_long";

/// In place of a finish reason: the model was not asked, since no answer could be compared with anything.
pub(crate) const NO_REFERENCE: &str = "no_reference";

/// The name of a finish reason in tables.
pub(crate) fn finish_name(finish: FinishReason) -> &'static str {
    match finish {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::Eos => "eos",
        FinishReason::Context => "context",
        FinishReason::Refused => REFUSED,
        FinishReason::TooLong => TOO_LONG,
    }
}

/// Whether the finish reason of this name cut the text off.
pub(crate) fn is_cut(finish_name: &str) -> bool {
    matches!(finish_name, "length" | "context")
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
    done: impl Iterator<Item = &'c Completion> + Clone,
    of_text: impl Fn(&'c str) -> &'c str,
) -> [ArrayRef; 4] {
    let tokens = |of: fn(&Completion) -> u64| -> ArrayRef {
        Arc::new(done.clone().map(|c| of(c) as i64).collect::<Int64Array>())
    };
    [
        Arc::new(done.clone().map(|c| Some(of_text(&c.text))).collect::<StringArray>()),
        Arc::new(done.clone().map(|c| Some(finish_name(c.finish))).collect::<StringArray>()),
        tokens(|c| c.usage.prompt_tokens),
        tokens(|c| c.usage.completion_tokens),
    ]
}

/// The values of [`fields`] of rows for which nothing was asked.
pub(crate) fn unasked(rows: usize, reason: &str) -> [ArrayRef; 4] {
    let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
    let zeros = || -> ArrayRef { Arc::new(Int64Array::from(vec![0; rows])) };
    [texts(""), texts(reason), zeros(), zeros()]
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
