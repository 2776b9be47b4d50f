//! Which columns a step needs, and which it leaves: the same before a run and in it.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use pipe_engine::{diag::one_of, kind::StageError};

use super::{
    expression,
    params::{Computed, Concatenate, How, Join, SelectParams, Step},
    wrong::Wrong,
};

/// The names of a table's columns.
pub(super) fn names(rows: &RecordBatch) -> Vec<String> {
    rows.schema_ref().fields().iter().map(|field| field.name().clone()).collect()
}

fn known<'a>(name: &str, columns: &'a [String], table: &str) -> Result<&'a String, Wrong> {
    columns.iter().find(|column| *column == name).ok_or_else(|| Wrong {
        message: format!("there is no column `{name}`{table}"),
        help: one_of(name, "columns", columns.iter().map(String::as_str)),
    })
}

fn all_known<'n>(names: impl IntoIterator<Item = &'n String>, columns: &[String]) -> Result<(), Wrong> {
    names.into_iter().try_for_each(|name| known(name, columns, "").map(|_| ()))
}

/// The columns after all steps, given those of both tables; those of `other` may not be known.
pub(super) fn after(
    params: &SelectParams,
    rows: Vec<String>,
    other: Option<&[String]>,
) -> Result<Option<Vec<String>>, StageError> {
    let mut columns = rows;
    for (number, step) in (1..).zip(&params.steps) {
        match after_step(step, columns, other).map_err(|wrong| wrong.at(number, step))? {
            Some(left) => columns = left,
            None => return Ok(None),
        }
    }
    Ok(Some(columns))
}

/// The columns that a step leaves; `None` where it takes some of a table whose columns are not known.
pub(super) fn after_step(
    step: &Step,
    mut columns: Vec<String>,
    other: Option<&[String]>,
) -> Result<Option<Vec<String>>, Wrong> {
    match step {
        Step::Filter(expression) => expression::check(expression, &columns)?,
        Step::Keep(names) => {
            all_known(names, &columns)?;
            columns.clone_from(names);
        }
        Step::Drop(names) => {
            all_known(names, &columns)?;
            columns.retain(|column| !names.contains(column));
        }
        Step::Rename(names) => {
            all_known(names.keys(), &columns)?;
            for column in &mut columns {
                if let Some(new) = names.get(column) {
                    new.clone_into(column);
                }
            }
        }
        Step::Set(made) => {
            for computed in made.values() {
                if let Computed::Expression(expression) = computed {
                    expression::check(expression, &columns)?;
                }
            }
            let new: Vec<String> = made.keys().filter(|name| !columns.contains(name)).cloned().collect();
            columns.extend(new);
        }
        Step::DropEmpty(names) | Step::Distinct(names) => all_known(names, &columns)?,
        Step::Sort(by) => {
            by.iter().filter_map(|by| by.parts()).try_for_each(|(name, _)| known(name, &columns, "").map(|_| ()))?;
        }
        Step::Sample(_) | Step::Limit(_) => {}
        Step::Join(join) => match joined(join, &columns, other)? {
            Some(added) => columns.extend(added),
            None => return Ok(None),
        },
        Step::Concatenate(how) => {
            let Some(other) = other else { return Ok((*how == Concatenate::Strict).then_some(columns)) };
            let lacks = |a: &[String], b: &[String]| a.iter().find(|name| !b.contains(name)).cloned();
            match how {
                Concatenate::Fill => columns.extend(lacking(other, &columns)),
                Concatenate::Strict => {
                    let wrong = lacks(&columns, other)
                        .map(|name| format!("the input `other` has no column `{name}`"))
                        .or_else(|| lacks(other, &columns).map(|name| format!("only `other` has a column `{name}`")));
                    if let Some(message) = wrong {
                        let help = "with `concatenate: fill` such columns are null where they are missing; or `keep` \
                                    what both have";
                        return Err(Wrong::new(message, help));
                    }
                }
            }
        }
    }
    let mut seen = BTreeSet::new();
    match columns.iter().find(|name| !seen.insert(name.as_str())) {
        Some(twice) => {
            let message = format!("two columns would be called `{twice}`");
            let help = if matches!(step, Step::Join(_)) {
                "choose with `columns` what is taken of `other`, or `rename` one before"
            } else {
                "give each a name of its own"
            };
            Err(Wrong::new(message, help))
        }
        None if columns.is_empty() => Err(Wrong::new("no column is left", "a table has one or more")),
        None => Ok(Some(columns)),
    }
}

/// The names of `from` that are not among `columns`.
fn lacking(from: &[String], columns: &[String]) -> Vec<String> {
    from.iter().filter(|name| !columns.contains(name)).cloned().collect()
}

/// The columns that a join adds.
fn joined(join: &Join, columns: &[String], other: Option<&[String]>) -> Result<Option<Vec<String>>, Wrong> {
    for (here, _) in join.on.pairs() {
        known(here, columns, "")?;
    }
    let Some(other) = other else {
        return Ok(match (&join.columns, join.how) {
            (_, How::Anti) => Some(Vec::new()),
            (names, _) => names.clone(),
        });
    };
    for (_, there) in join.on.pairs() {
        known(there, other, " in the input `other`")?;
    }
    for name in join.columns.iter().flatten() {
        known(name, other, " in the input `other`")?;
    }
    Ok(Some(added(join, other)))
}

/// The columns of `other` that a join adds, in order.
pub(super) fn added(join: &Join, other: &[String]) -> Vec<String> {
    let keys: Vec<&str> = join.on.pairs().into_iter().map(|(_, there)| there).collect();
    match (&join.columns, join.how) {
        (_, How::Anti) => Vec::new(),
        (Some(names), _) => names.clone(),
        (None, _) => other.iter().filter(|name| !keys.contains(&name.as_str())).cloned().collect(),
    }
}
