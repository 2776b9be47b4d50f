//! The local backend: continuous batching over a decoder.

use std::{ops::ControlFlow, sync::Arc};

use pipe_random::RowRandom;
use rayon::prelude::*;

use super::{
    Backend, Completion, FinishReason, GenerateError, Prompt, Request, SamplingParams, Sink, Usage,
    rows::{Row, Slots},
    sampling::Sampler,
    stop::StopStrings,
};
use crate::{
    chat::{ChatOptions, ChatTemplate, Date, Message},
    model::{CachedBatch, Inference, ModelError},
    tokenizer::Tokenizer,
};

/// How a generator uses the machine. Nothing here changes a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GeneratorOptions {
    /// Rows in flight at once.
    pub slots: usize,
    /// Compute prompt prefixes that rows have in common once.
    pub share_prefixes: bool,
    /// Most bytes for keys and values; there are fewer slots where the rows need more.
    pub max_cache_bytes: usize,
    /// Prompt tokens per step, beside one token per generating row.
    pub prompt_tokens_per_step: usize,
}

impl Default for GeneratorOptions {
    fn default() -> Self {
        Self { slots: 64, share_prefixes: true, max_cache_bytes: 2 << 30, prompt_tokens_per_step: 1024 }
    }
}

/// Generates with a model in this process. Clones share the model.
#[derive(Debug, Clone)]
pub struct Generator {
    model: Arc<Inference>,
    tokenizer: Arc<Tokenizer>,
    chat: Option<Arc<ChatTemplate>>,
    chat_date: Date,
    eos: Arc<[u32]>,
    adapter: Option<usize>,
    options: GeneratorOptions,
}

impl Generator {
    /// A generator over `model`. `eos` are the ids that end a text ([`Ends`](super::Ends)).
    pub fn new(model: Arc<Inference>, tokenizer: Arc<Tokenizer>, eos: &[u32]) -> Self {
        Self {
            model,
            tokenizer,
            chat: None,
            chat_date: Date::default(),
            eos: eos.into(),
            adapter: None,
            options: GeneratorOptions::default(),
        }
    }

    /// With the template that conversations are rendered with.
    #[must_use]
    pub fn with_chat(mut self, template: Arc<ChatTemplate>) -> Self {
        self.chat = Some(template);
        self
    }

    /// With the date that chat templates may print.
    #[must_use]
    pub fn with_chat_date(mut self, date: Date) -> Self {
        self.chat_date = date;
        self
    }

    /// With other options.
    #[must_use]
    pub fn with_options(mut self, options: GeneratorOptions) -> Self {
        self.options = options;
        self
    }

    /// The same generator with an adapter of the model, or with none.
    ///
    /// # Errors
    /// The model holds no adapter of that name.
    pub fn with_adapter(mut self, name: Option<&str>) -> Result<Self, ModelError> {
        self.adapter = name.map(|name| self.model.adapter(name)).transpose()?;
        Ok(self)
    }

    /// The model.
    pub fn model(&self) -> &Inference {
        &self.model
    }

    pub(super) fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub(super) fn eos(&self) -> &[u32] {
        &self.eos
    }

    pub(super) fn adapter(&self) -> Option<usize> {
        self.adapter
    }

    pub(super) fn options(&self) -> &GeneratorOptions {
        &self.options
    }

    /// A conversation as the chat template writes it, up to where the model's turn begins.
    pub(super) fn conversation(&self, messages: &[Message], id: &str) -> Result<String, GenerateError> {
        let Some(template) = &self.chat else { return Err(GenerateError::NoChatTemplate { row: id.to_owned() }) };
        let options = ChatOptions { add_generation_prompt: true, date: self.chat_date, ..ChatOptions::default() };
        let rendered = template.conversation(messages, &options);
        rendered.map_err(|source| GenerateError::Chat { row: id.to_owned(), source: Box::new(source) })
    }

    fn row(&self, request: Request, params: &SamplingParams) -> Result<Row, GenerateError> {
        let Request { id, prompt } = request;
        let encode = |text: &str, special: bool, id: &str| {
            let encoded = self.tokenizer.encode_prompt(text, special);
            encoded.map_err(|source| GenerateError::Tokenize { row: id.to_owned(), source: Box::new(source) })
        };
        let tokens = match prompt {
            Prompt::Tokens(tokens) => tokens,
            Prompt::Text(text) => encode(&text, true, &id)?,
            // Templates write the special tokens themselves.
            Prompt::Chat(messages) => encode(&self.conversation(&messages, &id)?, false, &id)?,
        };
        if tokens.is_empty() {
            return Err(GenerateError::EmptyPrompt { row: id });
        }
        let (prompt, context) = (tokens.len(), self.model.context());
        if prompt >= context {
            return Err(GenerateError::PromptTooLong { row: id, prompt_tokens: prompt, context });
        }
        let random = RowRandom::new(&params.seed, &id);
        let mut row = Row { id, tokens, prompt, logprobs: Vec::new(), seen: Vec::new(), random };
        if params.penalises() {
            row.seen.clone_from(&row.tokens);
            row.seen.sort_unstable();
            row.seen.dedup();
        }
        Ok(row)
    }

    /// Positions that a row can come to need.
    fn need(&self, row: &Row, params: &SamplingParams) -> usize {
        row.prompt.saturating_add(params.max_new_tokens).min(self.model.context())
    }

    /// Slots and capacity for rows that need `need` positions, within the memory allowed. Those that come may be twice
    /// as long before a session has to end for them.
    fn room(&self, need: usize) -> (usize, usize) {
        let positions = self.options.max_cache_bytes / self.model.bytes_per_position().max(1);
        let slots = self.options.slots.min(positions / need).max(1);
        let roomy = need.saturating_mul(2).max(256).min(positions / slots);
        (slots, roomy.clamp(need, self.model.context().max(need)))
    }

    /// Chooses a row's next token, and says whether it ended the row.
    fn advance(
        &self,
        row: &mut Row,
        logits: &mut [f32],
        sampler: &mut Sampler,
        params: &SamplingParams,
        stops: &StopStrings,
    ) -> Result<Option<Completion>, GenerateError> {
        let generated = row.tokens.len() - row.prompt;
        let uniform = if params.temperature > 0.0 { row.random.uniform(generated) } else { 0.0 };
        let Some(sampled) = sampler.sample(logits, &row.seen, params, uniform) else {
            return Err(GenerateError::NotFinite { row: row.id.clone(), position: row.tokens.len() - 1 });
        };
        let token = sampled.token;
        if !params.ignore_eos && self.eos.contains(&token) {
            return self.completion(row, FinishReason::Eos, params, stops).map(Some);
        }
        row.tokens.push(token);
        row.logprobs.extend(sampled.logprob);
        if params.penalises()
            && let Err(place) = row.seen.binary_search(&token)
        {
            row.seen.insert(place, token);
        }
        let stopped = stops.completed(row.generated());
        let finish =
            if stopped.map_err(|source| GenerateError::Decode { row: row.id.clone(), source: Box::new(source) })? {
                FinishReason::Stop
            } else if row.generated().len() >= params.max_new_tokens {
                FinishReason::Length
            } else if row.tokens.len() >= self.model.context() {
                FinishReason::Context
            } else {
                return Ok(None);
            };
        self.completion(row, finish, params, stops).map(Some)
    }

    fn completion(
        &self,
        row: &mut Row,
        finish: FinishReason,
        params: &SamplingParams,
        stops: &StopStrings,
    ) -> Result<Completion, GenerateError> {
        let tokens = row.generated().to_vec();
        let text = self.tokenizer.decode(&tokens, true);
        let mut text =
            text.map_err(|source| GenerateError::Decode { row: row.id.clone(), source: Box::new(source) })?;
        let ended_by_token = u64::from(finish == FinishReason::Eos);
        if finish == FinishReason::Stop
            && let Some(end) = stops.find(&text)
        {
            text.truncate(end);
        }
        Ok(Completion {
            id: std::mem::take(&mut row.id),
            text,
            thoughts: None,
            usage: Usage { prompt_tokens: row.prompt as u64, completion_tokens: tokens.len() as u64 + ended_by_token },
            tokens,
            logprobs: params.logprobs.then(|| std::mem::take(&mut row.logprobs)),
            finish,
        })
    }
}

/// Rows that wait for a slot. Where there is none now, there may be one when others have ended.
struct Waiting<R: Iterator> {
    rows: R,
    next: Option<R::Item>,
}

impl<R: Iterator> Waiting<R> {
    fn peek(&mut self) -> Option<&R::Item> {
        self.next = self.next.take().or_else(|| self.rows.next());
        self.next.as_ref()
    }

    fn next_if(&mut self, fits: impl FnOnce(&R::Item) -> bool) -> Option<R::Item> {
        self.peek();
        self.next.take_if(|row| fits(row))
    }
}

impl Backend for Generator {
    fn complete(
        &self,
        requests: &mut (dyn Iterator<Item = Request> + Send),
        params: &SamplingParams,
        sink: &mut dyn Sink,
    ) -> Result<Usage, GenerateError> {
        if let Some(problem) = params.problem() {
            return Err(GenerateError::Params(problem));
        }
        let stops = StopStrings::new(&self.tokenizer, &params.stop, self.model.config().vocab_size);
        let mut waiting = Waiting { rows: requests.map(|request| self.row(request, params)), next: None };
        let mut usage = Usage::default();
        let vocab = self.model.config().vocab_size;
        let (mut batch, mut wanted, mut owners) = (CachedBatch::default(), Vec::new(), Vec::new());
        // A session ends when its slots turn out too short for a row that comes; nearly always there is one.
        while waiting.peek().is_some() {
            let need = match waiting.peek() {
                Some(Ok(row)) => self.need(row, params),
                _ => 1,
            };
            let (count, capacity) = self.room(need);
            let mut session = self.model.session(count, capacity)?;
            let mut slots = Slots::new(count, self.options.share_prefixes);
            loop {
                if sink.between_steps().is_break() {
                    return Ok(usage);
                }
                slots.take_over(&mut session);
                let fits = |row: &Result<Row, _>| row.as_ref().map_or(true, |r| self.need(r, params) <= capacity);
                while slots.has_free()
                    && let Some(row) = waiting.next_if(fits)
                {
                    match row {
                        Ok(row) => slots.admit(row),
                        // One row that cannot be completed ends no other.
                        Err(error) => {
                            if let ControlFlow::Break(()) = sink.completed(error.into_completion()?) {
                                return Ok(usage);
                            }
                        }
                    }
                    slots.take_over(&mut session);
                }
                if slots.is_idle() {
                    break;
                }
                slots.next_batch(self.options.prompt_tokens_per_step, &mut batch, &mut wanted, &mut owners);
                let logits = self.model.step(&batch, &wanted, self.adapter, &mut session)?;
                let mut rows = slots.rows_mut(&owners);
                let finished: Vec<_> = rows
                    .par_iter_mut()
                    .zip(logits.par_chunks_exact_mut(vocab))
                    .with_min_len(4)
                    .map_init(Sampler::default, |sampler, (row, logits)| {
                        self.advance(row, logits, sampler, params, &stops)
                    })
                    .collect();
                for (&slot, completion) in owners.iter().zip(finished) {
                    // Nor does one that overflows.
                    let completion = completion.or_else(|error| error.into_completion().map(Some))?;
                    let Some(completion) = completion else { continue };
                    slots.release(slot);
                    usage += completion.usage;
                    if let ControlFlow::Break(()) = sink.completed(completion) {
                        return Ok(usage);
                    }
                }
            }
        }
        Ok(usage)
    }
}
