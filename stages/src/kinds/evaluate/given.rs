//! Answers that stand in the table already: no model is asked.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use pipe_engine::kind::{InputPort, PortType, Role, StageError};

use super::answer_schema;
use crate::rows::{
    columns::{TextColumn, wrong_type},
    completed::{NO_PREDICTION, NO_REFERENCE},
    examples::Row,
    ports,
};

const FINISH_REASON: &str = "finish_reason";
const INSTRUCTION: &str = "instruction";

/// The answers of a table.
pub(super) struct Given {
    /// As a model's answers are kept.
    pub answers: RecordBatch,
    /// The columns of these that the table has.
    pub shown: RecordBatch,
}

/// The exam, with its answers in a column.
pub(super) fn port(column: &str) -> InputPort {
    InputPort::new("items", PortType::Table, true)
        .role(Role::Exam)
        .about("The exam, answered.")
        .needs([ports::answer(column.to_owned()), ports::right_answer()])
        .takes([ports::id(), ports::instruction(), ports::input(), ports::task(), ports::labels()])
        .takes([ports::finish_reason()])
        .takes(ports::tokens())
}

/// The items, with an instruction each, for the exam of other people may have none.
pub(super) fn with_instructions(items: RecordBatch) -> Result<RecordBatch, StageError> {
    if items.column_by_name(INSTRUCTION).is_some() {
        return Ok(items);
    }
    let blank: ArrayRef = Arc::new(StringArray::from(vec![""; items.num_rows()]));
    let schema = items.schema();
    let names = schema.fields().iter().map(|field| field.name().clone());
    let columns = names.zip(items.columns().to_vec()).chain([(INSTRUCTION.to_owned(), blank)]);
    RecordBatch::try_from_iter(columns.collect::<Vec<_>>()).map_err(|e| StageError::other("read the items", e))
}

impl Given {
    /// The answers of a model, all of whose columns are there.
    pub(super) fn all(answers: RecordBatch) -> Self {
        Self { shown: answers.clone(), answers }
    }

    /// Reads the answers to `rows`, which are those of `items`. A row whose answer is null has none.
    ///
    /// # Errors
    /// There is no such column, or it holds no texts.
    pub(super) fn read(items: &RecordBatch, column: &str, rows: &[Row]) -> Result<Self, StageError> {
        let texts = TextColumn::required(items, "items", column)?;
        let finishes = TextColumn::optional(items, "items", FINISH_REASON)?;
        let finish = |row: usize| match finishes.as_ref().and_then(|finishes| finishes.get(row)) {
            _ if rows[row].references.is_empty() => NO_REFERENCE,
            // Of an earlier exam without references: nothing was asked.
            Some(NO_REFERENCE) => NO_PREDICTION,
            // What stands in an answer's place when there is none, as this kind names it, or how the text ended.
            Some(told) if texts.get(row).is_some() => told,
            None if texts.get(row).is_some() => "stop",
            _ => NO_PREDICTION,
        };
        let all = 0..rows.len();
        let tokens = |name: &str| -> Result<Option<Int64Array>, StageError> {
            let Some(column) = items.column_by_name(name) else { return Ok(None) };
            if !column.data_type().is_integer() {
                return Err(wrong_type("items", name, column.data_type(), "whole numbers"));
            }
            let numbers = cast(column, &DataType::Int64).map_err(|e| StageError::other("read tokens", e))?;
            Ok(Some(numbers.as_primitive::<Int64Type>().iter().map(|n| n.unwrap_or(0)).collect()))
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(all.clone().map(|row| Some(texts.or_empty(row).trim())).collect::<StringArray>()),
            Arc::new(all.map(|row| Some(finish(row))).collect::<StringArray>()),
        ];
        let mut shown = vec![0];
        shown.extend(finishes.is_some().then_some(1));
        for (place, field) in answer_schema().fields().iter().enumerate().skip(2) {
            let found = tokens(field.name())?;
            shown.extend(found.is_some().then_some(place));
            columns.push(Arc::new(found.unwrap_or_else(|| vec![0; rows.len()].into())));
        }
        let failed = |e| StageError::other("read the answers", e);
        let answers = RecordBatch::try_new(answer_schema(), columns).map_err(failed)?;
        Ok(Self { shown: answers.project(&shown).map_err(failed)?, answers })
    }
}

#[cfg(test)]
mod tests;
