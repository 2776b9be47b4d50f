//! Scores of answers, per item and summed up.

use pipe_engine::kind::StageError;
use pipe_metrics::{AmbiguousLabels, Labels, Metric, Normalizer};
use rayon::prelude::*;

use super::params::EvaluateParams;
use crate::rows::{
    examples::Row,
    scores::{self, Summary},
};

/// The share of items whose answer names the right label.
pub(super) const ACCURACY: &str = "accuracy";

/// For every item the label that its answer names, and whether it is the right one (1 or 0).
type Labelled = (Vec<Option<String>>, Vec<Option<f64>>);

/// The scores of every item.
pub(super) struct Scored {
    /// Each metric with the scores of all items; `None` where there is nothing to compare an answer with.
    pub metrics: Vec<(Metric, Vec<Option<f64>>)>,
    /// Where any item has labels.
    pub labels: Option<Labelled>,
}

/// Whether a row's references name one of its labels, told apart; `None` where it has none to choose from, or none that
/// is right.
///
/// # Errors
/// Two of its labels cannot be told apart.
pub(super) fn is_labelled(row: &Row, normalizer: Normalizer) -> Result<Option<bool>, AmbiguousLabels> {
    if row.labels.is_empty() || row.references.is_empty() {
        return Ok(None);
    }
    let labels = Labels::new(normalizer, &row.labels)?;
    Ok(Some(row.references.iter().any(|reference| labels.named_in(reference).is_some())))
}

/// Those of a row's labels that its references name.
///
/// # Errors
/// Two of its labels cannot be told apart.
pub(super) fn right_labels(row: &Row, normalizer: Normalizer) -> Result<Vec<&str>, AmbiguousLabels> {
    let labels = Labels::new(normalizer, &row.labels)?;
    Ok(row.references.iter().filter_map(|reference| labels.named_in(reference)).collect())
}

/// The label that an answer names, and whether it is one that the references name; `None` where they name none.
fn judged(
    row: &Row,
    normalizer: Normalizer,
    answer: Option<&str>,
) -> Result<(Option<String>, Option<f64>), AmbiguousLabels> {
    if row.labels.is_empty() || row.references.is_empty() {
        return Ok((None, None));
    }
    let labels = Labels::new(normalizer, &row.labels)?;
    let named = answer.and_then(|answer| labels.named_in(answer));
    let right: Vec<&str> = row.references.iter().filter_map(|reference| labels.named_in(reference)).collect();
    let score = named.is_some_and(|named| right.contains(&named));
    Ok((named.map(str::to_owned), (!right.is_empty()).then_some(f64::from(u8::from(score)))))
}

impl Scored {
    /// Scores `answers[i]` against the references of `rows[i]`. A row without an answer scores 0; one without
    /// references has no score.
    ///
    /// # Errors
    /// Two labels of a row cannot be told apart.
    pub(super) fn new(
        params: &EvaluateParams,
        rows: &[Row],
        answers: &[Option<&str>],
    ) -> Result<Self, AmbiguousLabels> {
        let normalizer = params.normalizer;
        let metrics = (params.metrics.iter())
            .map(|&metric| {
                let score = |(row, answer): (&Row, Option<&str>)| {
                    let score = answer.map_or(0.0, |answer| metric.score(normalizer, answer, &row.references));
                    (!row.references.is_empty()).then_some(score)
                };
                (metric, rows.par_iter().zip(answers.par_iter().copied()).map(score).collect())
            })
            .collect();
        let labels = if rows.iter().any(|row| !row.labels.is_empty()) {
            let judged = rows.iter().zip(answers).map(|(row, answer)| judged(row, normalizer, *answer));
            Some(judged.collect::<Result<Vec<_>, _>>()?.into_iter().unzip())
        } else {
            None
        };
        Ok(Self { metrics, labels })
    }

    /// One row per task, in order of their names, and one over all items; of items with references, the others are not
    /// counted.
    pub(super) fn summary(&self, params: &EvaluateParams, rows: &[Row]) -> Result<Summary, StageError> {
        let scored = rows.iter().enumerate().filter(|(_, row)| !row.references.is_empty());
        let items: Vec<(usize, Option<&str>)> = scored.map(|(i, row)| (i, row.task.as_deref())).collect();
        let metric = |name, values, may_lack| scores::Metric { name, values, may_lack, ratio: None };
        let metrics = self.metrics.iter().map(|(of, values)| metric(of.name(), &**values, false));
        let accuracy = self.labels.iter().map(|(_, correct)| metric(ACCURACY, &**correct, true));
        let metrics: Vec<scores::Metric<'_>> = metrics.chain(accuracy).collect();
        scores::summary(&items, &metrics, &params.bootstrap, &self.signature(params))
    }

    /// What exactly was computed.
    fn signature(&self, params: &EvaluateParams) -> String {
        let normalizer = params.normalizer;
        let mut parts: Vec<String> = self.metrics.iter().map(|(metric, _)| metric.signature(normalizer)).collect();
        if self.labels.is_some() {
            parts.push(format!("{ACCURACY}|norm:{}|label:equal,else first whole one named|v4", normalizer.signature()));
        }
        if let Some(Ok(extract)) = params.extraction() {
            for part in &mut parts {
                *part = format!("{part}|{}", extract.signature());
            }
        }
        parts.push(params.bootstrap.signature());
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests;
