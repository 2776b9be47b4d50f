//! The parameters of `compare`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Says which arms are better than the baseline, and how surely.
///
/// Every input is a table of scored items, one row per item: `predictions` of `evaluate`, or whatever has an `id` and
/// columns of scores. Gathered over all variants (`predictions: scores[*]`) it gives one arm for each combination of
/// factors, and one draw for each replicate; other inputs are arms of their own. Items are paired by draw and by `id`.
///
/// Two questions are kept apart. *Is this choice of the method better?* (`question: draws`) has draws as its sample: the
/// difference to the baseline in every draw, and a t interval over them; a mixed model with Satterthwaite's degrees of
/// freedom where a draw lacks an arm. Below five draws it is weak; one draw is not asked. *Are these trained models
/// different?* (`question: items`) is asked of every draw, with its items as the sample: a bootstrap interval, a
/// sign-flip test (Fisher 1935), for scores of 0 and 1 McNemar's exact test. `p_holm` is corrected for all questions of a
/// metric and a factor (Holm 1979): over all items for the arms, by task for arms and tasks together.
///
/// `verdict` says `better`, `worse`, `same within ±d` (by two one-sided tests, where `margins` has one), `not shown`,
/// or `not asked` and why. `smallest` is the smallest difference that would have been seen with the `power` asked for,
/// `needed` the number of draws (or items) that would show the difference that was seen.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompareParams {
    /// Columns of scores; when left out, all columns of broken numbers that every input has.
    pub metrics: Vec<String>,
    /// The arm that others are held against, as the column `arm` calls it; the first one when left out.
    pub baseline: Option<String>,
    /// The column that says which item a row is about.
    pub item: String,
    /// The column that says which items belong together (several questions on one passage) and are one sample.
    pub cluster: Option<String>,
    /// Metrics of which less is better.
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

/// Bootstrap over items.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompareBootstrap {
    /// Resamples of the interval, and sign flips of the test.
    #[schemars(range(min = 1))]
    pub resamples: usize,
    /// How the ends of the interval are found.
    pub interval: IntervalEnds,
    /// Which of the many sequences of resamples.
    pub seed: u64,
}

impl Default for CompareBootstrap {
    fn default() -> Self {
        Self { resamples: 10_000, interval: IntervalEnds::default(), seed: 0 }
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
