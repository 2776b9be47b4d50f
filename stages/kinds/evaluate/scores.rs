//! Scores of answers, per item and summed up.

use std::{collections::BTreeMap, sync::Arc};

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use pipe_engine::kind::StageError;
use pipe_metrics::{Estimate, Metric, Normalizer, estimate, match_label};
use rayon::prelude::*;

use super::{super::examples::Row, ALL, params::EvaluateParams};

/// The share of items whose answer names the right label.
pub(super) const ACCURACY: &str = "accuracy";

/// For every item the label that its answer names, and whether it is the right one (1 or 0).
type Labelled = (Vec<Option<String>>, Vec<Option<f64>>);

/// The scores of every item.
pub(super) struct Scored {
    /// Each metric with the scores of all items.
    pub metrics: Vec<(Metric, Vec<f64>)>,
    /// Where any item has labels.
    pub labels: Option<Labelled>,
}

/// The labels that a row's references name.
pub(super) fn right_labels(row: &Row, normalizer: Normalizer) -> impl Iterator<Item = &str> {
    row.references.iter().filter_map(move |reference| match_label(normalizer, reference, &row.labels))
}

impl Scored {
    /// Scores `predictions[i]` against the references of `rows[i]`.
    pub(super) fn new(params: &EvaluateParams, rows: &[Row], predictions: &[&str]) -> Self {
        let normalizer = params.normalizer.normalizer();
        let metrics = (params.metrics.iter())
            .map(|name| {
                let metric = name.metric();
                let score = |(row, prediction): (&Row, &&str)| metric.score(normalizer, prediction, &row.references);
                (metric, rows.par_iter().zip(predictions).map(score).collect())
            })
            .collect();
        let labels = rows.iter().any(|row| !row.labels.is_empty()).then(|| {
            let matched = rows.iter().zip(predictions).map(|(row, prediction)| {
                if row.labels.is_empty() {
                    return (None, None);
                }
                let named = match_label(normalizer, prediction, &row.labels);
                let right = |label: &str| right_labels(row, normalizer).any(|right| right == label);
                (named.map(str::to_owned), Some(f64::from(u8::from(named.is_some_and(right)))))
            });
            matched.unzip()
        });
        Self { metrics, labels }
    }

    /// One row per task, in order of their names, and one over all items.
    pub(super) fn table(&self, params: &EvaluateParams, rows: &[Row]) -> Result<RecordBatch, StageError> {
        let mut tasks: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (i, row) in rows.iter().enumerate() {
            if let Some(task) = &row.task {
                tasks.entry(task).or_default().push(i);
            }
        }
        let mut groups: Vec<(&str, Vec<usize>)> = tasks.into_iter().collect();
        groups.push((ALL, (0..rows.len()).collect()));
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
            push(&mut columns, metric.name(), &summed_up(&|i| Some(values[i])));
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
        let normalizer = params.normalizer.normalizer();
        let mut parts: Vec<String> = self.metrics.iter().map(|(metric, _)| metric.signature(normalizer)).collect();
        if self.labels.is_some() {
            parts.push(format!("{ACCURACY}|norm:{}|label:equal,else first named|v2", normalizer.signature()));
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
