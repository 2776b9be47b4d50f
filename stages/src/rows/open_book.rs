//! The parameters that say whether a prompt shows passages: a part of those of several kinds, to be flattened into
//! them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::columns::Shown;

/// Whether a prompt shows the row's passages, and how much of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub struct OpenBook {
    /// Whether the prompt shows the row's `passages`.
    #[serde(default)]
    pub open_book: bool,
    /// Of the passages, how many are shown, the best ones; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_passages: Option<usize>,
    /// Words shown of each passage, from its beginning; all when left out. Long passages may not fit the model's
    /// context, or `max_seq_len`, otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_passage_words: Option<usize>,
}

impl OpenBook {
    /// What of the passages the prompt shows; `None` where it shows none.
    pub(crate) fn shown(&self) -> Option<Shown> {
        self.open_book.then_some(Shown { passages: self.max_passages, words: self.max_passage_words })
    }
}
