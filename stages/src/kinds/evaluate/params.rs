//! The parameters of `evaluate`.

use pipe_engine::kind::ParamProblem;
use pipe_metrics::{BadExtract, Extract, ExtractMatch, Metric, Normalizer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Evaluate;
use crate::{
    model::{ModelRef, WeightForm, sampling::Sampling},
    prompts::{ChatDate, Purpose, TemplateRef, template_variables},
    rows::{fewshot::FewshotParams, open_book::OpenBook, scores::BootstrapParams},
};

/// What still has a meaning where answers are given.
const MEANT: [&str; 9] = [
    "predictions",
    "metrics",
    "normalizer",
    "bootstrap",
    "reasoning",
    "max_refused",
    "extract",
    "extract_match",
    "confusion",
];

/// Answers every row of `items` with a model (and an `adapter`), and scores the answers; or scores the answers that a
/// column of `items` has (`predictions`), and asks no model.
///
/// With `labels`, answers to choose from, the label that an answer names is compared with the reference, as `accuracy`.
/// With `num_fewshot` the prompt shows rows of `seeds`. Answers to rows seen before are reused.
///
/// An item whose prompt does not fit into the model's context, or that the model or its server refuses, scores 0; one
/// without an answer to compare with is not scored. What a model thinks in front of its answer (`<think>...</think>`)
/// is no part of the answer (`reasoning`).
///
/// `scores` and `tasks` have the mean of each metric, its standard error (`_stderr`: sample standard deviation over the
/// square root of n), a percentile bootstrap interval over items (`_low`, `_high`; Efron 1979), and the `signature`
/// that says what exactly was computed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = WeightForm::with_old_name)]
pub struct EvaluateParams {
    /// The column of `items` with answers that were given elsewhere or before: other people's, a hosted model's, those
    /// of an earlier `evaluate` for other metrics. Where it is null there is no answer. Then there is no `model`, nor
    /// any parameter that says how one is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predictions: Option<String>,
    /// The model. Its files enter the key by content. Or connect the input `model`.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub model: Option<ModelRef>,
    /// The form in which the model's weights are kept in memory. Give an adapter that was trained with `weights: nf4`
    /// the same here: it is then examined on the weights it was trained on.
    #[serde(
        default,
        rename(serialize = "quantization"),
        alias = "quantization",
        skip_serializing_if = "WeightForm::is_default"
    )]
    pub weights: WeightForm,
    /// The prompt in front of the answer; the same one as in `respond` and `train`. Its text enters the key.
    #[serde(default)]
    #[schemars(extend("x-operational" = true, "x-variables" = template_variables(Purpose::Respond)))]
    pub template: TemplateRef,
    /// The date that the model's chat template may print (`strftime_now`), such as 2025-01-31. It is never the clock's:
    /// 2024-07-26 when left out, as Llama 3's template has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_date: Option<ChatDate>,
    /// The domain that templates may name.
    #[serde(default)]
    pub domain: String,
    /// The seeds that the prompt shows.
    #[serde(flatten)]
    pub fewshot: FewshotParams,
    /// The passages that the prompt shows.
    #[serde(flatten)]
    pub passages: OpenBook,
    /// A regular expression that says what of an answer is scored, as lm-evaluation-harness's filter `regex` takes it:
    /// its only group, or the first group that holds something, or the whole match. An answer without a match scores 0.
    /// The regular expressions are Rust's: without look-around and back-references.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extract: Option<String>,
    /// Which of several matches of `extract` counts.
    #[serde(default, skip_serializing_if = "ExtractMatch::is_first")]
    pub extract_match: ExtractMatch,
    /// What is measured.
    #[serde(default = "default_metrics")]
    pub metrics: Vec<Metric>,
    /// How answers are normalised before they are compared. ROUGE-L has a tokenisation of its own. For scripts that put
    /// no space between words (Chinese, Japanese, Thai) it is `unicode`.
    #[serde(default)]
    pub normalizer: Normalizer,
    /// For items with `labels`: which labels are taken for which (the output `confusion`), and precision, recall and F1
    /// of each, with their micro, macro and weighted averages (the output `labels`), as scikit-learn computes them.
    /// Macro and micro F1 then stand in the table of arms.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confusion: bool,
    /// How the answer is sampled.
    #[serde(flatten)]
    pub sampling: Sampling<Evaluate>,
    /// The intervals.
    #[serde(default)]
    pub bootstrap: BootstrapParams,
}

fn default_metrics() -> Vec<Metric> {
    ["token_f1", "rouge_l", "exact_match"].into_iter().filter_map(Metric::named).collect()
}

impl EvaluateParams {
    /// What is taken out of answers; `None` where they are scored as they are.
    pub(super) fn extraction(&self) -> Option<Result<Extract, BadExtract>> {
        self.extract.as_ref().map(|regex| Extract::new(regex, self.extract_match))
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
        if let Some(Err(error)) = self.extraction() {
            problem("/extract", &error.to_string(), "groups say what is taken: `answer is (\\w+)`");
        }
        if self.extract.is_none() && !self.extract_match.is_first() {
            problem(
                "/extract_match",
                "there is no `extract` whose match it could be",
                "leave it out, or give `extract`",
            );
        }
        if !(0.0..1.0).contains(&self.bootstrap.confidence) || self.bootstrap.confidence == 0.0 {
            problem("/bootstrap/confidence", "a confidence lies between 0 and 1", "0.95 is usual");
        }
        problems.extend(self.sampling.problems());
        if self.predictions.is_some() {
            problems.extend(self.problems_beside_predictions());
        }
        problems
    }
    /// Parameters that say how a model is asked, where answers are given.
    fn problems_beside_predictions(&self) -> Vec<ParamProblem> {
        let as_map = |params: &Self| match serde_json::to_value(params) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        };
        let usual = serde_json::from_value(json!({})).map(|usual| as_map(&usual)).unwrap_or_default();
        let own = as_map(self);
        let other =
            own.iter().filter(|(name, value)| !MEANT.contains(&name.as_str()) && usual.get(*name) != Some(value));
        let problem = |name: &String| ParamProblem {
            pointer: format!("/{name}"),
            message: format!(
                "`{name}` is for a model that is asked, and `predictions` says that the answers are given"
            ),
            help: Some(format!("leave `{name}` out, or `predictions`")),
        };
        other.map(|(name, _)| problem(name)).collect()
    }
}
