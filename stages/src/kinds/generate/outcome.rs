//! What becomes of attempts, and the table of those that are kept.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, ListBuilder, RecordBatch, StringBuilder},
    datatypes::{DataType, Field, Schema},
};
use pipe_engine::kind::StageError;

use crate::{
    prompts::Passage,
    rows::{columns, seeds::Seed},
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
pub(crate) const REPETITIVE: &str = "repetitive";
pub(crate) const NOT_IN_PASSAGES: &str = "not_in_passages";
pub(crate) const OTHER_LANGUAGE: &str = "other_language";
pub(crate) use crate::rows::yields::KEPT;

/// The rows of the output `instructions`.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// What each was shown; `None` where no documents are.
    passages: Option<Vec<Vec<Passage>>>,
    id: StringBuilder,
    instruction: StringBuilder,
    input: StringBuilder,
    demonstrations: ListBuilder<StringBuilder>,
    finish_reason: StringBuilder,
    len: u64,
}

impl Kept {
    /// No rows yet, with the column `passages` or without.
    pub(crate) fn new(with_passages: bool) -> Self {
        Self { passages: with_passages.then(Vec::new), ..Self::default() }
    }

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
        passages: &[Passage],
    ) {
        if let Some(all) = &mut self.passages {
            all.push(passages.to_vec());
        }
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
        let mut fields = vec![
            text("id"),
            text("instruction"),
            text("input"),
            Field::new("demonstrations", demonstrations.data_type().clone(), false),
            text("finish_reason"),
        ];
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.id.finish()),
            Arc::new(self.instruction.finish()),
            Arc::new(self.input.finish()),
            demonstrations,
            Arc::new(self.finish_reason.finish()),
        ];
        if let Some(passages) = &self.passages {
            fields.push(columns::passages_field(false));
            columns.push(columns::passage_lists(passages, false));
        }
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|e| StageError::other("gather the kept rows", e))
    }
}
