//! The parameters of `evaluate`.

use pipe_engine::kind::ParamProblem;
use pipe_lm::generate::SamplingParams;
use pipe_metrics::{Metric, Normalizer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    columns::Shown,
    completions::sampling_problem,
    model::{ModelRef, Quantization},
    prompts::TemplateRef,
};

/// Answers every row of `items` with a model (and an `adapter`), and scores the answers.
///
/// `items` has `instruction` and `output`, or `references` for several right answers, of which the best counts. Optional columns: `id`, `input`,
/// `task`, `labels` (the answers to choose from: the label that an answer names is then compared with the reference, as `accuracy`), and
/// `passages` for `open_book`. With `num_fewshot` the prompt shows rows of `seeds`. Answers to rows seen before are reused.
///
/// Outputs: `predictions`, one row per item; and `scores`: one row per task and one, `all`, over all items, with the mean of each metric, its standard error
/// (`_stderr`: sample standard deviation over the square root of n), a percentile bootstrap interval over items (`_low`, `_high`), and the
/// `signature` that says what exactly was computed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvaluateParams {
    /// The model. Its files enter the key by content. Or connect the input `model`.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub model: Option<ModelRef>,
    /// How the model's weights are kept in memory. Give an adapter that was trained with `quantization: nf4` the same here: it is
    /// then examined on the weights it was trained on, which take an eighth of the room.
    #[serde(default, skip_serializing_if = "Quantization::is_none")]
    pub quantization: Quantization,
    /// The prompt in front of the answer; the same one as in `respond` and `train`. Its text enters the key.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub template: TemplateRef,
    /// The domain that templates may name.
    #[serde(default)]
    pub domain: String,
    /// How many rows of `seeds` the prompt shows with their answers.
    #[serde(default)]
    pub num_fewshot: usize,
    /// Which ones. A seed with the item's own instruction and input is never shown.
    #[serde(default)]
    pub fewshot_selection: FewshotSelection,
    /// Seeds the draw of `fewshot_selection: random`.
    #[serde(default)]
    pub fewshot_seed: u64,
    /// Whether the prompt shows the item's `passages`.
    #[serde(default)]
    pub open_book: bool,
    /// Of the passages, how many are shown, the best ones; all when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_passages: Option<usize>,
    /// Words shown of each passage, from its beginning; all when left out. Long passages may not fit the model's context otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_passage_words: Option<usize>,
    /// What is measured.
    #[serde(default = "default_metrics")]
    pub metrics: Vec<MetricName>,
    /// How answers are normalised before they are compared. ROUGE-L has a tokenisation of its own.
    #[serde(default)]
    pub normalizer: NormalizerName,
    /// Most tokens of an answer.
    #[serde(default = "default_new_tokens")]
    #[schemars(range(min = 1))]
    pub max_new_tokens: usize,
    /// Strings that end an answer; those of the template if left out.
    #[serde(default)]
    pub stop: Option<Vec<String>>,
    /// 0 takes the most likely token each time.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub temperature: f64,
    /// Sample from the most likely tokens that together have this probability; 1 is off.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: f64,
    /// Sample from this many most likely tokens; 0 is off.
    #[serde(default)]
    pub top_k: usize,
    /// Drop tokens less likely than this fraction of the most likely one; 0 is off.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: f64,
    /// Divides the logits of tokens seen before; 1 is off.
    #[serde(default = "one")]
    pub repetition_penalty: f64,
    /// Which of the many samples, where the temperature is above 0.
    #[serde(default)]
    pub seed: u64,
    /// The intervals.
    #[serde(default)]
    pub bootstrap: BootstrapParams,
    /// Rows that are answered at once.
    #[serde(default = "default_slots")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub slots: usize,
}

/// Percentile bootstrap over items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapParams {
    /// Resamples.
    #[schemars(range(min = 1))]
    pub resamples: usize,
    /// Share of resamples inside the interval.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
    /// Which of the many sequences of resamples.
    pub seed: u64,
}

impl Default for BootstrapParams {
    fn default() -> Self {
        Self { resamples: 2000, confidence: 0.95, seed: 0 }
    }
}

/// Which seeds the prompt shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FewshotSelection {
    /// The first ones of the table, the same for every item.
    #[default]
    First,
    /// Drawn anew for every item.
    Random,
}

/// What is measured. Scores lie between 0 and 1; of several references the best counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricName {
    /// F1 over the multiset of words, as in SQuAD 1.1.
    TokenF1,
    /// F of the longest common subsequence of words, unstemmed.
    RougeL,
    /// The same with NLTK's Porter stemmer, as `rouge_score` with `use_stemmer`.
    RougeLStemmed,
    /// Equality after normalisation.
    ExactMatch,
    /// Whether the reference's words stand in the answer one after the other, or the answer's in the reference.
    Contains,
    /// Token F1 against the best piece of a reference split at ", ", as the BoX benchmark's script has it. A list answer scores full marks for one
    /// entity: only for comparison with published numbers.
    TokenF1AnyPiece,
}

impl MetricName {
    pub(super) fn metric(self) -> Metric {
        match self {
            Self::TokenF1 => Metric::TokenF1,
            Self::RougeL => Metric::RougeL,
            Self::RougeLStemmed => Metric::RougeLStemmed,
            Self::ExactMatch => Metric::ExactMatch,
            Self::Contains => Metric::Contains,
            Self::TokenF1AnyPiece => Metric::TokenF1AnyPiece,
        }
    }

    /// The heading in the table of arms.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::TokenF1 => "F1",
            Self::RougeL => "ROUGE-L",
            Self::RougeLStemmed => "ROUGE-L stemmed",
            Self::ExactMatch => "exact match",
            Self::Contains => "contains",
            Self::TokenF1AnyPiece => "F1 any piece",
        }
    }
}

/// How answers are normalised before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NormalizerName {
    /// As SQuAD 1.1's script: lower case; without punctuation, articles and superfluous white space.
    #[default]
    Squad,
    /// Lower case, white space collapsed.
    Lowercase,
    /// As they are, but for white space at both ends.
    None,
}

impl NormalizerName {
    pub(super) fn normalizer(self) -> Normalizer {
        match self {
            Self::Squad => Normalizer::Squad,
            Self::Lowercase => Normalizer::Lowercase,
            Self::None => Normalizer::None,
        }
    }
}

fn default_metrics() -> Vec<MetricName> {
    vec![MetricName::TokenF1, MetricName::RougeL, MetricName::ExactMatch]
}
fn default_new_tokens() -> usize {
    64
}
fn default_slots() -> usize {
    64
}
fn one() -> f64 {
    1.0
}

impl EvaluateParams {
    /// What of the passages the prompt shows; `None` where it shows none.
    pub(super) fn shown(&self) -> Option<Shown> {
        self.open_book.then_some(Shown { passages: self.max_passages, words: self.max_passage_words })
    }

    pub(super) fn sampling(&self, stop: Vec<String>, seed: [u8; 32]) -> SamplingParams {
        SamplingParams {
            temperature: self.temperature as f32,
            top_p: self.top_p as f32,
            top_k: self.top_k,
            min_p: self.min_p as f32,
            repetition_penalty: self.repetition_penalty as f32,
            max_new_tokens: self.max_new_tokens,
            stop,
            seed,
            ..SamplingParams::default()
        }
    }

    pub(super) fn problems(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: &str, help: &str| {
            problems.push(ParamProblem { pointer: pointer.into(), message: message.into(), help: Some(help.into()) });
        };
        if self.metrics.is_empty() {
            problem("/metrics", "nothing is measured", "leave it out for token_f1, rouge_l and exact_match");
        }
        if (1..self.metrics.len()).any(|i| self.metrics[..i].contains(&self.metrics[i])) {
            problem("/metrics", "a metric is named twice", "name each once");
        }
        if !(0.0..1.0).contains(&self.bootstrap.confidence) || self.bootstrap.confidence == 0.0 {
            problem("/bootstrap/confidence", "a confidence lies between 0 and 1", "0.95 is usual");
        }
        if self.bootstrap.resamples == 0 {
            problem("/bootstrap/resamples", "an interval needs resamples", "1000 or more are usual");
        }
        let stop = self.stop.clone().unwrap_or_default();
        problems.extend(sampling_problem(&self.sampling(stop, [0; 32])));
        problems
    }
}
