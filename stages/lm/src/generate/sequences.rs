//! Texts to be scored, as tokens: lm-evaluation-harness's way of putting a continuation behind its context, and of
//! cutting long texts into windows.

use super::{
    FinishReason, GenerateError, Generator, Prompt,
    score::{Likelihood, ScoreRequest, ScoreText, Scored},
};
use crate::tokenizer::TokenizerError;

/// A text as tokens, of which the last `scored` are asked for, each behind all in front of it.
pub(super) struct Sequence {
    /// Which likelihood of its row it belongs to.
    pub part: usize,
    pub tokens: Vec<u32>,
    scored: usize,
}

impl Sequence {
    /// Tokens that the model reads: nothing follows the last one.
    pub(super) fn read(&self) -> usize {
        self.tokens.len() - 1
    }

    /// The first position whose logits are wanted.
    pub(super) fn first_wanted(&self) -> usize {
        self.tokens.len() - self.scored - 1
    }
}

/// A row, tokenised.
pub(super) struct Row {
    pub id: String,
    pub parts: Vec<Likelihood>,
    pub sequences: Vec<Sequence>,
    /// Tokens in front that all sequences have in common, and of which no logits are wanted.
    pub prefix: usize,
    /// Sequences that are not read yet.
    pub left: usize,
    pub failed: Option<(FinishReason, String)>,
}

impl Row {
    fn new(id: String, parts: usize, sequences: Vec<Sequence>) -> Self {
        let mut prefix = 0;
        if let [first, rest @ ..] = sequences.as_slice()
            && parts > 1
        {
            let same = |other: &Sequence| first.tokens.iter().zip(&other.tokens).take_while(|(a, b)| a == b).count();
            let wanted = sequences.iter().map(Sequence::first_wanted).min().unwrap_or(0);
            prefix = rest.iter().map(same).min().unwrap_or(0).min(wanted);
        }
        let part = Likelihood { logprob: 0.0, tokens: 0, greedy: true };
        let left = sequences.len();
        Self { id, parts: vec![part; parts], sequences, prefix, left, failed: None }
    }

    pub(super) fn longest(&self) -> usize {
        self.sequences.iter().map(Sequence::read).max().unwrap_or(0)
    }

    pub(super) fn scored(&mut self) -> Scored {
        let found = self.failed.take().map_or_else(|| Ok(std::mem::take(&mut self.parts)), Err);
        Scored { id: std::mem::take(&mut self.id), found }
    }
}

impl Generator {
    /// Tokenises a row.
    ///
    /// # Errors
    /// It cannot be, or does not fit into the model's context.
    pub(super) fn tokenized(&self, request: ScoreRequest) -> Result<Row, GenerateError> {
        let ScoreRequest { id, text } = request;
        let failed = |source| GenerateError::Tokenize { row: id.clone(), source: Box::new(source) };
        let context = self.model().context();
        let tokenizer = self.tokenizer();
        let (parts, sequences) = match text {
            ScoreText::Whole(text) => {
                let tokens = tokenizer.encode(&text, false).map_err(failed)?;
                if tokens.is_empty() {
                    return Err(GenerateError::EmptyPrompt { row: id });
                }
                (1, windows(&tokens, self.first_token(), context))
            }
            ScoreText::Continuations { context, continuations } => {
                let (context, special, given) = match context {
                    // Templates write the special tokens themselves.
                    Prompt::Chat(messages) => (self.conversation(&messages, &id)?, false, None),
                    Prompt::Text(text) => (text, true, None),
                    Prompt::Tokens(tokens) => (String::new(), true, Some(tokens)),
                };
                // A text that begins with that token gets no second one.
                let begins = tokenizer.special().bos_token.as_deref().is_some_and(|bos| context.starts_with(bos));
                let sequence = |(part, continuation): (usize, &String)| {
                    let pair = match &given {
                        Some(before) => self.behind(before, continuation),
                        None => self.pair(&context, continuation, special && !begins),
                    };
                    let (tokens, scored) = pair.map_err(failed)?;
                    Ok(Sequence { part, tokens, scored })
                };
                let sequences = continuations.iter().enumerate().map(sequence);
                (continuations.len(), sequences.collect::<Result<Vec<_>, GenerateError>>()?)
            }
        };
        if let Some(longest) = sequences.iter().map(Sequence::read).max().filter(|longest| *longest > context) {
            return Err(GenerateError::PromptTooLong { row: id, prompt_tokens: longest + 1, context });
        }
        Ok(Row::new(id, parts, sequences))
    }

    /// A continuation's own tokens behind those of its context.
    fn behind(&self, context: &[u32], continuation: &str) -> Result<(Vec<u32>, usize), TokenizerError> {
        let own = self.tokenizer().encode(continuation, false)?;
        let scored = own.len();
        let before = if context.is_empty() { vec![self.first_token()] } else { context.to_vec() };
        Ok(([before, own].concat(), scored))
    }

    /// The token that stands in front of a text.
    fn first_token(&self) -> u32 {
        let tokenizer = self.tokenizer();
        tokenizer.bos().or(tokenizer.eos()).or(self.eos().first().copied()).unwrap_or(0)
    }

    /// The tokens of a continuation behind its context, and how many of them are its own: those behind as many as the
    /// context has by itself. White space at the context's end belongs to the continuation.
    fn pair(&self, context: &str, continuation: &str, special: bool) -> Result<(Vec<u32>, usize), TokenizerError> {
        let tokenizer = self.tokenizer();
        let kept = context.trim_end();
        let continuation = format!("{}{continuation}", &context[kept.len()..]);
        if kept.is_empty() {
            let own = tokenizer.encode(&continuation, false)?;
            let first = self.first_token();
            if own.len() > 1 && own[0] == first {
                let scored = own.len() - 1;
                return Ok((own, scored));
            }
            let scored = own.len();
            return Ok(([vec![first], own].concat(), scored));
        }
        // What a tokenizer puts behind every text does not stand between the two.
        let last = tokenizer.eos().filter(|_| special);
        let without_last = |mut tokens: Vec<u32>, text: &str| {
            let written = || tokenizer.special().eos_token.as_deref().is_some_and(|eos| text.ends_with(eos));
            if tokens.last().copied() == last && last.is_some() && !written() {
                tokens.pop();
            }
            tokens
        };
        let whole = format!("{kept}{continuation}");
        let tokens = without_last(tokenizer.encode(&whole, special)?, &whole);
        let before = without_last(tokenizer.encode(kept, special)?, kept);
        if tokens.len() <= before.len() || before.is_empty() {
            // Nothing would be left of the continuation.
            return self.behind(&before, &continuation);
        }
        let scored = tokens.len() - before.len();
        Ok((tokens, scored))
    }
}

/// A text in windows that the model can read: each token is scored once, and as much as there is room for stands in
/// front of it.
fn windows(tokens: &[u32], first: u32, context: usize) -> Vec<Sequence> {
    let (mut found, mut done) = (Vec::new(), 0);
    while done < tokens.len() {
        let scored = context.min(tokens.len() - done);
        let end = done + scored;
        let tokens = match end.checked_sub(context + 1) {
            Some(begin) => tokens[begin..end].to_vec(),
            None => [&[first], &tokens[..end]].concat(),
        };
        found.push(Sequence { part: 0, tokens, scored });
        done = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `get_rolling_token_windows` with `context_len=1` of lm-evaluation-harness 0.4.13: input and predicted tokens.
    #[test]
    fn windows_are_those_of_the_harness() {
        let tokens: Vec<u32> = (0..10).collect();
        let all: Vec<(Vec<u32>, usize)> = windows(&tokens, 99, 4).into_iter().map(|w| (w.tokens, w.scored)).collect();
        let expect = [(vec![99, 0, 1, 2, 3], 4), (vec![3, 4, 5, 6, 7], 4), (vec![5, 6, 7, 8, 9], 2)];
        assert_eq!(all, expect);
        assert_eq!(windows(&tokens[..3], 99, 4).len(), 1);
        assert_eq!(windows(&tokens[..4], 99, 4)[0].read(), 4);
    }

    #[test]
    fn what_is_shared_ends_before_anything_is_wanted() {
        let sequence = |part, tokens: &[u32], scored| Sequence { part, tokens: tokens.to_vec(), scored };
        let row = Row::new("x".into(), 2, vec![sequence(0, &[1, 2, 3, 4], 2), sequence(1, &[1, 2, 3, 5], 2)]);
        assert_eq!(row.prefix, 1, "the logits of the second token are wanted");
        let row = Row::new("x".into(), 2, vec![sequence(0, &[1, 2, 3, 4], 1), sequence(1, &[1, 9, 3], 1)]);
        assert_eq!(row.prefix, 1);
    }
}
