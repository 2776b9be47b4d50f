//! The items: what is scored, and what is right.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, StringArray},
    compute::cast,
    datatypes::DataType,
};
use pipe_engine::{context::StageContext, kind::StageError};

use super::params::{OutputType, ScoreParams};
use crate::rows::{
    columns::{self, TextColumn, lasting_ids, missing, wrong_type},
    examples::{Row, read_rows},
};

/// One item.
pub(super) struct Item {
    /// What is asked; of a whole text its id and task alone.
    pub row: Row,
    /// The texts that are scored: choices, right answers, or the whole text.
    pub texts: Vec<String>,
    /// Which of the choices are right; empty where none is known.
    pub right: Vec<usize>,
}

/// All items.
pub(super) struct Items(pub Vec<Item>);

const INSTRUCTION: &str = "instruction";

impl Items {
    /// Reads items. Their ids are a row's own, whatever other rows there are.
    pub(super) fn pending(params: &ScoreParams, table: &RecordBatch) -> Result<Self, StageError> {
        let mut items = Self::read(params, table)?;
        for (item, id) in items.0.iter_mut().zip(lasting_ids(table, "items")?) {
            item.row.id = id;
        }
        Ok(items)
    }

    /// Reads items.
    ///
    /// # Errors
    /// A column is missing or of the wrong type; an id occurs twice; an answer counts choices, and one of them is null.
    pub(super) fn read(params: &ScoreParams, table: &RecordBatch) -> Result<Self, StageError> {
        if params.output_type == OutputType::LoglikelihoodRolling {
            return Self::texts(params, table);
        }
        let rows = read_rows(&with_answers(params, table)?, "items", params.passages.shown())?;
        if params.output_type == OutputType::Loglikelihood {
            let item = |row: Row| Item { texts: row.references.clone(), right: Vec::new(), row };
            return Ok(Self(rows.into_iter().map(item).collect()));
        }
        let choices = columns::text_lists(table, "items", &params.choices)?;
        let choices = choices.ok_or_else(|| missing(table, "items", &params.choices))?;
        let gaps = columns::gaps(table, &params.choices);
        let items = rows.into_iter().zip(choices).zip(gaps).map(|((row, texts), gap)| {
            let counted = || row.references.iter().find(|answer| equal(&texts, answer).is_none());
            if let Some(answer) = gap.then(counted).flatten() {
                return Err(StageError::user_help(
                    format!(
                        "a null stands among the choices (`{}`) of the item `{}`, and its answer `{answer}` is none of \
                         their texts: which choice it counts is not known",
                        params.choices, row.id
                    ),
                    "put nulls at the end of the list, or give the text of the right choice",
                ));
            }
            let right = row.references.iter().filter_map(|answer| place(&texts, answer)).collect();
            Ok(Item { row, texts, right })
        });
        items.collect::<Result<_, _>>().map(Self)
    }

    fn texts(params: &ScoreParams, table: &RecordBatch) -> Result<Self, StageError> {
        let ids = columns::ids(table, "items")?;
        let texts = TextColumn::required(table, "items", &params.text)?;
        let tasks = TextColumn::optional(table, "items", "task")?;
        let item = |(at, id): (usize, String)| Item {
            row: Row { id, task: tasks.as_ref().and_then(|tasks| tasks.get(at)).map(str::to_owned), ..Row::default() },
            texts: texts.get(at).filter(|text| !text.is_empty()).map(str::to_owned).into_iter().collect(),
            right: Vec::new(),
        };
        Ok(Self(ids.into_iter().enumerate().map(item).collect()))
    }

    /// Refuses items of which nothing can be scored.
    ///
    /// # Errors
    /// There are none; none has a text; of none with choices any is right.
    pub(super) fn report(&self, params: &ScoreParams, cx: &StageContext) -> Result<(), StageError> {
        if self.0.is_empty() {
            return Err(StageError::user_help("the input `items` has no rows", "it needs one item or more"));
        }
        if self.0.iter().all(|item| item.texts.is_empty()) {
            let (what, column) = match params.output_type {
                OutputType::MultipleChoice => ("choices", &params.choices),
                OutputType::Loglikelihood => ("a right answer", &params.answer),
                OutputType::LoglikelihoodRolling => ("a text", &params.text),
            };
            return Err(StageError::user_help(
                format!("no row of the input `items` has {what}: `{column}` is empty"),
                "look at the stage that makes them, or choose another `output_type`",
            ));
        }
        if params.output_type != OutputType::MultipleChoice {
            return Ok(());
        }
        let (asked, wrong): (Vec<&Item>, Vec<&Item>) =
            self.0.iter().filter(|item| !item.texts.is_empty()).partition(|item| !item.right.is_empty());
        let Some(first) = wrong.first() else { return Ok(()) };
        let answer = first.row.references.first().map_or("", String::as_str);
        let message = format!("the answer `{answer}` of the item `{}` is none of its choices", first.row.id);
        if asked.is_empty() {
            let help = "give the text of a choice, its number from 0, or its letter, in the column that `answer` names";
            return Err(StageError::user_help(message, help));
        }
        cx.counter("items_without_right_choice", wrong.len() as u64);
        cx.warn(format!("{} of {} items have no accuracy: {message}", wrong.len(), wrong.len() + asked.len()));
        Ok(())
    }
}

/// The choice whose text an answer is.
fn equal(choices: &[String], answer: &str) -> Option<usize> {
    choices.iter().position(|choice| choice.trim() == answer.trim())
}

/// The choice that an answer names: by its text, its number from 0, or its letter.
fn place(choices: &[String], answer: &str) -> Option<usize> {
    let answer = answer.trim();
    let letter = || {
        let [letter @ b'A'..=b'Z'] = answer.as_bytes() else { return None };
        Some(usize::from(letter - b'A'))
    };
    equal(choices, answer).or_else(|| answer.parse().ok()).or_else(letter).filter(|&place| place < choices.len())
}

/// The table with the column of answers under the name that rows are read by, and as text.
fn with_answers(params: &ScoreParams, table: &RecordBatch) -> Result<RecordBatch, StageError> {
    const OUTPUT: &str = "output";
    let Some(answers) = table.column_by_name(&params.answer) else {
        if params.answer == OUTPUT && table.column_by_name("references").is_some() {
            return Ok(table.clone());
        }
        return Err(missing(table, "items", &params.answer));
    };
    let is_scalar = columns::is_text(answers.data_type()) || answers.data_type().is_integer();
    if !is_scalar {
        return Err(wrong_type("items", &params.answer, answers.data_type(), "a text or a whole number"));
    }
    let failed = |e| StageError::other("read the right answers", e);
    let answers = cast(answers, &DataType::Utf8).map_err(failed)?;
    let own = |name: &str| name != OUTPUT && (params.answer == OUTPUT || name != "references");
    let schema = table.schema();
    let mut kept: Vec<(String, ArrayRef)> = schema
        .fields()
        .iter()
        .zip(table.columns())
        .filter(|(field, _)| own(field.name()))
        .map(|(field, column)| (field.name().clone(), Arc::clone(column)))
        .collect();
    kept.push((OUTPUT.to_owned(), answers));
    if table.column_by_name(INSTRUCTION).is_none() {
        return Err(missing(table, "items", INSTRUCTION));
    }
    let batch = RecordBatch::try_from_iter_with_nullable(kept.into_iter().map(|(name, column)| (name, column, true)));
    batch.map_err(failed)
}

/// A column of texts of the items.
pub(super) fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(values.collect::<StringArray>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_choice_is_named_by_text_number_or_letter() {
        let choices = ["no", "1", "B", "yes"].map(str::to_owned);
        let named = |answer: &str| place(&choices, answer);
        assert_eq!([named("yes"), named(" no "), named("3"), named("D")], [Some(3), Some(0), Some(3), Some(3)]);
        assert_eq!([named("1"), named("B")], [Some(1), Some(2)], "a text comes before a number or a letter");
        assert_eq!([named("4"), named("E"), named("maybe"), named(""), named("-1")], [None; 5]);
    }
}
