//! Expressions over the columns of a row.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use arrow::array::RecordBatch;
use minijinja::{Environment, Error, ErrorKind, Value};
use parking_lot::Mutex;
use pipe_engine::{
    context::{CancelToken, causes},
    diag::one_of,
};
use pipe_lm::template;
use rayon::prelude::*;
use regex::Regex;

use super::{
    row::{ROW, ROW_INDEX, Row, Table},
    wrong::Wrong,
};

/// The environment of all expressions; they have no state.
static ENVIRONMENT: LazyLock<Result<Environment<'static>, String>> = LazyLock::new(|| {
    let mut environment = template::expressions().map_err(|e| e.to_string())?;
    environment.add_filter("wordcount", |text: &str| text.split_whitespace().count());
    environment.add_filter("matches", |text: &str, pattern: &str| matches(text, pattern));
    Ok(environment)
});

/// So many regular expressions are kept compiled.
const KEPT: usize = 64;

/// Whether a regular expression is found in a text. Every row asks for the same few.
fn matches(text: &str, pattern: &str) -> Result<bool, Error> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let kept = COMPILED.lock().get(pattern).cloned();
    let regex = if let Some(kept) = kept {
        kept
    } else {
        let made = Regex::new(pattern).map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))?;
        let mut compiled = COMPILED.lock();
        // Patterns made of a row's own texts are as many as the rows.
        if compiled.len() >= KEPT {
            compiled.clear();
        }
        compiled.insert(pattern.to_owned(), made.clone());
        made
    };
    Ok(regex.is_match(text))
}

fn environment() -> Result<&'static Environment<'static>, Wrong> {
    ENVIRONMENT.as_ref().map_err(|e| Wrong { message: format!("failed to set up expressions: {e}"), help: None })
}

/// What an error says, without the name of a template that nobody knows of.
fn said(error: &Error) -> String {
    let line = error.line().filter(|line| *line > 1).map_or_else(String::new, |line| format!(" in line {line}"));
    let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
    let inner = std::error::Error::source(error).map_or_else(String::new, |e| format!(": {}", causes(e).join(": ")));
    format!("{}{line}{detail}{inner}", error.kind())
}

/// What is wrong with an expression itself.
pub(super) fn syntax(source: &str) -> Result<(), Wrong> {
    let failed = |e: Error| {
        let message = format!("`{source}` is no expression: {}", said(&e));
        Wrong::new(message, "for example `output|length > 20 and task == 'qa'`; texts stand in quotes of their own")
    };
    template::expression(environment()?, source).map(drop).map_err(failed)
}

/// Whether all names in an expression are columns.
pub(super) fn check(source: &str, columns: &[String]) -> Result<(), Wrong> {
    syntax(source)?;
    let environment = environment()?;
    let Ok(compiled) = template::expression(environment, source) else { return Ok(()) };
    let names = template::names(environment, &compiled);
    let unknown = names.iter().find(|name| !columns.contains(name) && ![ROW, ROW_INDEX].contains(&name.as_str()));
    let Some(unknown) = unknown else { return Ok(()) };
    let advice = one_of(unknown, "columns", columns.iter().map(String::as_str)).unwrap_or_default();
    Err(Wrong {
        message: format!("there is no column `{unknown}`, which `{source}` names"),
        help: Some(format!("{advice}; a text stands in quotes of its own: \"'{unknown}'\"")),
    })
}

/// The values of an expression in all rows, in order.
///
/// # Errors
/// It fails on a row, or gives nothing; the first such row is told.
pub(super) fn values(source: &str, rows: &RecordBatch, cancel: &CancelToken) -> Result<Vec<Value>, Wrong> {
    let compiled = template::expression(environment()?, source).map_err(|e| Wrong::new(said(&e), "mend it"))?;
    let table = Arc::new(Table::new(rows));
    let value = |at: usize| {
        // What is left of a cancelled run is told by who asked.
        if at.is_multiple_of(64) && cancel.reason().is_some() {
            return Err(Wrong { message: String::new(), help: None });
        }
        let row = Row::new(&table, at);
        let failed = |message: String| {
            let help = "a name stands for a column's value in the row; test what may be missing, `x is not none \
                        and ...`, or leave such rows out before";
            Wrong::new(format!("`{source}` fails on row {}{}: {message}", at + 1, table.id(at)), help)
        };
        let value = compiled.eval(Value::from_object(row)).map_err(|e| failed(said(&e)))?;
        if value.is_undefined() {
            return Err(failed("it gives nothing (there is no such field, or no such item)".to_owned()));
        }
        Ok(value)
    };
    // In order, so that the first failure is the one that is told whatever the threads do.
    let all: Vec<Result<Value, Wrong>> = (0..rows.num_rows()).into_par_iter().map(value).collect();
    all.into_iter().collect()
}
