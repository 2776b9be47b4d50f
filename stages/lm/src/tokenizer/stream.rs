//! Incremental detokenisation.

use super::{Tokenizer, TokenizerError};

/// Turns ids into text as they come. The pieces joined are what [`Tokenizer::decode`] gives for all ids at once.
///
/// A token's text can depend on its neighbours: a character may be spread over several tokens, and some decoders drop a leading space. So
/// each piece is the difference of two decodings that start at the same earlier token, and nothing is given out
/// while the text ends in the middle of a character.
pub struct Detokenizer<'a> {
    tokenizer: &'a Tokenizer,
    skip_special_tokens: bool,
    ids: Vec<u32>,
    /// First token of the window that is decoded.
    window: usize,
    /// Tokens before this one have been given out.
    given: usize,
}

impl<'a> Detokenizer<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, skip_special_tokens: bool) -> Self {
        Self { tokenizer, skip_special_tokens, ids: Vec::new(), window: 0, given: 0 }
    }

    /// Adds a token and returns the text that is certain now; empty while a character is incomplete.
    ///
    /// # Errors
    /// The decoder of `tokenizer.json` fails.
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        self.ids.push(id);
        let (before, all) = self.decode_window()?;
        if all.len() <= before.len() || all.ends_with(char::REPLACEMENT_CHARACTER) {
            return Ok(String::new());
        }
        let piece = all[before.len()..].to_owned();
        self.window = self.given;
        self.given = self.ids.len();
        Ok(piece)
    }

    /// The rest: an incomplete character at the end, as U+FFFD.
    ///
    /// # Errors
    /// The decoder of `tokenizer.json` fails.
    pub fn finish(self) -> Result<String, TokenizerError> {
        let (before, all) = self.decode_window()?;
        Ok(all.get(before.len()..).unwrap_or_default().to_owned())
    }

    fn decode_window(&self) -> Result<(String, String), TokenizerError> {
        let decode = |ids| self.tokenizer.decode(ids, self.skip_special_tokens);
        Ok((decode(&self.ids[self.window..self.given])?, decode(&self.ids[self.window..])?))
    }
}
