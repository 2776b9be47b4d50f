//! Stop strings, found as tokens arrive.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::tokenizer::{Tokenizer, TokenizerError};

/// The stop strings of a call, and which tokens can complete one.
///
/// A row is decoded only when a token arrives that can: decoding every row at every step would cost more than sampling.
#[derive(Debug)]
pub(crate) struct StopStrings<'a> {
    tokenizer: &'a Tokenizer,
    strings: &'a [String],
    /// Tokens at the end of a row that are sure to contain a stop string just completed.
    tail: usize,
    /// Per token id: 0 unknown, 1 cannot end a stop string, 2 can.
    can_end: Vec<AtomicU8>,
}

impl<'a> StopStrings<'a> {
    /// For a vocabulary of `vocab` ids.
    pub(crate) fn new(tokenizer: &'a Tokenizer, strings: &'a [String], vocab: usize) -> Self {
        // Every token but special ones contributes a byte or more; decoders may strip a space at the very beginning.
        let tail = strings.iter().map(String::len).max().map_or(0, |longest| longest + 8);
        let size = if strings.is_empty() { 0 } else { vocab };
        Self { tokenizer, strings, tail, can_end: (0..size).map(|_| AtomicU8::new(0)).collect() }
    }

    /// Whether the last of `tokens` completed a stop string.
    pub(crate) fn completed(&self, tokens: &[u32]) -> Result<bool, TokenizerError> {
        let Some(&last) = tokens.last().filter(|_| !self.strings.is_empty()) else { return Ok(false) };
        if !self.can_end(last)? {
            return Ok(false);
        }
        let text = self.tokenizer.decode(&tokens[tokens.len().saturating_sub(self.tail)..], true)?;
        Ok(self.strings.iter().any(|stop| text.contains(stop.as_str())))
    }

    /// Where the first stop string begins in a row's text.
    pub(crate) fn find(&self, text: &str) -> Option<usize> {
        self.strings.iter().filter_map(|stop| text.find(stop.as_str())).min()
    }

    fn can_end(&self, token: u32) -> Result<bool, TokenizerError> {
        let cell = &self.can_end[token as usize];
        match cell.load(Ordering::Relaxed) {
            0 => {
                let text = self.tokenizer.decode(&[token], true)?;
                // Parts of a character decode to U+FFFD, and white space may be stripped from a token that stands
                // alone.
                let ends = text.contains('\u{fffd}')
                    || self
                        .strings
                        .iter()
                        .any(|stop| stop.chars().next_back().is_some_and(|end| end == ' ' || text.contains(end)));
                cell.store(1 + u8::from(ends), Ordering::Relaxed);
                Ok(ends)
            }
            known => Ok(known == 2),
        }
    }
}
