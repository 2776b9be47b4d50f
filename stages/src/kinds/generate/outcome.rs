//! What becomes of attempts, and the table of those that are kept.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListBuilder, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema},
};
use pipe_engine::kind::StageError;

use crate::rows::{
    completed::{NOT_FINITE, REFUSED, TOO_LONG, UNRENDERED},
    seeds::Seed,
};

pub(crate) const TRUNCATED: &str = "truncated";
pub(crate) const UNPARSED: &str = "unparsed";
pub(crate) const TOO_FEW_WORDS: &str = "too_few_words";
pub(crate) const TOO_MANY_WORDS: &str = "too_many_words";
pub(crate) const BAD_BEGINNING: &str = "bad_beginning";
pub(crate) const FORBIDDEN_WORD: &str = "forbidden_word";
pub(crate) const EXCLUDED: &str = "excluded";
pub(crate) const DUPLICATE: &str = "duplicate";
pub(crate) const NEAR_DUPLICATE: &str = "near_duplicate";
pub(crate) const KEPT: &str = "kept";

/// All of them, in the order in which the filters stand.
pub(crate) const OUTCOMES: [&str; 14] = [
    UNRENDERED,
    REFUSED,
    TOO_LONG,
    NOT_FINITE,
    TRUNCATED,
    UNPARSED,
    TOO_FEW_WORDS,
    TOO_MANY_WORDS,
    BAD_BEGINNING,
    FORBIDDEN_WORD,
    EXCLUDED,
    DUPLICATE,
    NEAR_DUPLICATE,
    KEPT,
];

/// The rows of the output `instructions`.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    id: StringBuilder,
    instruction: StringBuilder,
    input: StringBuilder,
    demonstrations: ListBuilder<StringBuilder>,
    finish_reason: StringBuilder,
    len: u64,
}

impl Kept {
    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Adds a row.
    pub(crate) fn push(
        &mut self,
        id: &str,
        instruction: &str,
        input: &str,
        demonstrations: &[&Seed],
        finish_reason: &str,
    ) {
        self.id.append_value(id);
        self.instruction.append_value(instruction);
        self.input.append_value(input);
        self.demonstrations.append_value(demonstrations.iter().map(|seed| Some(&*seed.id)));
        self.finish_reason.append_value(finish_reason);
        self.len += 1;
    }

    /// The table.
    pub(crate) fn finish(mut self) -> Result<RecordBatch, StageError> {
        let text = |name: &str| Field::new(name, DataType::Utf8, false);
        let demonstrations: ArrayRef = Arc::new(self.demonstrations.finish());
        let schema = Schema::new(vec![
            text("id"),
            text("instruction"),
            text("input"),
            Field::new("demonstrations", demonstrations.data_type().clone(), false),
            text("finish_reason"),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.id.finish()),
            Arc::new(self.instruction.finish()),
            Arc::new(self.input.finish()),
            demonstrations,
            Arc::new(self.finish_reason.finish()),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).map_err(|e| StageError::other("gather the kept rows", e))
    }
}
