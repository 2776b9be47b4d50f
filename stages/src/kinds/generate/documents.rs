//! The documents that attempts show.

use pipe_engine::{context::StageContext, kind::StageError};
use pipe_random::RowRandom;

use super::GenerateParams;
use crate::{prompts::Passage, rows::documents::documents};

/// All of them, and the order in which they are shown.
pub(super) struct Documents {
    passages: Vec<Passage>,
    order: Vec<usize>,
}

impl Documents {
    /// Those of the input `documents`; `None` where it is not connected.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn read(params: &GenerateParams, cx: &StageContext) -> Result<Option<Self>, StageError> {
        const PORT: &str = "documents";
        if cx.optional_table(PORT)?.is_none() {
            return Ok(None);
        }
        let passages = documents(cx, PORT, params.max_passage_words)?;
        let order = RowRandom::new(cx.recipe().as_bytes(), "the order of documents");
        let order = order.choose(passages.len(), passages.len());
        Ok(Some(Self { passages, order }))
    }

    /// That of an attempt, as a list of one.
    pub(super) fn of(&self, attempt: u64) -> &[Passage] {
        let document = self.order[(attempt % self.order.len() as u64) as usize];
        std::slice::from_ref(&self.passages[document])
    }
}
