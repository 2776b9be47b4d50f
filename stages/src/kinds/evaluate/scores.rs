//! Scores of answers, per item and summed up.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use pipe_engine::kind::StageError;
use pipe_metrics::{AmbiguousLabels, Estimate, Labels, Metric, Normalizer, estimate};
use rayon::prelude::*;

use super::{ALL, params::EvaluateParams};
use crate::rows::examples::Row;

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
    pub(super) fn table(&self, params: &EvaluateParams, rows: &[Row]) -> Result<RecordBatch, StageError> {
        let mut tasks: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        let scored = || rows.iter().enumerate().filter(|(_, row)| !row.references.is_empty());
        for (i, row) in scored() {
            if let Some(task) = &row.task {
                tasks.entry(task).or_default().push(i);
            }
        }
        let mut groups: Vec<(&str, Vec<usize>)> = tasks.into_iter().collect();
        groups.push((ALL, scored().map(|(i, _)| i).collect()));
        let counts: ArrayRef = Arc::new(groups.iter().map(|(_, items)| items.len() as i64).collect::<Int64Array>());
        let mut columns: Vec<(String, ArrayRef)> = vec![
            ("task".into(), Arc::new(groups.iter().map(|(task, _)| Some(*task)).collect::<StringArray>())),
            ("n".into(), counts),
        ];
        let summed_up = |values: &dyn Fn(usize) -> Option<f64>| -> Vec<Option<Estimate>> {
            let one = |(_, items): &(&str, Vec<usize>)| {
                let values: Vec<f64> = items.iter().filter_map(|&i| values(i)).collect();
                estimate(&values, params.bootstrap.confidence, params.bootstrap.resamples, params.bootstrap.seed)
            };
            groups.iter().map(one).collect()
        };
        for (metric, values) in &self.metrics {
            push(&mut columns, metric.name(), &summed_up(&|i| values[i]));
        }
        if let Some((_, correct)) = &self.labels {
            let estimates = summed_up(&|i| correct[i]);
            let counts = estimates.iter().map(|e| Some(e.map_or(0, |e| e.n as i64)));
            columns.push((format!("{ACCURACY}_n"), Arc::new(counts.collect::<Int64Array>())));
            push(&mut columns, ACCURACY, &estimates);
        }
        let signature = self.signature(params);
        columns.push(("signature".into(), Arc::new(StringArray::from(vec![signature; groups.len()]))));
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| {
            let nullable = column.null_count() > 0 || name.starts_with(ACCURACY);
            (name, column, nullable)
        }))
        .map_err(|e| StageError::other("gather the scores in a table", e))
    }

    /// What exactly was computed.
    fn signature(&self, params: &EvaluateParams) -> String {
        let normalizer = params.normalizer;
        let mut parts: Vec<String> = self.metrics.iter().map(|(metric, _)| metric.signature(normalizer)).collect();
        if self.labels.is_some() {
            parts.push(format!("{ACCURACY}|norm:{}|label:equal,else first whole one named|v3", normalizer.signature()));
        }
        let bootstrap = &params.bootstrap;
        parts.push(format!(
            "interval:percentile bootstrap over items,{},b={},seed={}",
            bootstrap.confidence, bootstrap.resamples, bootstrap.seed
        ));
        parts.join("; ")
    }
}

/// One number of an estimate.
type Part = fn(&Estimate) -> f64;

fn push(columns: &mut Vec<(String, ArrayRef)>, name: &str, estimates: &[Option<Estimate>]) {
    let parts: [(&str, Part); 4] =
        [("", |e| e.mean), ("_stderr", |e| e.standard_error), ("_low", |e| e.low), ("_high", |e| e.high)];
    for (suffix, value) in parts {
        let values: Float64Array = estimates.iter().map(|e| e.as_ref().map(value)).collect();
        columns.push((format!("{name}{suffix}"), Arc::new(values)));
    }
}

#[cfg(test)]
mod tests;
