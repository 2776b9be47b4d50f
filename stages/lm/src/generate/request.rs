//! What is asked of a backend and what comes back.

/// One row to complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The row's id: it names the row in results and errors, and its randomness is derived from it.
    pub id: String,
    /// What to continue.
    pub prompt: Prompt,
}

impl Request {
    /// A request to continue a text.
    pub fn text(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id: id.into(), prompt: Prompt::Text(text.into()) }
    }
}

/// The beginning that a model continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// A text; the tokenizer adds what it adds by itself (such as a leading `<s>`).
    Text(String),
    /// Token ids, used as they are.
    Tokens(Vec<u32>),
    /// A conversation, rendered with the model's chat template up to where the assistant begins.
    Chat(Vec<crate::chat::Message>),
}

/// How to continue. The same parameters hold for all rows of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// 0 is greedy.
    pub temperature: f32,
    /// Sample from the most likely tokens that together have this probability; 1 is off.
    pub top_p: f32,
    /// Sample from this many most likely tokens; 0 is off.
    pub top_k: usize,
    /// Drop tokens less likely than this fraction of the most likely one; 0 is off.
    pub min_p: f32,
    /// Logits of tokens seen in prompt or continuation are divided by this where positive, multiplied where negative; 1
    /// is off (Keskar et al. 2019, arXiv:1909.05858).
    pub repetition_penalty: f32,
    /// Most tokens to generate per row.
    pub max_new_tokens: usize,
    /// Strings that end a row. They are not part of its text.
    pub stop: Vec<String>,
    /// Go on after the model's end-of-text tokens.
    pub ignore_eos: bool,
    /// Return the log-probability of every generated token.
    pub logprobs: bool,
    /// Digest that all randomness derives from: that of the stage's recipe.
    pub seed: [u8; 32],
}

impl Default for SamplingParams {
    /// Greedy, 128 tokens.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_new_tokens: 128,
            stop: Vec::new(),
            ignore_eos: false,
            logprobs: false,
            seed: [0; 32],
        }
    }
}

impl SamplingParams {
    /// Whether repetition is penalised.
    #[expect(clippy::float_cmp, reason = "exactly 1 is off")]
    pub fn penalises(&self) -> bool {
        self.repetition_penalty != 1.0
    }

    /// The first parameter that cannot be used.
    pub fn problem(&self) -> Option<BadSampling> {
        let number = |parameter, value: f32, ok: bool, must| {
            (!ok).then(|| BadSampling { parameter, value: value.to_string(), must })
        };
        let penalty = self.repetition_penalty;
        number("temperature", self.temperature, self.temperature >= 0.0 && self.temperature.is_finite(), "be 0 or more")
            .or_else(|| number("top_p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "be above 0 and at most 1"))
            .or_else(|| number("min_p", self.min_p, (0.0..=1.0).contains(&self.min_p), "be between 0 and 1"))
            .or_else(|| number("repetition_penalty", penalty, penalty > 0.0 && penalty.is_finite(), "be above 0"))
            .or_else(|| {
                let empty = self.stop.iter().any(String::is_empty);
                let value = || format!("{:?}", self.stop);
                empty.then(|| BadSampling { parameter: "stop", value: value(), must: "hold no empty string" })
            })
            .or_else(|| {
                let bad = || BadSampling { parameter: "max_new_tokens", value: "0".to_owned(), must: "be 1 or more" };
                (self.max_new_tokens == 0).then(bad)
            })
    }
}

/// A sampling parameter that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter} is {value}, it must {must}")]
pub struct BadSampling {
    /// Its name.
    pub parameter: &'static str,
    /// Its value.
    pub value: String,
    /// What it must be or do.
    pub must: &'static str,
}

/// Why a row ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// A stop string.
    Stop,
    /// `max_new_tokens`.
    Length,
    /// The model's own end of text.
    Eos,
    /// The model's context is full.
    Context,
    /// A server held the text, or the rest of it, back, its model will not answer, or it fails on this row at every
    /// attempt.
    Refused,
    /// The model has no room for the prompt.
    TooLong,
    /// The model computed something that is not a number.
    NotFinite,
}

/// A finished row.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The request's id.
    pub id: String,
    /// The continuation, without stop string and special tokens.
    pub text: String,
    /// What the model thought in front of it, where a server tells that apart.
    pub thoughts: Option<String>,
    /// Its tokens, without the end-of-text token; up to the token that completed a stop string. Empty where a
    /// server does not tell them.
    pub tokens: Vec<u32>,
    /// Natural logarithm of each token's probability under the model, before penalty, temperature and filters.
    pub logprobs: Option<Vec<f32>>,
    /// Why it ended.
    pub finish: FinishReason,
    /// What it cost.
    pub usage: Usage,
}

/// Token counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens generated, the one that ended the row included.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// Texts whose probability is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScoreRequest {
    /// The row's id.
    pub id: String,
    /// What is scored.
    pub text: ScoreText,
}

/// What is scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScoreText {
    /// Each of these texts right behind a context.
    Continuations {
        /// What stands in front; where it is empty, the token that begins a text.
        context: Prompt,
        /// What may follow.
        continuations: Vec<String>,
    },
    /// A whole text, in windows of the model's context where it is longer (a rolling log-likelihood).
    Whole(String),
}

/// How probable a text is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Likelihood {
    /// The natural logarithm of its probability: the sum over its tokens.
    pub logprob: f64,
    /// Its tokens.
    pub tokens: usize,
    /// Whether every one of them is the most probable one.
    pub greedy: bool,
}

/// A scored row.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The request's id.
    pub id: String,
    /// One for each continuation, or one for the whole text; or why there is none.
    pub found: Result<Vec<Likelihood>, (FinishReason, String)>,
}
