//! Scores of items, summed up: over all, and by task.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use pipe_engine::{
    context::StageContext,
    kind::{Column, Highlight, OutputPort, StageError},
};
use pipe_statistics::{Estimate, estimate_ratio, estimates};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The row of `scores` that is about all items.
const ALL: &str = "all";

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

impl BootstrapParams {
    /// What exactly is computed.
    pub(crate) fn signature(&self) -> String {
        format!("interval:percentile bootstrap over items,{},b={},seed={}", self.confidence, self.resamples, self.seed)
    }
}

/// The scores of items by one metric.
pub(crate) struct Metric<'a> {
    /// What it is called.
    pub name: &'a str,
    /// By item; `None` for one that has no score.
    pub values: &'a [Option<f64>],
    /// Whether items that are counted may have no score: then how many have one is told, too.
    pub may_lack: bool,
    /// Where it is no mean over items: what it is instead.
    pub ratio: Option<Ratio<'a>>,
}

/// A metric that is a function of a sum over items through another: the bits of all texts per byte of them.
#[derive(Clone, Copy)]
pub(crate) struct Ratio<'a> {
    /// By item.
    pub above: &'a [f64],
    /// By item.
    pub below: &'a [f64],
    /// What is made of the ratio.
    pub then: fn(f64) -> f64,
}

/// The outputs `scores` and `tasks` for metrics of these names.
pub(crate) fn ports<'a>(metrics: impl Iterator<Item = &'a str>) -> [OutputPort; 2] {
    let columns: Vec<Column> = metrics
        .flat_map(|name| {
            [
                Column::number(name.to_owned(), "The mean."),
                Column::number(format!("{name}_stderr"), "Its standard error."),
                Column::number(format!("{name}_low"), "The lower end of its interval."),
                Column::number(format!("{name}_high"), "The upper end of its interval."),
            ]
        })
        .collect();
    let port = |name: &'static str, about: &'static str, task: &'static str| {
        OutputPort::table(name)
            .about(about)
            .gives([
                Column::text("task", task),
                Column::number("n", "Items."),
                Column::text("signature", "What exactly was computed."),
            ])
            .may_give(columns.clone())
    };
    [
        port("scores", "One row, over all items.", "`all`."),
        port("tasks", "One row per task: the same over its items.", "The task."),
    ]
}

/// The metric's mean over all items, for the table of arms.
pub(crate) fn highlight(name: impl Into<Cow<'static, str>>, heading: impl Into<Cow<'static, str>>) -> Highlight {
    let name = name.into();
    let standard_error = Some(format!("{name}_stderr").into());
    let (value, heading) = (name.clone(), heading.into());
    Highlight::Score { name, heading, port: "scores", row: ("task", ALL), value, standard_error }
}

/// One row per task, in order of their names, and a last one over all items.
pub(crate) struct Summary(RecordBatch);

impl Summary {
    /// Writes both outputs.
    pub(crate) fn write(&self, cx: &StageContext) -> Result<(), StageError> {
        let table = &self.0;
        let tasks = table.num_rows() - 1;
        cx.write_batches("scores", table.schema_ref(), [&table.slice(tasks, 1)])?;
        cx.write_batches("tasks", table.schema_ref(), [&table.slice(0, tasks)])?;
        Ok(())
    }

    /// The table.
    #[cfg(test)]
    pub(crate) fn table(&self) -> &RecordBatch {
        &self.0
    }
}

/// Sums up the scores of `items`: their places among the metrics' values, and their tasks.
pub(crate) fn summary(
    items: &[(usize, Option<&str>)],
    metrics: &[Metric<'_>],
    interval: &BootstrapParams,
    signature: &str,
) -> Result<Summary, StageError> {
    let mut tasks: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &(item, task) in items {
        if let Some(task) = task {
            tasks.entry(task).or_default().push(item);
        }
    }
    let mut groups: Vec<(&str, Vec<usize>)> = tasks.into_iter().collect();
    groups.push((ALL, items.iter().map(|&(item, _)| item).collect()));
    let counts: ArrayRef = Arc::new(groups.iter().map(|(_, items)| items.len() as i64).collect::<Int64Array>());
    let names: ArrayRef = Arc::new(groups.iter().map(|(task, _)| Some(*task)).collect::<StringArray>());
    let mut columns: Vec<(String, ArrayRef, bool)> = vec![("task".into(), names, false), ("n".into(), counts, false)];
    // By group and metric.
    let found: Vec<Vec<Option<Estimate>>> =
        groups.iter().map(|(_, items)| of_group(items, metrics, interval)).collect();
    for (place, metric) in metrics.iter().enumerate() {
        let estimates: Vec<Option<Estimate>> = found.iter().map(|group| group[place]).collect();
        if metric.may_lack {
            let counts = estimates.iter().map(|e| Some(e.map_or(0, |e| e.n as i64)));
            columns.push((format!("{}_n", metric.name), Arc::new(counts.collect::<Int64Array>()), true));
        }
        for (suffix, value) in PARTS {
            let values: Float64Array = estimates.iter().map(|e| e.as_ref().map(value)).collect();
            let nullable = metric.may_lack || values.null_count() > 0;
            columns.push((format!("{}{suffix}", metric.name), Arc::new(values), nullable));
        }
    }
    columns.push(("signature".into(), Arc::new(StringArray::from(vec![signature; groups.len()])), false));
    let table = RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|e| StageError::other("gather the scores in a table", e))?;
    Ok(Summary(table))
}

/// The estimate of each metric over `items`.
fn of_group(items: &[usize], metrics: &[Metric<'_>], interval: &BootstrapParams) -> Vec<Option<Estimate>> {
    let BootstrapParams { resamples, confidence, seed } = *interval;
    let values = |metric: &Metric<'_>| items.iter().filter_map(|&item| metric.values[item]).collect();
    let means: Vec<Vec<f64>> = metrics.iter().filter(|metric| metric.ratio.is_none()).map(values).collect();
    let means: Vec<&[f64]> = means.iter().map(Vec::as_slice).collect();
    let mut means = estimates(&means, confidence, resamples, seed).into_iter();
    let one = |metric: &Metric<'_>| {
        let Some(Ratio { above, below, then }) = metric.ratio else { return means.next().flatten() };
        let scored = items.iter().filter(|&&item| metric.values[item].is_some());
        let pairs: Vec<(f64, f64)> = scored.map(|&item| (above[item], below[item])).collect();
        estimate_ratio(&pairs, then, confidence, resamples, seed)
    };
    metrics.iter().map(one).collect()
}

/// One number of an estimate.
type Part = fn(&Estimate) -> f64;

const PARTS: [(&str, Part); 4] =
    [("", |e| e.mean), ("_stderr", |e| e.standard_error), ("_low", |e| e.low), ("_high", |e| e.high)];
