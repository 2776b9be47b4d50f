//! From a row to the text that is searched for.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use minijinja::{Environment, UndefinedBehavior, syntax::SyntaxConfig};
use pipe_engine::kind::StageError;
use pipe_lm::template as bounded;

use super::RetrieveParams;
use crate::{
    prompts::{FAILED_AT_MOST, untested},
    rows::columns::TextColumn,
};

const PORT: &str = "queries";
const NAME: &str = "query";

/// Compiles a query template; the error is a sentence.
pub(crate) fn compile(text: &str) -> Result<Environment<'static>, String> {
    let failed = |e| format!("the template cannot be compiled: {e}");
    let mut environment = bounded::environment().map_err(failed)?;
    // Line breaks of a query stay where they are written.
    environment.set_syntax(SyntaxConfig::default());
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_formatter(|out, state, value| {
        bounded::check_depth(state, value)?;
        minijinja::escape_formatter(out, state, value)
    });
    bounded::add(&mut environment, NAME, text.to_owned()).map_err(failed)?;
    Ok(environment)
}

/// The columns that a query template cannot do without.
pub(crate) fn needed(text: &str) -> Vec<String> {
    compile(text).map(|environment| untested(&environment, NAME, text)).unwrap_or_default()
}

/// How queries are made.
pub(crate) enum QueryText {
    /// The values of columns, joined by spaces.
    Columns(Vec<String>),
    /// A template over the row's text columns.
    Template(Box<Environment<'static>>),
}

impl QueryText {
    /// As the parameters say.
    pub(crate) fn new(params: &RetrieveParams) -> Result<Self, StageError> {
        Ok(match &params.query_template {
            Some(text) => Self::Template(Box::new(compile(text).map_err(StageError::user)?)),
            None => Self::Columns(params.query_columns.clone()),
        })
    }

    /// The queries of some rows, which begin with row `first` of the table, or what is wrong with the template on one.
    /// Neither that nor a blank one finds anything.
    ///
    /// # Errors
    /// None of the columns is there, or one is not of texts; the template fails on all of the first rows.
    pub(crate) fn of(&self, batch: &RecordBatch, first: usize) -> Result<Vec<Result<String, StageError>>, StageError> {
        match self {
            Self::Columns(names) => Ok(joined(batch, names)?.into_iter().map(Ok).collect()),
            Self::Template(environment) => rendered(batch, environment, first),
        }
    }
}

fn joined(batch: &RecordBatch, names: &[String]) -> Result<Vec<String>, StageError> {
    let mut columns = Vec::new();
    for name in names {
        columns.extend(TextColumn::optional(batch, PORT, name)?);
    }
    if columns.is_empty() {
        // The error of the first names the columns that there are.
        TextColumn::required(batch, PORT, &names[0])?;
    }
    let row =
        |row| columns.iter().map(|c| c.or_empty(row).trim()).filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ");
    Ok((0..batch.num_rows()).map(row).collect())
}

fn rendered(
    batch: &RecordBatch,
    environment: &Environment<'_>,
    first: usize,
) -> Result<Vec<Result<String, StageError>>, StageError> {
    let mut columns = Vec::new();
    for field in batch.schema_ref().fields() {
        if let Ok(Some(column)) = TextColumn::optional(batch, PORT, field.name()) {
            columns.push((field.name().as_str(), column));
        }
    }
    let failed = |row: usize, e: &minijinja::Error| {
        StageError::user_help(
            format!("failed to render `query_template` for row {} of the input `{PORT}`: {e}", first + row + 1),
            format!(
                "the text columns are {}",
                columns.iter().map(|(n, _)| format!("`{n}`")).collect::<Vec<_>>().join(", ")
            ),
        )
    };
    let template = environment.get_template(NAME).map_err(|e| failed(0, &e))?;
    let mut queries: Vec<Result<String, StageError>> = Vec::with_capacity(batch.num_rows());
    let mut any = first > 0;
    for row in 0..batch.num_rows() {
        let values: BTreeMap<&str, &str> = columns.iter().map(|(name, c)| (*name, c.or_empty(row))).collect();
        let values = minijinja::Value::from_pairs(values);
        queries.push(bounded::with_room(&template, || template.render(values)).map_err(|e| failed(row, &e)));
        any |= queries.last().is_some_and(Result::is_ok);
        // A template that is wrong fails everywhere; one that is slow at that, for a second each time.
        if !any && row + 1 >= FAILED_AT_MOST.min(batch.num_rows()) {
            return Err(queries
                .swap_remove(0)
                .err()
                .unwrap_or_else(|| StageError::contract("a query came of nothing")));
        }
    }
    Ok(queries)
}
