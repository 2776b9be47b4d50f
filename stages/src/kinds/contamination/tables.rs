//! The tables that the kind writes.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    error::ArrowError,
};
use pipe_engine::{context::StageContext, kind::StageError};

use super::found::{Found, Item, Match, Verdict};

const CLEAN: &str = "clean";

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<Float64Array>())
}

/// Writes all outputs.
pub(super) fn write(cx: &StageContext, items: &[Item], found: &Found) -> Result<(), StageError> {
    let tables = [
        ("items", of_items(items, found)),
        ("matches", of_matches(items, &found.matches)),
        ("summary", summary(items.len(), found)),
    ];
    for (port, table) in tables {
        let table = table.map_err(|e| StageError::other("gather what was found in a table", e))?;
        cx.write_batches(port, table.schema_ref(), [&table])?;
    }
    Ok(())
}

fn of_items(items: &[Item], found: &Found) -> Result<RecordBatch, ArrowError> {
    let worst: Vec<Option<&Match>> = found.worst(items.len()).collect();
    let all = || worst.iter().copied();
    RecordBatch::try_from_iter_with_nullable([
        ("id", texts(items.iter().map(|item| Some(item.id.as_str()))), false),
        ("task", texts(items.iter().map(|item| item.task.as_deref())), true),
        ("verdict", texts(all().map(|found| Some(found.map_or(CLEAN, |found| found.verdict.name())))), false),
        ("source", texts(all().map(|found| found.map(|found| found.source))), true),
        ("found_in", texts(all().map(|found| found.map(|found| found.id.as_str()))), true),
        ("share", numbers(all().map(|found| found.map_or(0.0, |found| found.share))), false),
    ])
}

fn of_matches(items: &[Item], matches: &[Match]) -> Result<RecordBatch, ArrowError> {
    let of = |value: fn(&Match) -> &str| texts(matches.iter().map(|found| Some(value(found))));
    RecordBatch::try_from_iter_with_nullable([
        ("id", texts(matches.iter().map(|found| Some(items[found.item].id.as_str()))), false),
        ("source", of(|found| found.source), false),
        ("verdict", of(|found| found.verdict.name()), false),
        ("found_in", of(|found| &found.id), false),
        ("share", numbers(matches.iter().map(|found| found.share)), false),
        ("text", of(|found| &found.text), false),
    ])
}

fn summary(items: usize, found: &Found) -> Result<RecordBatch, ArrowError> {
    let mut lines: Vec<(Option<&str>, &str, usize)> = Vec::new();
    let mut add = |source, worst: &[Option<Verdict>]| {
        let count = |verdict| worst.iter().filter(|known| **known == verdict).count();
        lines.extend(Verdict::ALL.map(|verdict| (source, verdict.name(), count(Some(verdict)))));
        lines.push((source, CLEAN, count(None)));
    };
    for source in &found.sources {
        add(Some(*source), &found.worst_in(source, items));
    }
    let worst: Vec<Option<Verdict>> = found.worst(items).map(|found| found.map(|found| found.verdict)).collect();
    add(None, &worst);
    let counts: ArrayRef = Arc::new(lines.iter().map(|line| line.2 as i64).collect::<Int64Array>());
    RecordBatch::try_from_iter_with_nullable([
        ("source", texts(lines.iter().map(|line| line.0)), true),
        ("verdict", texts(lines.iter().map(|line| Some(line.1))), false),
        ("items", counts, false),
        ("share", numbers(lines.iter().map(|line| line.2 as f64 / items as f64)), false),
    ])
}
