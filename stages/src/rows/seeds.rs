//! The seed instructions that a stage shows or begins with.

use arrow::array::RecordBatch;
use pipe_engine::{context::StageContext, kind::StageError};

use super::columns::{self, Shown, TextColumn};
use crate::prompts::Passage;

/// A seed instruction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seed {
    /// Its id, or its row's number.
    pub id: String,
    /// What is to be done.
    pub instruction: String,
    /// What it is about; may be empty.
    pub input: String,
    /// The expert's answer; empty where the table has none.
    pub output: String,
    /// What was found for it, where the table says so, as passages of the words that are `shown`.
    pub passages: Vec<Passage>,
}

/// The seeds at a port. Rows without an instruction or, with `answered`, without an output are left out and counted:
/// they can be shown to nobody.
///
/// # Errors
/// There are none; a column is missing; an id occurs twice.
pub(crate) fn seeds(cx: &StageContext, port: &str, answered: bool) -> Result<Vec<Seed>, StageError> {
    seeds_with(cx, port, answered, None)
}

/// As [`seeds`], with what of their passages is `shown`.
///
/// # Errors
/// As [`seeds`].
pub(crate) fn seeds_with(
    cx: &StageContext,
    port: &str,
    answered: bool,
    shown: Option<Shown>,
) -> Result<Vec<Seed>, StageError> {
    let batch = cx.table(port)?.read()?;
    let seeds = whole_seeds(&batch, port, answered, shown)?;
    let left_out = batch.num_rows() - seeds.len();
    if left_out > 0 {
        cx.counter("seeds_empty", left_out as u64);
        let what = if answered { "instruction or no `output`" } else { "instruction" };
        cx.warn(format!("{left_out} of {} rows of `{port}` have no {what} and were left out", batch.num_rows()));
    }
    Ok(seeds)
}

fn whole_seeds(batch: &RecordBatch, port: &str, answered: bool, shown: Option<Shown>) -> Result<Vec<Seed>, StageError> {
    let ids = columns::ids(batch, port)?;
    if ids.is_empty() {
        return Err(StageError::user_help(
            format!("the input `{port}` has no rows"),
            "demonstrations are drawn from it: it needs one or more",
        ));
    }
    let instruction = TextColumn::required(batch, port, "instruction")?;
    let input = TextColumn::optional(batch, port, "input")?;
    let output = if answered { Some(TextColumn::required(batch, port, "output")?) } else { None };
    let passages = shown.map(|shown| columns::passages(batch, port, shown)).transpose()?.flatten();
    let seed = |(row, id): (usize, String)| Seed {
        id,
        instruction: instruction.or_empty(row).trim().to_owned(),
        input: input.as_ref().map_or("", |c| c.or_empty(row)).trim().to_owned(),
        output: output.as_ref().map_or("", |c| c.or_empty(row)).trim().to_owned(),
        passages: passages.as_ref().map(|all| all[row].clone()).unwrap_or_default(),
    };
    let whole = |seed: &Seed| !seed.instruction.is_empty() && (!answered || !seed.output.is_empty());
    let seeds: Vec<Seed> = ids.into_iter().enumerate().map(seed).filter(whole).collect();
    if seeds.is_empty() {
        let what = if answered { "both an `instruction` and an `output`" } else { "an `instruction`" };
        return Err(StageError::user_help(
            format!("no row of the input `{port}` has {what}"),
            "look at the stage that makes them",
        ));
    }
    Ok(seeds)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::rows::columns::tests::{batch, texts};

    #[test]
    fn seeds_are_read_and_their_mistakes_named() {
        let good = batch(vec![
            ("id", Arc::new(Int64Array::from(vec![7, 8]))),
            ("instruction", texts(&[Some(" Do it. "), Some("Do that.")])),
            ("output", texts(&[Some("done"), Some("did")])),
        ]);
        let read = whole_seeds(&good, "seeds", true, None).unwrap();
        assert_eq!(
            (&*read[0].id, &*read[0].instruction, &*read[0].input, &*read[1].output),
            ("7", "Do it.", "", "did")
        );

        let two = texts(&[Some("x"), Some("y")]);
        for (columns, message) in [
            (vec![("instructions", two.clone())], "`instruction`"),
            (
                vec![("instruction", texts(&[None, Some(" ")])), ("output", two.clone())],
                "no row of the input `seeds` has",
            ),
            (vec![("instruction", two.clone())], "`output`"),
            (vec![("instruction", two.clone()), ("output", texts(&[None, Some("")]))], "both an `instruction` and an"),
            (
                vec![("instruction", two.clone()), ("output", two.clone()), ("id", texts(&[Some("a"), Some("a")]))],
                "rows 1 and 2",
            ),
            (
                vec![("instruction", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef), ("output", two.clone())],
                "is Int64 where text",
            ),
            (vec![("instruction", texts(&[]))], "no rows"),
        ] {
            let error = whole_seeds(&batch(columns), "seeds", true, None).unwrap_err().to_string();
            assert!(error.contains(message), "{message}: {error}");
        }
        // One row that can be shown to nobody ends nothing.
        for columns in [
            vec![("instruction", texts(&[Some("x"), Some(" ")])), ("output", two.clone())],
            vec![("instruction", two.clone()), ("output", texts(&[Some("x"), None]))],
            vec![("instruction", texts(&[Some("x"), None])), ("output", texts(&[Some("x"), Some(" ")]))],
        ] {
            let read = whole_seeds(&batch(columns), "seeds", true, None).unwrap();
            assert_eq!(read.iter().map(|seed| &*seed.id).collect::<Vec<_>>(), ["0"]);
        }
    }
}
