//! Which labels are taken for which.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    error::ArrowError,
};
use pipe_engine::{
    context::StageContext,
    kind::{Column, Highlight, OutputPort, StageError},
};
use pipe_metrics::{Confusion, LabelScore};

use super::{
    params::EvaluateParams,
    scores::{Scored, right_labels},
};
use crate::rows::examples::Row;

const CELLS: &str = "confusion";
const LABELS: &str = "labels";

/// The outputs that `confusion: true` adds.
pub(super) fn ports() -> [OutputPort; 2] {
    let task = || Column::text("task", "The task; null for all items.");
    [
        OutputPort::table(CELLS)
            .about(
                "How often which label was taken for which: one row per pair that occurs, over all items and by task.",
            )
            .gives([
                task(),
                Column::text("right", "The right label."),
                Column::text("given", "The label that the answer names; null where it names none."),
                Column::number("n", "Items."),
            ]),
        OutputPort::table(LABELS)
            .about("How well every label is told, and the averages over them, over all items and by task.")
            .gives([
                task(),
                Column::text("average", "`micro`, `macro` or `weighted` (by support); null for a label."),
                Column::text("label", "The label; null for an average."),
                Column::number("precision", "Of the answers that give it, the share for which it is right."),
                Column::number("recall", "Of the items for which it is right, the share that give it."),
                Column::number("f1", "The harmonic mean of both; of averages the mean of it, but for `micro`."),
                Column::number("support", "Items for which it is right."),
                Column::number("predicted", "Answers that give it."),
            ]),
    ]
}

/// Macro and micro F1 over all items, which stand in front of those of tasks.
pub(super) fn highlights() -> Vec<Highlight> {
    let of = |average: &'static str, name: &'static str, heading: &'static str| Highlight::Score {
        name: name.into(),
        heading: heading.into(),
        port: LABELS,
        row: ("average", average),
        value: "f1".into(),
        standard_error: None,
    };
    vec![of("macro", "macro_f1", "macro F1"), of("micro", "micro_f1", "micro F1")]
}

/// Writes both outputs.
///
/// # Errors
/// No item has labels.
pub(super) fn write(
    params: &EvaluateParams,
    rows: &[Row],
    scored: &Scored,
    cx: &StageContext,
) -> Result<(), StageError> {
    let Some((given, _)) = &scored.labels else {
        return Err(StageError::user_help(
            "no item has `labels`, of which `confusion` tells",
            "give the items a column `labels` with the answers there are to choose from, or leave `confusion` out",
        ));
    };
    // All items first: what the table of arms shows is looked for from above.
    let mut groups: BTreeMap<Option<&str>, Confusion> = BTreeMap::from([(None, Confusion::default())]);
    for (row, given) in rows.iter().zip(given) {
        let right = right_labels(row, params.normalizer).map_err(|e| StageError::other("tell labels apart", e))?;
        let given = given.as_deref();
        // Of several right labels the one that was given, if it is one of them.
        let Some(&right) = right.iter().find(|label| Some(**label) == given).or(right.first()) else { continue };
        let mut count = |task| groups.entry(task).or_default().add(right.trim(), given.map(str::trim));
        count(None);
        if row.task.is_some() {
            count(row.task.as_deref());
        }
    }
    let failed = |e| StageError::other("gather labels in a table", e);
    let cells = cells(&groups).map_err(failed)?;
    cx.write_batches(CELLS, cells.schema_ref(), [&cells])?;
    let labels = labels(&groups).map_err(failed)?;
    cx.write_batches(LABELS, labels.schema_ref(), [&labels])?;
    Ok(())
}

type Groups<'a> = BTreeMap<Option<&'a str>, Confusion>;

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn cells(groups: &Groups<'_>) -> Result<RecordBatch, ArrowError> {
    let all = || groups.iter().flat_map(|(task, group)| group.cells().map(move |cell| (*task, cell)));
    let counts: ArrayRef = Arc::new(all().map(|(_, (.., n))| n as i64).collect::<Int64Array>());
    RecordBatch::try_from_iter_with_nullable([
        ("task", texts(all().map(|(task, _)| task)), true),
        ("right", texts(all().map(|(_, (right, ..))| Some(right))), false),
        ("given", texts(all().map(|(_, (_, given, _))| given)), true),
        ("n", counts, false),
    ])
}

/// Task, average and label, with their score.
type Line<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>, LabelScore);

fn labels(groups: &Groups<'_>) -> Result<RecordBatch, ArrowError> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (task, group) in groups {
        lines.extend(group.labels().into_iter().map(|(label, score)| (*task, None, Some(label), score)));
        let averages = group.averages();
        for (name, score) in [("micro", averages.micro), ("macro", averages.macro_), ("weighted", averages.weighted)] {
            lines.push((*task, Some(name), None, score));
        }
    }
    let share = |of: fn(&LabelScore) -> f64| -> ArrayRef {
        Arc::new(lines.iter().map(|(.., score)| of(score)).collect::<Float64Array>())
    };
    let count = |of: fn(&LabelScore) -> u64| -> ArrayRef {
        Arc::new(lines.iter().map(|(.., score)| of(score) as i64).collect::<Int64Array>())
    };
    RecordBatch::try_from_iter_with_nullable([
        ("task", texts(lines.iter().map(|line| line.0)), true),
        ("average", texts(lines.iter().map(|line| line.1)), true),
        ("label", texts(lines.iter().map(|line| line.2)), true),
        ("precision", share(|s| s.precision), false),
        ("recall", share(|s| s.recall), false),
        ("f1", share(|s| s.f1), false),
        ("support", count(|s| s.support), false),
        ("predicted", count(|s| s.predicted), false),
    ])
}

#[cfg(test)]
mod tests;
