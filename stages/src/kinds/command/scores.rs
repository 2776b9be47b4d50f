//! Columns of an output that are scores of its rows.

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
    util::display::{ArrayFormatter, FormatOptions},
};
use pipe_engine::{context::StageContext, kind::StageError};

use super::params::CommandParams;
use crate::{
    rows::scores::{BootstrapParams, Metric, summary},
    tabular::ColumnType,
};

/// Columns of the tables of scores that no score may be called.
pub(super) const RESERVED: [&str; 3] = ["task", "n", "signature"];

/// Whether a name is that of a column which tables of scores have beside the mean of another score.
pub(super) fn is_made_of(name: &str, score: &str) -> bool {
    let rest = name.strip_prefix(score);
    rest.is_some_and(|rest| matches!(rest, "_n" | "_stderr" | "_low" | "_high"))
}

/// Whether values of a type can be scores.
pub(super) fn is_number(column: &ColumnType) -> bool {
    matches!(column, ColumnType::Int | ColumnType::Long | ColumnType::Float | ColumnType::Bool)
}

/// The scores of an output's rows.
pub(super) struct Scored {
    output: String,
    metrics: Vec<(String, Vec<Option<f64>>)>,
    tasks: Vec<Option<String>>,
}

impl Scored {
    pub(super) fn new(params: &CommandParams) -> Self {
        Self {
            output: params.outputs.first().map(|(name, _)| name.clone()).unwrap_or_default(),
            metrics: params.scores.iter().map(|name| (name.clone(), Vec::new())).collect(),
            tasks: Vec::new(),
        }
    }

    /// The rows begin, or begin anew.
    pub(super) fn begin(&mut self) {
        self.tasks.clear();
        self.metrics.iter_mut().for_each(|(_, values)| values.clear());
    }

    /// The next rows.
    ///
    /// # Errors
    /// A column is not there, is no number, or holds what is not finite.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), StageError> {
        if self.metrics.is_empty() {
            return Ok(());
        }
        let before = self.tasks.len();
        for (name, values) in &mut self.metrics {
            let column = batch.column_by_name(name).ok_or_else(|| {
                StageError::user_help(format!("no column `{name}`"), "`scores` names columns of the first output")
            })?;
            let numbers = cast(column, &DataType::Float64)
                .map_err(|e| StageError::other(format!("read the column `{name}` as numbers"), e))?;
            let numbers = numbers.as_primitive::<Float64Type>();
            if let Some(row) = (0..numbers.len()).find(|&i| numbers.is_valid(i) && !numbers.value(i).is_finite()) {
                let message = format!("the score `{name}` is not finite in row {}", before + row + 1);
                return Err(StageError::user_help(message, "write null where a row has no score"));
            }
            values.extend(numbers.iter());
        }
        match batch.column_by_name("task") {
            Some(tasks) => {
                let options = FormatOptions::default();
                let shown = ArrayFormatter::try_new(tasks, &options).map_err(|e| StageError::other("read tasks", e))?;
                let task = |row: usize| tasks.is_valid(row).then(|| shown.value(row).to_string());
                self.tasks.extend((0..tasks.len()).map(task));
            }
            None => self.tasks.resize(before + batch.num_rows(), None),
        }
        Ok(())
    }

    /// Writes the tables, where there are scores.
    pub(super) fn write(&self, cx: &StageContext) -> Result<(), StageError> {
        if self.metrics.is_empty() {
            return Ok(());
        }
        for (name, values) in &self.metrics {
            let without = values.iter().filter(|value| value.is_none()).count();
            if values.is_empty() {
                cx.warn(format!("there are no rows, and so no `{name}`"));
            } else if without == values.len() {
                let help = "a mean needs a row with a number";
                return Err(StageError::user_help(format!("no row has the score `{name}`"), help));
            }
            if without > 0 && without < values.len() {
                cx.counter("rows_without_score", without as u64);
                cx.warn(format!(
                    "{without} of {} rows have no `{name}`, which is the mean of the others",
                    values.len()
                ));
            }
        }
        let items: Vec<(usize, Option<&str>)> = self.tasks.iter().map(Option::as_deref).enumerate().collect();
        let metrics: Vec<Metric<'_>> =
            self.metrics.iter().map(|(name, values)| Metric { name, values, may_lack: true, ratio: None }).collect();
        let interval = BootstrapParams::default();
        let computed = metrics.iter().map(|metric| format!("{}|column of {}", metric.name, self.output));
        let signature: Vec<String> = computed.chain([interval.signature()]).collect();
        summary(&items, &metrics, &interval, &signature.join("; "))?.write(cx)
    }
}
