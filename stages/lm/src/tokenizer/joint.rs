//! Prompts and completions, tokenised as the one text that they are.
//!
//! A text in two pieces has other tokens than the whole: SentencePiece begins every text with a space, and byte-level
//! tokenizers take several line breaks together. A model that was trained on the pieces has learned a text that nobody
//! writes. So the whole is tokenised, and a token belongs to the completion if a character of it does (by the offsets;
//! TRL's `SFTTrainer` counts the tokens of the prompt alone instead, which is the same unless a token reaches across
//! the border, of which TRL warns).

use super::{Tokenizer, TokenizerError};
use crate::chat::Turns;

/// The tokens of a prompt with its completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joint {
    /// All of them.
    pub tokens: Vec<u32>,
    /// How many of them, at the beginning, are the prompt's alone.
    pub prompt: usize,
}

impl Tokenizer {
    /// The tokens of a conversation, and of each whether a character of it stands in one of the spans.
    ///
    /// # Errors
    /// The text cannot be represented.
    pub fn encode_turns(&self, turns: &Turns) -> Result<(Vec<u32>, Vec<bool>), TokenizerError> {
        let encoding = self.guarded(|| self.inner.encode(turns.text.as_str(), false))?;
        let said =
            |(start, end): &(usize, usize)| turns.spans.iter().any(|span| *end > span.start && *start < span.end);
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().iter().map(said).collect()))
    }

    /// The tokens of `prompt` followed by `completion`. `add_special_tokens` surrounds them with what the model expects
    /// at the start (and end) of a document.
    ///
    /// # Errors
    /// The text cannot be represented.
    pub fn encode_joint(
        &self,
        prompt: &str,
        completion: &str,
        add_special_tokens: bool,
    ) -> Result<Joint, TokenizerError> {
        let whole = format!("{prompt}{completion}");
        let encoding = self.guarded(|| self.inner.encode(whole.as_str(), add_special_tokens))?;
        // Tokens come in the order of the text; those that the model's template puts around it have no place there.
        let first = encoding.get_offsets().iter().position(|(_, end)| *end > prompt.len());
        Ok(Joint { tokens: encoding.get_ids().to_vec(), prompt: first.unwrap_or(encoding.len()) })
    }

    /// The tokens of a prompt as they begin a text that goes on: what a model is to continue, and what it saw in
    /// training. A space at the end belongs to the first word of the continuation where the vocabulary has words with
    /// their spaces. Where a token would reach over the end of the prompt (vocabularies whose tokens span words),
    /// nobody knows which one it will be, and the prompt's own tokens are taken, as transformers does.
    ///
    /// # Errors
    /// The text cannot be represented.
    pub fn encode_prompt(&self, prompt: &str, add_special_tokens: bool) -> Result<Vec<u32>, TokenizerError> {
        // Whatever follows, it begins with a word.
        let next = if prompt.is_empty() || prompt.ends_with(char::is_whitespace) { "a" } else { " a" };
        let whole = self.guarded(|| self.inner.encode(format!("{prompt}{next}"), add_special_tokens))?;
        let ends: Vec<usize> = whole.get_offsets().iter().map(|(_, end)| *end).collect();
        let first = ends.iter().position(|end| *end > prompt.len()).unwrap_or(ends.len());
        if ends[..first].iter().max().copied().unwrap_or(0) >= prompt.trim_end().len() {
            return Ok(whole.get_ids()[..first].to_vec());
        }
        let alone = self.guarded(|| self.inner.encode(prompt, add_special_tokens))?;
        // What the tokenizer puts behind a text does not follow a prompt.
        let added = alone.get_special_tokens_mask().iter().rev().take_while(|mask| **mask == 1).count();
        Ok(alone.get_ids()[..alone.len() - added].to_vec())
    }
}
