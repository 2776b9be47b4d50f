//! The parameters of `compare`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kinds::score;

/// Says which arms are better than the baseline, and how surely.
///
/// Every input is a table of scored items, one row per item: `predictions` of `evaluate`, or whatever has an `id` and
/// columns of scores. Gathered over all variants (`predictions: scores[*]`) it gives one arm for each combination of
/// factors, and one draw for each replicate; other inputs are arms of their own, the same in every draw. Levels of a
/// factor on which a stage does not depend are one arm. An input with a column `signature` and without items (`scores`
/// of `evaluate`: `signatures: scores[*].scores`) says what exactly the metrics are: that stays with the numbers, and
/// metrics that differ in it are not compared.
///
/// Two questions are kept apart. *Is this choice of the method better?* (`question: draws`) has draws as its sample,
/// paired by draw and then by item: the difference to the baseline in every draw, and a t test of these. Below five
/// draws it is weak; one draw is not asked. Where a draw lacks an arm, the verdict goes by the draws that have both: a
/// mixed model (REML, Satterthwaite's degrees of freedom), which has a use for the others, stands beside it in
/// `mixed_difference` and `mixed_p`, for with few draws it is wrong in up to 8 % of studies at a nominal 5 %. With
/// fewer than two draws in common it is Welch's test. *Are these trained models different?* (`question: items`) is
/// asked of every draw, with its items (or clusters of them) as the sample: a bootstrap interval, a sign-flip test
/// (Fisher 1935), for scores of 0 and 1 McNemar's exact test. What it says holds for these models, and not for the next
/// draw.
///
/// `p_holm` is corrected for all questions of a metric, a factor, and a draw (Holm 1979): over all items for the arms,
/// by task for arms and tasks together. `verdict` says `better`, `worse`, `same within ±d` (by two one-sided tests,
/// corrected in the same way, where `margins` has one), `not shown`, or `not asked` and why; of an interaction, that
/// two levels together are `above the sum` or `below the sum` of their effects. `smallest` is the smallest difference
/// that would have been seen with the `power` asked for, `needed` the number of draws (or items) that would show the
/// difference that was seen; both are for a single question, before correction.
///
/// Nothing is dropped in silence: missing draws and items, and scores that are null or no numbers, are listed one by
/// one in `left_out`, and warned of. Where a stage failed in one variant, the others are
/// compared (in a run with `--keep-going`), and that one is listed, too: it is part of the key.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompareParams {
    /// Columns of scores; when left out, all columns of broken numbers that every input has.
    pub metrics: Vec<String>,
    /// The arm that others are held against, as the column `arm` calls it; when left out, the first one, of the first
    /// input by name.
    pub baseline: Option<String>,
    /// The column that says which item a row is about.
    pub item: String,
    /// The column that says which items belong together (several questions on one passage) and are one sample. An item
    /// without a value there is one by itself; where arms do not agree, the baseline's is taken, with a warning.
    pub cluster: Option<String>,
    /// Metrics of which less is better, besides those of `score` of which that is known: bits per byte, perplexities.
    pub lower_is_better: Vec<String>,
    /// By metric: a difference that does not matter.
    pub margins: BTreeMap<String, f64>,
    /// How often a difference may be seen where there is none.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub alpha: f64,
    /// How often a difference shall be seen where there is one, for `smallest` and `needed`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub power: f64,
    /// How intervals over items are found.
    pub bootstrap: CompareBootstrap,
}

impl CompareParams {
    /// Whether less of a metric is better.
    pub(crate) fn less_is_better(&self, metric: &str) -> bool {
        score::less_is_better(metric) || self.lower_is_better.iter().any(|name| name == metric)
    }
}

impl Default for CompareParams {
    fn default() -> Self {
        Self {
            metrics: Vec::new(),
            baseline: None,
            item: "id".into(),
            cluster: None,
            lower_is_better: Vec::new(),
            margins: BTreeMap::new(),
            alpha: 0.05,
            power: 0.8,
            bootstrap: CompareBootstrap::default(),
        }
    }
}

/// Resampling of items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompareBootstrap {
    /// Resamples of the interval, and of the test of equivalence.
    #[schemars(range(min = 1))]
    pub resamples: usize,
    /// Sign flips of the test; where there are no more than these, all of them.
    #[schemars(range(min = 1))]
    pub flips: usize,
    /// How the ends of the interval are found.
    pub interval: IntervalEnds,
    /// Which of the many sequences of resamples.
    pub seed: u64,
}

impl Default for CompareBootstrap {
    fn default() -> Self {
        Self { resamples: 2000, flips: 10_000, interval: IntervalEnds::default(), seed: 0 }
    }
}

/// How the ends of an interval are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalEnds {
    /// Quantiles of the resampled means.
    #[default]
    Percentile,
    /// The same, corrected for bias and skew (Efron 1987).
    Bca,
}
