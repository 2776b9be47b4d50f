//! Texts to be scored, as tokens: lm-evaluation-harness's way of putting a continuation behind its context, and of
//! cutting long texts into windows.

use super::{FinishReason, GenerateError, Generator, Likelihood, Prompt, ScoreRequest, ScoreText, Scored};
use crate::chat::Message;

/// Whose tokens texts are read as: those of a tokenizer here, or of a server's.
pub(super) trait Reader {
    type Error;

    /// The tokens of a text, with what the tokenizer puts in front of texts by itself (`special`), but nothing that it
    /// puts behind them.
    fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>, Self::Error>;

    /// The token that stands in front of a text that has no other context.
    fn first_token(&self) -> Result<u32, Self::Error>;

    /// A conversation as the chat template writes it, special tokens and all.
    fn conversation(&self, messages: &[Message]) -> Result<String, Self::Error>;
}

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
    /// A row of what [`sequences`] gives.
    ///
    /// # Errors
    /// It has no token, or does not fit into the model's context.
    pub(super) fn fitting(
        id: String,
        (parts, sequences): (usize, Vec<Sequence>),
        context: usize,
    ) -> Result<Self, GenerateError> {
        match sequences.iter().map(Sequence::read).max() {
            None => Err(GenerateError::EmptyPrompt { row: id }),
            Some(longest) if longest > context => {
                Err(GenerateError::PromptTooLong { row: id, prompt_tokens: longest + 1, context })
            }
            Some(_) => Ok(Self::new(id, parts, sequences)),
        }
    }

    /// Adds what is found of one token: the logarithm of its probability, and whether it is the most probable one. In
    /// the order of the text: the sum is then the same in whatever steps it was read.
    pub(super) fn add(&mut self, sequence: usize, (logprob, best): (f64, bool)) {
        let part = &mut self.parts[self.sequences[sequence].part];
        part.logprob += logprob;
        part.tokens += 1;
        part.greedy &= best;
    }

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

/// What is read for a request: how many likelihoods it has, and the sequences of tokens that they are of. A whole text
/// without a token has none.
pub(super) fn sequences<R: Reader>(
    reader: &R,
    text: &ScoreText,
    context: usize,
) -> Result<(usize, Vec<Sequence>), R::Error> {
    let (before, continuations) = match text {
        ScoreText::Whole(text) => {
            let tokens = reader.tokens(text, false)?;
            let sequences =
                if tokens.is_empty() { Vec::new() } else { windows(&tokens, reader.first_token()?, context) };
            return Ok((1, sequences));
        }
        ScoreText::Continuations { context, continuations } => {
            let before = match context {
                // Templates write the special tokens themselves.
                Prompt::Chat(messages) => Before::text(reader, &reader.conversation(messages)?, false)?,
                Prompt::Text(text) => Before::text(reader, text, true)?,
                Prompt::Tokens(tokens) => Before { tokens: tokens.clone(), text: None },
            };
            (before, continuations)
        }
    };
    let sequence = |(part, continuation): (usize, &String)| {
        let (tokens, scored) = before.followed_by(reader, continuation)?;
        Ok(Sequence { part, tokens, scored })
    };
    Ok((continuations.len(), continuations.iter().enumerate().map(sequence).collect::<Result<_, _>>()?))
}

/// What stands in front of continuations.
struct Before {
    tokens: Vec<u32>,
    text: Option<Context>,
}

/// A context as text: the white space at its end belongs to what follows.
struct Context {
    kept: String,
    end: String,
    special: bool,
}

impl Before {
    fn text<R: Reader>(reader: &R, context: &str, special: bool) -> Result<Self, R::Error> {
        let kept = context.trim_end().to_owned();
        let end = context[kept.len()..].to_owned();
        let tokens = if kept.is_empty() { Vec::new() } else { reader.tokens(&kept, special)? };
        Ok(Self { tokens, text: Some(Context { kept, end, special }) })
    }

    /// The tokens of a continuation behind its context, and how many of them are its own: those behind as many as the
    /// context has by itself.
    fn followed_by<R: Reader>(&self, reader: &R, continuation: &str) -> Result<(Vec<u32>, usize), R::Error> {
        let Some(Context { kept, end, special }) = &self.text else { return self.behind(reader, continuation) };
        let continuation = format!("{end}{continuation}");
        if kept.is_empty() {
            let own = reader.tokens(&continuation, false)?;
            let first = reader.first_token()?;
            if own.len() > 1 && own[0] == first {
                let scored = own.len() - 1;
                return Ok((own, scored));
            }
            let scored = own.len();
            return Ok(([vec![first], own].concat(), scored));
        }
        let tokens = reader.tokens(&format!("{kept}{continuation}"), *special)?;
        if tokens.len() <= self.tokens.len() || self.tokens.is_empty() {
            // Nothing would be left of the continuation.
            return self.behind(reader, &continuation);
        }
        let scored = tokens.len() - self.tokens.len();
        Ok((tokens, scored))
    }

    /// A continuation's own tokens behind those of its context.
    fn behind<R: Reader>(&self, reader: &R, continuation: &str) -> Result<(Vec<u32>, usize), R::Error> {
        let own = reader.tokens(continuation, false)?;
        let scored = own.len();
        let before = if self.tokens.is_empty() { vec![reader.first_token()?] } else { self.tokens.clone() };
        Ok(([before, own].concat(), scored))
    }
}

/// A model here reads a row.
struct Here<'a> {
    generator: &'a Generator,
    row: &'a str,
}

impl Reader for Here<'_> {
    type Error = GenerateError;

    fn tokens(&self, text: &str, special: bool) -> Result<Vec<u32>, GenerateError> {
        let tokenizer = self.generator.tokenizer();
        let starts = |token: &Option<String>| token.as_deref().is_some_and(|token| text.starts_with(token));
        let ends = |token: &Option<String>| token.as_deref().is_some_and(|token| text.ends_with(token));
        // A text that begins with that token gets no second one.
        let special = special && !starts(&tokenizer.special().bos_token);
        let failed = |source| GenerateError::Tokenize { row: self.row.to_owned(), source: Box::new(source) };
        let mut tokens = tokenizer.encode(text, special).map_err(failed)?;
        let last = tokenizer.eos().filter(|_| special && !ends(&tokenizer.special().eos_token));
        tokens.pop_if(|token| Some(*token) == last);
        Ok(tokens)
    }

    fn first_token(&self) -> Result<u32, GenerateError> {
        Ok(self.generator.tokenizer().first_token(self.generator.eos()).unwrap_or(0))
    }

    fn conversation(&self, messages: &[Message]) -> Result<String, GenerateError> {
        self.generator.conversation(messages, self.row)
    }
}

impl Generator {
    /// Tokenises a row.
    ///
    /// # Errors
    /// It cannot be, or does not fit into the model's context.
    pub(super) fn tokenized(&self, request: ScoreRequest) -> Result<Row, GenerateError> {
        let context = self.model().context();
        let read = sequences(&Here { generator: self, row: &request.id }, &request.text, context)?;
        Row::fitting(request.id, read, context)
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
