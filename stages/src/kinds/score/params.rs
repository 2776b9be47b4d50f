//! The parameters of `score`.

use pipe_engine::kind::ParamProblem;
use pipe_lm::generate::endpoint::Server;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    model::{ModelRef, WeightForm},
    prompts::{ChatDate, Purpose, TemplateRef, template_variables},
    rows::{fewshot::FewshotParams, open_book::OpenBook, scores::BootstrapParams},
};

/// Asks a model (and an `adapter`) how probable texts are that stand in `items`, and writes nothing with it: the
/// choices of an exam, the right answers, or whole texts.
///
/// `multiple_choice` takes the most probable of an item's choices behind its prompt: `acc` by their log-probabilities,
/// `acc_norm` by these per character, `acc_bytes` per byte. `loglikelihood` is about the right answer itself, in bits
/// per byte: they fall long before the first answer is right. `loglikelihood_rolling` needs no questions: perplexity
/// per word and per byte, and bits per byte, of whole texts. All of it is as lm-evaluation-harness 0.4.13 computes it;
/// there, items that do not fit into the context lose their beginning, here they score 0 (`too_long`).
///
/// `scores` has, as `evaluate`'s, means over items with standard errors and bootstrap intervals; perplexities and bits
/// per byte are those of all texts together, with standard errors by the same bootstrap.
///
/// Of servers vLLM can be asked: one that runs, or one that is started for the run, with adapters as in `evaluate`. Its
/// tokenizer is used, and its `max_model_len` less two tokens is the context. A server that does not tell the
/// probabilities of a text's own tokens (llama.cpp's, Ollama's, OpenAI's) is refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreParams {
    /// What is scored.
    #[serde(default)]
    pub output_type: OutputType,
    /// The model. Its files enter the key by content. Or connect the input `model`.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub model: Option<ModelRef>,
    /// The form in which the model's weights are kept in memory; an adapter that was trained with `weights: nf4` is
    /// given the same here.
    #[serde(default, skip_serializing_if = "WeightForm::is_default")]
    pub weights: WeightForm,
    /// The prompt in front of choices and answers; the same one as in `respond` and `train`. Its text enters the key.
    #[serde(default)]
    #[schemars(extend("x-operational" = true, "x-variables" = template_variables(Purpose::Respond)))]
    pub template: TemplateRef,
    /// The date that the model's chat template may print (`strftime_now`), such as 2025-01-31; 2024-07-26 when left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_date: Option<ChatDate>,
    /// The domain that templates may name.
    #[serde(default)]
    pub domain: String,
    /// What stands between the prompt and a choice or an answer: a space when left out, and nothing behind a prompt
    /// that ends in white space or is a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_delimiter: Option<String>,
    /// The column of `items` with the choices: a list of texts.
    #[serde(default = "labels")]
    pub choices: String,
    /// The column of `items` with the right answer: the text of a choice, its number from 0, or its letter (`A`, `B`).
    /// Where there is a list in `references`, any of these is right.
    #[serde(default = "output")]
    pub answer: String,
    /// The column of `items` with whole texts, for `loglikelihood_rolling`.
    #[serde(default = "text")]
    pub text: String,
    /// The seeds that the prompt shows.
    #[serde(flatten)]
    pub fewshot: FewshotParams,
    /// The passages that the prompt shows.
    #[serde(flatten)]
    pub passages: OpenBook,
    /// The intervals.
    #[serde(default)]
    pub bootstrap: BootstrapParams,
    /// The largest share of items that may stay without a score, since they do not fit into the model's context or the
    /// template fails on them.
    #[serde(default = "tenth")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_refused: f64,
    /// Texts that are read at once. A server is asked for as many as its `concurrency` says.
    #[serde(default = "slots")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub slots: usize,
}

/// What is scored, by lm-evaluation-harness's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputType {
    /// Every choice of an item, behind its prompt.
    #[default]
    MultipleChoice,
    /// The right answer of an item, behind its prompt.
    Loglikelihood,
    /// Whole texts, in windows of the model's context where they are longer.
    LoglikelihoodRolling,
}

/// A score.
pub(super) struct MetricDef {
    pub name: &'static str,
    pub heading: &'static str,
    pub about: &'static str,
    /// What exactly is computed.
    pub signature: &'static str,
}

const fn metric(name: &'static str, heading: &'static str, about: &'static str, signature: &'static str) -> MetricDef {
    MetricDef { name, heading, about, signature }
}

const BITS: MetricDef = metric(
    "bits_per_byte",
    "bits/byte",
    "Bits that the text costs per byte of it; lower is better.",
    "bits_per_byte|-log2 p / utf-8 bytes|scores:all texts together,items:each by itself|lm-eval 0.4.13|v1",
);

const CHOICE: [MetricDef; 3] = [
    metric("acc", "acc", "1 where the most probable choice is right.", "acc|argmax log p|lm-eval 0.4.13|v1"),
    metric(
        "acc_norm",
        "acc_norm",
        "The same by the log-probability per character.",
        "acc_norm|argmax log p / characters|lm-eval 0.4.13|v1",
    ),
    metric(
        "acc_bytes",
        "acc_bytes",
        "The same by the log-probability per byte.",
        "acc_bytes|argmax log p / utf-8 bytes|lm-eval 0.4.13|v1",
    ),
];

const ANSWER: [MetricDef; 2] = [
    metric(
        "acc",
        "acc",
        "1 where the right answer is what the model would write, always taking the most probable token.",
        "acc|greedy|lm-eval 0.4.13|v1",
    ),
    BITS,
];

/// Of all of these less is better.
const TEXT: [MetricDef; 3] = [
    BITS,
    metric(
        "byte_perplexity",
        "byte perplexity",
        "The perplexity per byte; lower is better.",
        "byte_perplexity|exp(-log p / utf-8 bytes)|scores:all texts together,items:each by itself|lm-eval 0.4.13|v1",
    ),
    metric(
        "word_perplexity",
        "word perplexity",
        "The perplexity per word, as white space separates them; lower is better.",
        "word_perplexity|exp(-log p / (runs of white space + 1))|scores:all texts together,items:each by itself|\
         lm-eval 0.4.13|v1",
    ),
];

/// Whether the less of a score the better; false of scores of other kinds.
pub(crate) fn less_is_better(name: &str) -> bool {
    TEXT.iter().any(|metric| metric.name == name)
}

/// Whether a stage's table of scores has it of all texts together, which is not the mean of what each text has.
pub(crate) fn is_of_all_texts(name: &str) -> bool {
    less_is_better(name)
}

/// Takes perplexities away where bits per byte stand beside them: they are powers of these, and texts have no mean of
/// them worth comparing.
pub(crate) fn leave_out_what_bits_say(metrics: &mut Vec<String>) {
    if metrics.iter().any(|name| name == BITS.name) {
        metrics.retain(|name| !is_of_all_texts(name) || name == BITS.name);
    }
}

impl OutputType {
    /// What every item is scored by.
    pub(super) fn metrics(self) -> &'static [MetricDef] {
        match self {
            Self::MultipleChoice => &CHOICE,
            Self::Loglikelihood => &ANSWER,
            Self::LoglikelihoodRolling => &TEXT,
        }
    }

    /// What stands in the tables of scores.
    pub(super) fn summed(self) -> &'static [MetricDef] {
        self.metrics()
    }
}

fn labels() -> String {
    "labels".to_owned()
}

fn output() -> String {
    "output".to_owned()
}

fn text() -> String {
    "text".to_owned()
}

fn tenth() -> f64 {
    0.1
}

fn slots() -> usize {
    64
}

impl ScoreParams {
    /// Whether there is a prompt.
    pub(super) fn is_asked(&self) -> bool {
        self.output_type != OutputType::LoglikelihoodRolling
    }

    pub(super) fn problems(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: String, help: &str| {
            problems.push(ParamProblem { pointer: pointer.into(), message, help: Some(help.into()) });
        };
        if let Some((model, server @ (Server::LlamaCpp | Server::Ollama))) =
            self.model.as_ref().and_then(|model| Some((model, model.server()?)))
        {
            let name = server.name();
            let message = format!("{model}: {name}'s server does not tell how probable a text is that is given");
            problem(
                "/model",
                message,
                "score the model's files (a directory, hf:org/name@revision or a .gguf file), or serve it with vLLM",
            );
        }
        if !(self.bootstrap.confidence > 0.0 && self.bootstrap.confidence < 1.0) {
            problem("/bootstrap/confidence", "a confidence lies between 0 and 1".to_owned(), "0.95 is usual");
        }
        if !self.is_asked() {
            for (name, is_given) in [
                ("num_fewshot", self.fewshot.num_fewshot > 0),
                ("open_book", self.passages.open_book),
                ("target_delimiter", self.target_delimiter.is_some()),
            ] {
                if is_given {
                    let message = "whole texts have no prompt in front of them".to_owned();
                    problem(&format!("/{name}"), message, "leave it out, or choose another `output_type`");
                }
            }
        }
        problems
    }
}
