//! `pipe trace`.

use std::io::{self, Write};

use pipe_engine::diag::one_of;
use pipe_stages::results::{Gathered, Heard, Trace, TracedAnswer, TracedRow};
use serde_json::{Map, Value};

use super::results::is_arm;
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, color_on_stdout, count, paint, style},
    project,
};

/// Characters that are shown of a text.
const TEXT: usize = 200;

pub(crate) fn trace(global: &cli::Global, args: &cli::Trace) -> Result<Exit, CliError> {
    let mut arguments = args.pipeline.clone();
    let id = match (&args.seed, &args.id) {
        (Some(seed), None) => seed.clone(),
        (None, Some(id)) => id.clone(),
        // What stands alone is the id.
        (None, None) => std::mem::replace(&mut arguments.pipeline, cli::PIPELINE.into()).display().to_string(),
        (Some(_), Some(_)) => {
            let help = Some("name the item, or with --seed the seed".to_owned());
            return Err(CliError::Usage { message: "there are two ids".to_owned(), help });
        }
    };
    let pipeline = super::load(&arguments)?;
    let store = project::look_into_store(global, &pipeline.base_dir)?;
    let heard = Heard::default();
    let gathered = Gathered::new(&pipeline, &store, &project::environment(), &heard)?;
    let arms = || gathered.results.studies.iter().flat_map(|study| &study.comparison.arms).map(|arm| &*arm.name);
    let named = args.arm.as_deref().map(|word| arms().find(|arm| is_arm(arm, word)).ok_or(word));
    if let Some(Err(arm)) = named {
        let help = one_of(arm, "the arms are", arms());
        return Err(CliError::NotFound { message: format!("there is no arm `{arm}`"), help });
    }
    let mut trace = gathered.trace(&id, named.and_then(Result::ok))?;
    if args.seed.is_some() {
        trace.answers.clear();
    }
    if trace.answers.is_empty() && trace.rows.is_empty() {
        let ids = gathered.ids()?;
        let help = match ids.len() {
            0 => Some("no stage has a result whose rows have ids: `pipe run` computes them".to_owned()),
            _ => one_of(&id, "ids are", ids.iter().map(String::as_str).take(2000)),
        };
        return Err(CliError::NotFound { message: format!("no result has a row `{id}`"), help });
    }
    match args.format {
        Format::Json => output::json(&trace)?,
        Format::Text => write(&trace)?,
    }
    Ok(Exit::Success)
}

fn write(trace: &Trace) -> io::Result<()> {
    let mut out = output::prose();
    for (place, answer) in trace.answers.iter().enumerate() {
        if place == 0 {
            asked(&mut out, &trace.id, answer)?;
        }
        answered(&mut out, answer)?;
    }
    for row in &trace.rows {
        let stage = paint(&row.stage, style::BOLD, color_on_stdout());
        writeln!(out, "{stage}: {}", told(&row.columns))?;
        origins(&mut out, row, "  ")?;
    }
    drop(out);
    if trace.influence.is_empty() {
        return Ok(());
    }
    influence(trace)
}

/// The question, once.
fn asked(out: &mut impl Write, id: &str, answer: &TracedAnswer) -> io::Result<()> {
    let of = |name: &str| answer.columns.get(name).map(text).filter(|text| !text.is_empty());
    let task = of("task").map(|task| format!(" ({task})")).unwrap_or_default();
    writeln!(out, "{}{task}", paint(id, style::BOLD, color_on_stdout()))?;
    for (label, name) in [("asked", "instruction"), ("about", "input"), ("right", "references")] {
        if let Some(text) = of(name) {
            writeln!(out, "  {label}  {text}")?;
        }
    }
    Ok(())
}

fn answered(out: &mut impl Write, answer: &TracedAnswer) -> io::Result<()> {
    let draw = if answer.draw.is_empty() { String::new() } else { format!(", {}", answer.draw) };
    let scores: Vec<String> = (answer.metrics.iter())
        .filter_map(|name| Some(format!("{name} {:.3}", answer.columns.get(name)?.as_f64()?)))
        .collect();
    let arm = paint(format!("{}{draw}", answer.arm), style::BOLD, color_on_stdout());
    writeln!(out, "\n{arm}: {}", scores.join(", "))?;
    writeln!(out, "  said  {}", answer.columns.get("prediction").map(text).unwrap_or_default())?;
    if !answer.is_trained {
        return writeln!(out, "  it was not trained on rows with instructions");
    }
    if answer.resembling.is_empty() {
        return writeln!(out, "  no row that it was trained on shares a word with the question");
    }
    writeln!(out, "  it was trained on, among others (most like the question, by BM25 over instructions):")?;
    for (score, row) in &answer.resembling {
        writeln!(out, "    {score:.1}  {}", told(&row.columns))?;
        origins(out, row, "          ")?;
    }
    Ok(())
}

/// What a row comes from.
fn origins(out: &mut impl Write, row: &TracedRow, indent: &str) -> io::Result<()> {
    let mut last = "";
    for (how, id, columns) in &row.from {
        if how != last {
            let what = if how == "passage" { "passages" } else { how };
            writeln!(out, "{indent}{what}:")?;
            last = how;
        }
        let mut shown = columns.clone();
        shown.insert("id".to_owned(), Value::from(id.as_str()));
        writeln!(out, "{indent}  {}", told(&shown))?;
    }
    Ok(())
}

/// A row in a line: its id, what it asks, and what it says.
fn told(columns: &Map<String, Value>) -> String {
    let of = |name: &str| columns.get(name).map(text).filter(|text| !text.is_empty());
    let id = of("id").unwrap_or_default();
    let said: Vec<String> = ["instruction", "input", "output", "text"].into_iter().filter_map(of).collect();
    format!("{id}  {}", said.join(" -> "))
}

/// A value in one line, shortened.
fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(" | "),
        other => other.to_string(),
    };
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= TEXT { line } else { line.chars().take(TEXT).chain("...".chars()).collect() }
}

/// What the row influenced, by arm.
fn influence(trace: &Trace) -> io::Result<()> {
    let mut stages: Vec<&str> = Vec::new();
    for (stage, _) in trace.influence.iter().flat_map(|of| &of.rows) {
        if !stages.contains(&&**stage) {
            stages.push(stage);
        }
    }
    let has_draws = trace.influence.iter().any(|of| !of.draw.is_empty());
    let mut headings = vec!["arm".to_owned()];
    headings.extend(has_draws.then(|| "draw".to_owned()));
    headings.extend(stages.iter().map(|stage| format!(">rows of {stage}")));
    headings.push(">trained on".to_owned());
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for of in &trace.influence {
        let mut cells = vec![of.arm.clone()];
        cells.extend(has_draws.then(|| of.draw.clone()));
        for stage in &stages {
            let rows = of.rows.iter().find(|(name, _)| name == stage).map_or(0, |(_, rows)| *rows);
            cells.push(count(rows as u64));
        }
        cells.push(format!("{} of {}", count(of.trained_on as u64), count(of.training_rows as u64)));
        table.row(cells);
    }
    writeln!(output::stdout(), "\nwhat came of it, as a demonstration or passage or by itself:")?;
    output::fitted(table)
}
