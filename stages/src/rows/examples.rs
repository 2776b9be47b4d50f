//! Rows with an instruction and an answer, as `train` and `evaluate` read them.

use arrow::array::RecordBatch;
use pipe_engine::{context::StageContext, kind::StageError};
use pipe_lm::chat::Message;

use crate::{
    prompts::Passage,
    rows::columns::{self, Shown, TextColumn},
};

/// One row.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row {
    /// The column `id` as text, or the row's number from 0 where there is none.
    pub id: String,
    /// What is asked; blank where the row has nothing.
    pub instruction: String,
    /// What it is about; empty where the column is missing or null.
    pub input: String,
    /// The right answers, without blank ones: the list in `references` where it has one, else `output`. Empty where the
    /// row has none.
    pub references: Vec<String>,
    /// The column `task`.
    pub task: Option<String>,
    /// The answers that there are to choose from; empty where the task is not of that sort.
    pub labels: Vec<String>,
    /// What is shown of the column `passages`, best first.
    pub passages: Vec<Passage>,
    /// A whole conversation, in place of one question and its answer.
    pub messages: Vec<Message>,
}

/// Reads the rows of a table at `port`. Of the columns `id`, `instruction`, `input`, `output`, `references`, `task`,
/// `labels` and `passages` (of which what is `shown` is read), `instruction` and one of `output` and `references` must
/// be there.
///
/// # Errors
/// A column is missing or of the wrong type; an id occurs twice. Each names the row and column.
pub(crate) fn read_rows(table: &RecordBatch, port: &str, shown: Option<Shown>) -> Result<Vec<Row>, StageError> {
    let ids = columns::ids(table, port)?;
    let instructions = TextColumn::required(table, port, "instruction")?;
    let inputs = TextColumn::optional(table, port, "input")?;
    let references = columns::text_lists(table, port, "references")?;
    let outputs = match references {
        None => Some(TextColumn::required(table, port, "output")?),
        Some(_) => TextColumn::optional(table, port, "output")?,
    };
    let tasks = TextColumn::optional(table, port, "task")?;
    let mut references = references.unwrap_or_default().into_iter();
    let mut labels = columns::text_lists(table, port, "labels")?.unwrap_or_default().into_iter();
    let passages = shown.map(|shown| columns::passages(table, port, shown)).transpose()?;
    let mut passages = passages.flatten().unwrap_or_default().into_iter();
    let mut rows = Vec::with_capacity(ids.len());
    for (row, id) in ids.into_iter().enumerate() {
        let mut answers = references.next().unwrap_or_default();
        if answers.is_empty() {
            answers.extend(outputs.as_ref().and_then(|texts| texts.get(row)).map(str::to_owned));
        }
        answers.retain(|answer| !answer.trim().is_empty());
        rows.push(Row {
            id,
            instruction: instructions.or_empty(row).to_owned(),
            input: inputs.as_ref().map_or("", |texts| texts.or_empty(row)).to_owned(),
            references: answers,
            task: tasks.as_ref().and_then(|texts| texts.get(row)).map(str::to_owned),
            labels: labels.next().unwrap_or_default(),
            passages: passages.next().unwrap_or_default(),
            messages: Vec::new(),
        });
    }
    Ok(rows)
}

/// Leaves out rows without an answer, and says how many there were.
///
/// # Errors
/// No row has one.
pub(crate) fn leave_out_unanswered(cx: &StageContext, rows: &mut Vec<Row>, port: &str) -> Result<(), StageError> {
    let (all, first) = (rows.len(), rows.iter().position(|row| row.references.is_empty()));
    let Some(first) = first else { return Ok(()) };
    rows.retain(|row| !row.references.is_empty());
    let left_out = all - rows.len();
    if rows.is_empty() {
        return Err(StageError::user_help(
            format!("no row of the input `{port}` has an answer: `output` and `references` are empty"),
            "look at the stage that makes them",
        ));
    }
    cx.counter("examples_empty", left_out as u64);
    cx.warn(format!(
        "{left_out} of {all} rows of `{port}` have no answer and were left out (row {} is the first)",
        first + 1
    ));
    Ok(())
}

/// Leaves out rows without an instruction, and says how many there were.
///
/// # Errors
/// No row has one.
pub(crate) fn leave_out_unasked(cx: &StageContext, rows: &mut Vec<Row>, port: &str) -> Result<(), StageError> {
    let all = rows.len();
    rows.retain(|row| !row.instruction.trim().is_empty());
    let left_out = all - rows.len();
    if left_out == 0 {
        return Ok(());
    }
    if rows.is_empty() {
        return Err(StageError::user_help(
            format!("no row of the input `{port}` has an `instruction`"),
            "look at the stage that makes them",
        ));
    }
    cx.counter("examples_without_instruction", left_out as u64);
    cx.warn(format!("{left_out} of {all} rows of `{port}` have no instruction and were left out"));
    Ok(())
}

/// Refuses a table without passages where prompts are to show them. For some rows nothing may have been found: that is
/// reported, and their prompts show none.
pub(crate) fn check_passages(cx: &StageContext, rows: &[Row], port: &str) -> Result<(), StageError> {
    let without = rows.iter().filter(|row| row.passages.is_empty()).count();
    if without > 0 && without == rows.len() {
        return Err(StageError::user_help(
            format!("no row of the input `{port}` has `passages`, which `open_book` shows"),
            "connect rows that went through a `retrieve` stage, or leave `open_book` out",
        ));
    }
    if without > 0 {
        cx.warn(format!("{without} of {} rows of `{port}` have no `passages`: their prompts show none", rows.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, ListBuilder, StringArray, StringBuilder};

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn lists(values: &[&[&str]]) -> ArrayRef {
        let mut builder = ListBuilder::new(StringBuilder::new());
        for list in values {
            builder.append_value(list.iter().map(|text| Some(*text)));
        }
        Arc::new(builder.finish())
    }

    fn read(columns: Vec<(&str, ArrayRef)>) -> Result<Vec<Row>, String> {
        read_rows(&RecordBatch::try_from_iter(columns).unwrap(), "items", None).map_err(|e| e.to_string())
    }

    #[test]
    fn what_a_row_may_have() {
        let rows = read(vec![
            ("id", Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef),
            ("instruction", texts(&[Some("Q"), Some("R")])),
            ("input", texts(&[None, Some("I")])),
            ("output", texts(&[Some("A"), None])),
            ("references", lists(&[&[], &["B", "C"]])),
            ("labels", lists(&[&["yes", "no"], &[]])),
        ])
        .unwrap();
        assert_eq!((rows[0].id.as_str(), rows[0].input.as_str(), rows[0].task.as_deref()), ("7", "", None));
        assert_eq!((&rows[0].references, &rows[1].references), (&vec!["A".to_owned()], &vec!["B".into(), "C".into()]));
        assert_eq!((rows[0].labels.len(), rows[1].input.as_str()), (2, "I"));
    }

    #[test]
    fn rows_without_an_answer_have_no_references() {
        let q = || ("instruction", texts(&[Some("Q"), Some("R")]));
        for columns in [
            vec![q(), ("output", texts(&[Some("A"), None]))],
            vec![q(), ("output", texts(&[Some("A"), Some(" ")]))],
            vec![q(), ("references", lists(&[&["A"], &[]]))],
            vec![q(), ("references", lists(&[&["A", " "], &[" "]]))],
            vec![q(), ("references", lists(&[&[], &[""]])), ("output", texts(&[Some("A"), Some("B")]))],
        ] {
            let rows = read(columns).unwrap();
            assert_eq!((&rows[0].references, rows[1].references.len()), (&vec!["A".to_owned()], 0));
        }
    }

    #[test]
    fn a_row_without_an_instruction_is_read() {
        let rows = read(vec![
            ("instruction", texts(&[Some(" "), None, Some("Q")])),
            ("output", texts(&[Some("A"), Some("A"), Some("A")])),
        ]);
        let asked: Vec<bool> = rows.unwrap().iter().map(|row| !row.instruction.trim().is_empty()).collect();
        assert_eq!(asked, [false, false, true]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let q = || ("instruction", texts(&[Some("Q"), Some("R")]));
        for (columns, message) in [
            (vec![q()], "`output`"),
            (vec![("question", texts(&[Some("Q")])), ("output", texts(&[Some("A")]))], "`instruction`"),
        ] {
            let error = read(columns).unwrap_err();
            assert!(error.contains(message), "{message}: {error}");
        }
    }
}
