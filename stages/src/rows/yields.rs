//! Yield tables: how many rows each filter dropped.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use pipe_engine::{context::StageContext, kind::StageError};

use super::{
    completed::{NO_REFERENCE, unanswered},
    words::first_words,
};

/// The outcome of a row that goes on.
pub(crate) const KEPT: &str = "kept";
/// Examples of an outcome that are kept for people.
const EXAMPLES: usize = 3;
/// Words of an example that are shown.
const EXAMPLE_WORDS: usize = 24;

/// What is done about an outcome that too many rows have.
const ADVICE: &[(&str, &str)] = &[
    (
        "truncated",
        "raise `max_new_tokens`, or show shorter examples; `filters: { truncated: trim }` saves texts with a whole \
         sentence in them, and no others",
    ),
    ("unparsed", "the model does not continue the list: look at the prompt (`template`), or show more seeds"),
    ("too_few_words", "lower `filters.min_words`, or show longer examples"),
    ("too_many_words", "raise `filters.max_words`, or end texts earlier (`stop`)"),
    (
        "bad_beginning",
        "look at where the prompt ends (`template`); `filters: { first_character: false }` lets them pass",
    ),
    ("forbidden_word", "take words of your domain out of `filters.forbidden_words`"),
    ("excluded", "the model writes what the exam asks: show other seeds"),
    ("duplicate", "raise the temperature, or show other seeds"),
    ("near_duplicate", "raise the temperature, show other seeds or `documents`, or raise `filters.rouge_l`"),
    ("echo", "show demonstrations with their answers (`seeds`), or another template"),
    ("empty", "look at where the prompt ends (`template`), and at the strings that end a text (`stop`)"),
    ("repetitive", "set `repetition_penalty` to 1.1, a temperature above 0, or fewer `max_new_tokens`"),
    ("low_passage_score", "questions go beyond the corpus: show `documents` where they are written"),
    ("question_not_in_passages", "questions go beyond the corpus: show `documents` where they are written"),
    (
        "answer_not_in_passages",
        "answers do not keep to their passages: show demonstrations that do, or longer passages",
    ),
    ("other_language", "say in the prompt which language is wanted, or name it in `filters.languages`"),
];

/// What to do about an outcome, where there is something.
pub(crate) fn advice(outcome: &str) -> Option<&'static str> {
    ADVICE.iter().find(|(name, _)| *name == outcome).map(|(_, advice)| *advice)
}

/// Counts of outcomes. Every row has exactly one, so that they add up to the first line, `attempted`.
#[derive(Debug, Clone)]
pub(crate) struct Yield {
    counts: Vec<(&'static str, i64)>,
    /// The first rows of each outcome, as people are told them.
    examples: Vec<Vec<String>>,
}

impl Yield {
    /// No rows yet. `outcomes` are the lines of the table, in order.
    pub(crate) fn new(outcomes: &[&'static str]) -> Self {
        let counts = outcomes.iter().map(|&name| (name, 0)).collect();
        Self { counts, examples: vec![Vec::new(); outcomes.len()] }
    }

    /// Counts a row.
    ///
    /// # Panics
    /// If the outcome is none of those announced.
    pub(crate) fn add(&mut self, outcome: &str) {
        self.count(outcome);
    }

    /// As [`Self::add`]; `example` shows the row, should people want to see some.
    ///
    /// # Panics
    /// As [`Self::add`].
    pub(crate) fn add_with(&mut self, outcome: &str, example: impl FnOnce() -> String) {
        let line = self.count(outcome);
        if self.examples[line].len() < EXAMPLES {
            let whole = example();
            let shown = first_words(&whole, EXAMPLE_WORDS);
            let more = if shown.len() < whole.trim_end().len() { " …" } else { "" };
            let one_line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            self.examples[line].push(format!("{one_line}{more}"));
        }
    }

    fn count(&mut self, outcome: &str) -> usize {
        let line = self.counts.iter().position(|(name, _)| *name == outcome).expect("outcomes are announced");
        self.counts[line].1 += 1;
        line
    }

    /// Says why, with three examples and what to do, where more than half of the rows were dropped; they are the
    /// `whats` of the message.
    pub(crate) fn warn_of_many(&self, cx: &StageContext, whats: &str) {
        if let Some(told) = self.told_of_many(whats) {
            cx.warn(told);
        }
    }

    fn told_of_many(&self, whats: &str) -> Option<String> {
        let all: i64 = self.counts.iter().map(|(_, n)| n).sum();
        let dropped = || self.counts.iter().enumerate().filter(|(_, (name, _))| *name != KEPT);
        if 2 * dropped().map(|(_, (_, n))| n).sum::<i64>() <= all {
            return None;
        }
        let (line, (name, _)) = dropped().max_by_key(|(line, (_, n))| (*n, std::cmp::Reverse(*line)))?;
        let mut text = format!("more than half of the {all} {whats} were dropped ({})", self.told());
        let examples: Vec<String> = self.examples[line].iter().map(|example| format!("`{example}`")).collect();
        if !examples.is_empty() {
            let _ = write!(text, "; {name}, for example: {}", examples.join(", "));
        }
        if let Some(advice) = advice(name) {
            let _ = write!(text, "; {advice}");
        }
        Some(text)
    }

    /// How many rows have the outcome; 0 where it was not announced.
    pub(crate) fn number(&self, outcome: &str) -> i64 {
        self.counts.iter().find(|(name, _)| *name == outcome).map_or(0, |(_, n)| *n)
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
    fn where_most_is_dropped_the_reason_and_examples_are_told() {
        let mut counts = Yield::new(&["truncated", "echo", "kept"]);
        counts.add_with("kept", || "fine".into());
        counts.add_with("echo", || "What is it? → What is it?".into());
        assert_eq!(counts.told_of_many("answers"), None, "half of them");
        for text in ["one  two\nthree", "four", "five", "six"] {
            counts.add_with("truncated", || text.into());
        }
        let told = counts.told_of_many("answers").unwrap();
        assert!(told.starts_with("more than half of the 6 answers were dropped (4 truncated, "), "{told}");
        assert!(told.contains("truncated, for example: `one two three`, `four`, `five`; raise `max_new"), "{told}");
    }

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
