//! What can go wrong in generation.

use super::{Completion, FinishReason, Usage, endpoint::EndpointError};
use crate::model::ModelError;

/// Errors of a backend. Messages complete "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A prompt does not leave room for a single new token.
    #[error(
        "complete row `{row}`: its prompt has {prompt_tokens} tokens, the model's context is {context}; shorten the \
         prompt (fewer demonstrations or passages) or use a model with a longer context"
    )]
    PromptTooLong {
        /// The row.
        row: String,
        /// Tokens of its prompt.
        prompt_tokens: usize,
        /// Positions that the model has.
        context: usize,
    },
    /// A prompt without a token.
    #[error("complete row `{row}`: its prompt is empty")]
    EmptyPrompt {
        /// The row.
        row: String,
    },
    /// A prompt could not be turned into tokens.
    #[error("tokenize the prompt of row `{row}`")]
    Tokenize {
        /// The row.
        row: String,
        /// What the tokenizer says.
        #[source]
        source: Box<crate::tokenizer::TokenizerError>,
    },
    /// A conversation for a model that has no chat template.
    #[error("render the conversation of row `{row}`: the model has no chat template; give it plain text prompts")]
    NoChatTemplate {
        /// The row.
        row: String,
    },
    /// A conversation that the chat template refuses.
    #[error("render the conversation of row `{row}`")]
    Chat {
        /// The row.
        row: String,
        /// What the template says.
        #[source]
        source: Box<crate::chat::ChatError>,
    },
    /// Generated tokens could not be turned into text.
    #[error("decode the tokens of row `{row}`")]
    Decode {
        /// The row.
        row: String,
        /// What the tokenizer says.
        #[source]
        source: Box<crate::tokenizer::TokenizerError>,
    },
    /// A sampling parameter out of range.
    #[error("use the sampling parameters: {0}")]
    Params(super::BadSampling),
    /// The model computed something that is not a number.
    #[error(
        "complete row `{row}`: the model's logits at position {position} are not finite; its weights are damaged or \
         overflow"
    )]
    NotFinite {
        /// The row.
        row: String,
        /// Position of the token whose logits they are.
        position: usize,
    },
    /// The model failed.
    #[error(transparent)]
    Model(Box<ModelError>),
    /// A server failed.
    #[error(transparent)]
    Endpoint(Box<EndpointError>),
}

impl GenerateError {
    /// What becomes of the row that the error is about, where it is that row alone that cannot be completed: a
    /// completion with the reason in place of a text.
    pub(super) fn into_completion(self) -> Result<Completion, Self> {
        let (row, finish, text) = match &self {
            Self::PromptTooLong { row, prompt_tokens, context } => {
                let text = format!("its prompt has {prompt_tokens} tokens, the model's context is {context}");
                (row, FinishReason::TooLong, text)
            }
            Self::EmptyPrompt { row } => (row, FinishReason::Refused, "its prompt is empty".to_owned()),
            Self::Tokenize { row, source } => (row, FinishReason::Refused, source.to_string()),
            Self::Chat { row, source } => (row, FinishReason::Refused, source.to_string()),
            Self::Decode { row, source } => (row, FinishReason::Refused, source.to_string()),
            Self::NotFinite { row, position } => {
                (row, FinishReason::NotFinite, format!("the model's logits at position {position} are not finite"))
            }
            _ => return Err(self),
        };
        let (id, usage) = (row.clone(), Usage::default());
        Ok(Completion { id, text, thoughts: None, tokens: Vec::new(), logprobs: None, finish, usage })
    }

    /// The row that it is about, where it is about one.
    pub fn row(&self) -> Option<&str> {
        match self {
            Self::PromptTooLong { row, .. }
            | Self::EmptyPrompt { row }
            | Self::Tokenize { row, .. }
            | Self::NoChatTemplate { row }
            | Self::Chat { row, .. }
            | Self::Decode { row, .. }
            | Self::NotFinite { row, .. } => Some(row),
            Self::Params(_) | Self::Model(_) | Self::Endpoint(_) => None,
        }
    }
}

impl From<ModelError> for GenerateError {
    fn from(error: ModelError) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<EndpointError> for GenerateError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(Box::new(error))
    }
}
