//! Columns that are needed and not there, or hold something else.

use pipe_engine::{
    diag::{Severity, did_you_mean, list_names},
    kind::Column,
};

use super::{Finding, Input};
use crate::{elsewhere::called_elsewhere, rows::columns::is_text};

/// The needed columns that a table lacks, and those that are of the wrong type.
pub(super) fn missing(input: &Input) -> Vec<Finding> {
    let rows = &input.rows;
    let mut found: Vec<Finding> = Vec::new();
    let mut told: Vec<String> = Vec::new();
    for of in &input.uses {
        for column in of.columns.iter().filter(|column| column.always) {
            let there = rows.has(&column.name) || column.alternatives.iter().any(|other| rows.has(other));
            if there || told.contains(&column.name.to_string()) {
                continue;
            }
            told.push(column.name.to_string());
            let message = format!(
                "`{}` has no column `{}`{}, which the stage `{}` needs at its input `{}`",
                input.stage,
                column.name,
                column.or_others("`"),
                of.stage,
                of.port
            );
            let mut finding = input.finding(Severity::Error, "column::missing", message, Vec::new());
            finding.help = Some(advice(input, column));
            found.push(finding);
        }
        for column in of.columns.iter().filter(|column| column.holds == "text") {
            let other = rows.columns.iter().find(|(name, ty)| *name == column.name && !is_text(ty));
            let Some((name, ty)) = other.filter(|(name, _)| !told.contains(name)) else { continue };
            told.push(name.clone());
            let message =
                format!("column `{name}` of `{}` holds {ty}, and the stage `{}` wants text", input.stage, of.stage);
            let mut finding = input.finding(Severity::Error, "column::type", message, Vec::new());
            finding.help = Some(format!("say in `{}`: `schema: {{ {name}: string }}`", input.stage));
            found.push(finding);
        }
    }
    found
}

fn advice(input: &Input, column: &Column) -> String {
    let names: Vec<&str> = input.rows.columns.iter().map(|(name, _)| name.as_str()).collect();
    let called = called_elsewhere(&column.name)
        .iter()
        .find_map(|other| names.iter().find(|name| name.eq_ignore_ascii_case(other)));
    match called.copied().or_else(|| did_you_mean(&column.name, names.iter().copied())) {
        Some(name) => {
            format!("if `{name}` is meant, say in `{}`: `rename: {{ {name}: {} }}`", input.stage, column.name)
        }
        None => format!("its columns are {}; `rename` gives one another name", list_names(&names)),
    }
}
