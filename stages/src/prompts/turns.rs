//! Whole conversations, which the model's chat template writes and no template of ours.

use pipe_engine::{context::causes, kind::StageError};
use pipe_lm::chat::{ChatOptions, ChatTemplate, Message, Turns};

use super::PromptTemplate;

impl PromptTemplate {
    /// A conversation as the model's chat template writes it, with what the assistant says in it.
    ///
    /// # Errors
    /// The chat template refuses it, or fails.
    pub fn turns(&self, messages: &[Message], chat: &ChatTemplate) -> Result<Turns, StageError> {
        let options = ChatOptions { date: self.chat_date.0, ..ChatOptions::default() };
        let failed = |e| StageError::user(format!("failed to {}", causes(&pipe_lm::Error::from(e)).join(": ")));
        chat.turns(messages, &options).map_err(failed)
    }
}
