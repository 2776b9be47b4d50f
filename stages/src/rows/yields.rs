//! Yield tables: how many rows each filter dropped.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use pipe_engine::kind::StageError;

use super::completed::{NO_REFERENCE, unanswered};

/// Counts of outcomes. Every row has exactly one, so that they add up to the first line, `attempted`.
#[derive(Debug, Clone)]
pub(crate) struct Yield {
    counts: Vec<(&'static str, i64)>,
}

impl Yield {
    /// No rows yet. `outcomes` are the lines of the table, in order.
    pub(crate) fn new(outcomes: &[&'static str]) -> Self {
        Self { counts: outcomes.iter().map(|&name| (name, 0)).collect() }
    }

    /// Counts a row.
    ///
    /// # Panics
    /// If the outcome is none of those announced.
    pub(crate) fn add(&mut self, outcome: &str) {
        let line = self.counts.iter_mut().find(|(name, _)| *name == outcome);
        line.expect("outcomes are announced").1 += 1;
    }

    /// The table: `outcome` and `count`, all outcomes with those that did not occur; but for rows without an answer,
    /// which are rare.
    pub(crate) fn table(&self) -> Result<RecordBatch, StageError> {
        let attempted: i64 = self.counts.iter().map(|(_, n)| n).sum();
        let told = |(name, n): &(&str, i64)| *n > 0 || (*name != NO_REFERENCE && unanswered(name).is_none());
        let lines = || std::iter::once(("attempted", attempted)).chain(self.counts.iter().copied().filter(told));
        let schema = Schema::new(vec![
            Field::new("outcome", DataType::Utf8, false),
            Field::new("count", DataType::Int64, false),
        ]);
        RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(lines().map(|(name, _)| Some(name)).collect::<StringArray>()),
                Arc::new(lines().map(|(_, n)| n).collect::<Int64Array>()),
            ],
        )
        .map_err(|e| StageError::other("make the yield table", e))
    }

    /// The outcomes that occurred, largest first: `1,990 truncated, 10 kept`.
    pub(crate) fn told(&self) -> String {
        let mut lines: Vec<_> = self.counts.iter().filter(|(_, n)| *n > 0).collect();
        lines.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let mut text = String::new();
        for (name, n) in lines {
            let separator = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{separator}{n} {name}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::{super::completed::REFUSED, *};

    #[test]
    fn refused_rows_have_a_line_where_there_are_some() {
        let mut counts = Yield::new(&[REFUSED, "empty", "kept"]);
        let names = |counts: &Yield| -> Vec<String> {
            let table = counts.table().unwrap();
            table.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
        };
        counts.add("kept");
        assert_eq!(names(&counts), ["attempted", "empty", "kept"]);
        counts.add(REFUSED);
        assert_eq!(names(&counts), ["attempted", REFUSED, "empty", "kept"]);
    }
}
