//! Rows with nothing where something is needed, ids that are missing or double, rows that stand there twice.

use std::collections::HashMap;

use pipe_engine::{diag::Severity, kind::Role};
use pipe_metrics::repeated_within;

use super::{Finding, Found, Input};

/// Documents of fewer words are told.
const SHORT: usize = 5;

/// What is wrong with single rows.
pub(super) fn unfilled(input: &Input) -> Vec<Finding> {
    let mut found = Vec::new();
    if input.rows.len() == 0 {
        let message = format!("`{}` has no rows", input.stage);
        found.push(input.finding(Severity::Error, "table::empty", message, Vec::new()));
        return found;
    }
    if input.is(Role::Exam) {
        exam(input, &mut found);
    }
    if input.is(Role::Seeds) {
        seeds(input, &mut found);
    }
    if input.is(Role::Documents) {
        documents(input, &mut found);
    }
    if input.uses.iter().any(|of| of.columns.iter().any(|column| column.name == "id")) {
        ids(input, &mut found);
    }
    found
}

/// The rows of which something holds.
fn rows_where(input: &Input, holds: impl Fn(usize) -> bool) -> Vec<Found> {
    (0..input.rows.len()).filter(|&row| holds(row)).map(|row| input.rows.found(row)).collect()
}

fn push(found: &mut Vec<Finding>, finding: Finding, help: &str) {
    if !finding.rows.is_empty() {
        found.push(Finding { help: Some(help.to_owned()), ..finding });
    }
}

/// `a row`, `3 rows`.
fn counted(rows: &[Found]) -> String {
    if rows.len() == 1 { "1 row".to_owned() } else { format!("{} rows", rows.len()) }
}

fn exam(input: &Input, found: &mut Vec<Finding>) {
    let (rows, stage) = (&input.rows, &input.stage);
    if rows.has("instruction") {
        let blank = rows_where(input, |row| rows.filled("instruction", row).is_none());
        let message = format!("{} of the exam `{stage}` without a question: `instruction` is empty", counted(&blank));
        push(
            found,
            input.finding(Severity::Error, "exam::no_question", message, blank),
            "fill them in, or leave them out",
        );
    }
    if rows.has("output") || rows.has("references") {
        let answered = |row| rows.filled("output", row).or(rows.filled("references", row)).is_some();
        let blank = rows_where(input, |row| !answered(row));
        let message = format!(
            "{} of the exam `{stage}` without an answer to compare with, which are not scored",
            counted(&blank)
        );
        push(
            found,
            input.finding(Severity::Error, "exam::no_answer", message, blank),
            "fill in `output`, or leave them out",
        );
    }
    twice(input, "exam::twice", "the exam", found);
}

fn seeds(input: &Input, found: &mut Vec<Finding>) {
    let (rows, stage) = (&input.rows, &input.stage);
    let needs = |name: &str| {
        rows.has(name) && input.uses.iter().any(|of| of.columns.iter().any(|c| c.always && c.name == name))
    };
    for (name, code) in [("instruction", "seeds::no_instruction"), ("output", "seeds::no_answer")] {
        if !needs(name) || (name == "output" && rows.has("references")) {
            continue;
        }
        let blank = rows_where(input, |row| rows.filled(name, row).is_none());
        let message = format!("{} of the seeds `{stage}` without `{name}`, which a run leaves out", counted(&blank));
        push(found, input.finding(Severity::Warning, code, message, blank), "fill it in, or take the rows out");
    }
    twice(input, "seeds::twice", "the seeds", found);
}

fn documents(input: &Input, found: &mut Vec<Finding>) {
    let (rows, stage) = (&input.rows, &input.stage);
    if !rows.has("text") {
        return;
    }
    let words = |row| rows.filled("text", row).map_or(0, |text| text.split_whitespace().take(SHORT).count());
    let blank = rows_where(input, |row| words(row) == 0);
    let message = format!("{} of the documents `{stage}` without text, which a run leaves out", counted(&blank));
    push(found, input.finding(Severity::Warning, "documents::empty", message, blank), "take them out");
    let short = rows_where(input, |row| (1..SHORT).contains(&words(row)));
    let message = format!("{} of the documents `{stage}` with fewer than {SHORT} words", counted(&short));
    push(
        found,
        input.finding(Severity::Warning, "documents::short", message, short),
        "for files of text, `rows: file` makes one document of each",
    );
    let texts = (0..rows.len()).map(|row| rows.filled("text", row).unwrap_or_default());
    let same = repeated_within(texts).into_iter().map(|overlap| like(input, overlap.text, input, overlap.other, 1.0));
    let same: Vec<Found> = same.collect();
    let message = format!("{} of the documents `{stage}` with the text of an earlier one", counted(&same));
    push(found, input.finding(Severity::Warning, "documents::twice", message, same), "keep one of them");
}

/// A row that is like another.
pub(super) fn like(input: &Input, row: usize, other: &Input, at: usize, share: f64) -> Found {
    let like = Some((other.rows.place(at), other.rows.excerpt(at), share));
    Found { like, ..input.rows.found(row) }
}

fn twice(input: &Input, code: &'static str, what: &str, found: &mut Vec<Finding>) {
    let questions: Vec<String> = (0..input.rows.len()).map(|row| input.rows.question(row)).collect();
    let same = repeated_within(questions.iter().map(String::as_str)).into_iter();
    let same: Vec<Found> = same.map(|overlap| like(input, overlap.text, input, overlap.other, 1.0)).collect();
    let message = format!("{} of {what} `{}` with the question of an earlier one", counted(&same), input.stage);
    push(found, input.finding(Severity::Warning, code, message, same), "keep one of them");
}

fn ids(input: &Input, found: &mut Vec<Finding>) {
    let (rows, stage) = (&input.rows, &input.stage);
    if !rows.has("id") {
        return;
    }
    let blank = rows_where(input, |row| rows.filled("id", row).is_none());
    let message = format!("{} of `{stage}` without an `id`, which others have", counted(&blank));
    push(
        found,
        input.finding(Severity::Error, "id::missing", message, blank),
        "fill it in, or leave the column out (`columns` names those that are kept): rows then go by their number",
    );
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut double = Vec::new();
    for row in 0..rows.len() {
        let Some(id) = rows.filled("id", row) else { continue };
        let earlier = *first.entry(id).or_insert(row);
        if earlier != row {
            double
                .push(Found { text: format!("{id}: {}", rows.excerpt(row)), ..like(input, row, input, earlier, 1.0) });
        }
    }
    let message = format!("{} of `{stage}` with the `id` of an earlier one", counted(&double));
    push(
        found,
        input.finding(Severity::Error, "id::twice", message, double),
        "give each row an id of its own, or leave the column out (`columns` names those that are kept)",
    );
}
