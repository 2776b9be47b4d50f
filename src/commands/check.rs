//! `pipe check`.

use std::io::Write;

use pipe_engine::{diag::Severity, kind::Role};
use pipe_stages::check::{self, Finding, Found, Place, Report};
use serde_json::{Value, json};

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Screen, Table, clip, color_on_stdout, count, paint, plural, style},
    project,
};

/// Longest excerpt of a row.
const EXCERPT: usize = 70;
/// Longest line about a program.
const STARTED: usize = 200;

pub(crate) fn check(args: cli::Check) -> Result<Exit, CliError> {
    let arguments = cli::PipelineArgs { pipeline: args.pipeline, set: args.set, name: None };
    let pipeline = super::load(&arguments)?;
    let report = check::check(&pipeline);
    match args.format {
        Format::Json => output::json(&told(&report))?,
        Format::Text => {
            let mut text = Vec::new();
            write(&report, args.all, &mut text)?;
            output::prose().write_all(&text)?;
        }
    }
    let wrong = report.findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if wrong { Exit::StageFailed } else { Exit::Success })
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Seeds => "seeds",
        Role::Documents => "documents",
        Role::Exam => "exam",
    }
}

fn write(report: &Report, all: bool, out: &mut impl Write) -> Result<(), CliError> {
    let color = color_on_stdout();
    let mut tables = Table::new(&["table", "used as", ">rows", "from"]);
    for table in &report.tables {
        let roles: Vec<&str> = table.roles.iter().map(|of| role(*of)).collect();
        let roles = if roles.is_empty() { "-".to_owned() } else { roles.join(", ") };
        tables.row([table.stage.clone(), roles, count(table.rows as u64), table.path.clone()]);
    }
    tables.fit(Screen::of_stdout().columns);
    tables.write(out, color)?;
    for (stage, of) in &report.unlooked {
        let text = format!("{}: made by the stage `{stage}`, and not looked at", role(*of));
        writeln!(out, "{}", paint(text, style::DIM, color))?;
    }
    for started in &report.started {
        let text = format!("starts ({}, `{}`): {}", started.stage, started.parameter, started.program);
        writeln!(out, "{}", clip(&text, STARTED))?;
    }
    // A screenful: of few findings several rows, of many one each.
    let shown = match report.findings.len() {
        _ if all => usize::MAX,
        0..=2 => 5,
        3..=4 => 2,
        _ => 1,
    };
    for finding in &report.findings {
        write_finding(finding, shown, color, out)?;
    }
    let of = |severity| report.findings.iter().filter(|f| f.severity == severity).count() as u64;
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let looked: usize = report.tables.iter().map(|table| table.rows).sum();
    let looked = plural(looked as u64, "row");
    match (errors, warnings) {
        (0, 0) if report.unlooked.is_empty() => {
            writeln!(out, "{}", paint(format!("{looked}: nothing is wrong"), style::GOOD, color))?;
        }
        (0, 0) => writeln!(out, "{looked}: nothing is wrong in them; what stages make was not looked at")?,
        (errors, warnings) => {
            writeln!(out, "\n{looked}: {}, {}", plural(errors, "error"), plural(warnings, "warning"))?;
        }
    }
    Ok(())
}

fn write_finding(finding: &Finding, shown: usize, color: bool, out: &mut impl Write) -> Result<(), CliError> {
    let word = match finding.severity {
        Severity::Error => paint("error", style::ERROR, color),
        Severity::Warning => paint("warning", style::WARNING, color),
    };
    writeln!(out, "\n{word}: {}", finding.message)?;
    for row in finding.rows.iter().take(shown) {
        writeln!(out, "  {}: {}", paint(place(&row.place), style::NEW, color), clip(&row.text, EXCERPT))?;
        if let Some((there, text, share)) = &row.like {
            let share = if *share < 1.0 { format!(" ({share:.2} alike)") } else { String::new() };
            writeln!(out, "    like {}{share}: {}", place(there), clip(text, EXCERPT))?;
        }
    }
    let more = finding.rows.len().saturating_sub(shown);
    if more > 0 {
        writeln!(out, "  and {} more; --all lists them", count(more as u64))?;
    }
    if let Some(help) = &finding.help {
        writeln!(out, "  {}: {help}", paint("help", style::NEW, color))?;
    }
    Ok(())
}

/// `data/exam.jsonl:3`, `data/exam.parquet, row 3`, or the file alone where it is one row.
fn place(place: &Place) -> String {
    let file = project::from_here(&place.file);
    match place.line {
        Some(line) => format!("{file}:{line}"),
        None if place.alone => file,
        None => format!("{file}, row {}", place.row),
    }
}

fn told(report: &Report) -> Value {
    let at = |place: &Place| json!({ "file": project::from_here(&place.file), "line": place.line, "row": place.row });
    let row = |found: &Found| {
        let mut value = at(&found.place);
        value["text"] = json!(found.text);
        if let Some((place, text, share)) = &found.like {
            value["like"] = at(place);
            value["like"]["text"] = json!(text);
            value["like"]["share"] = json!(share);
        }
        value
    };
    let findings: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| {
            json!({
                "severity": if finding.severity == Severity::Error { "error" } else { "warning" },
                "code": finding.code,
                "stage": finding.stage,
                "message": finding.message,
                "help": finding.help,
                "rows": finding.rows.iter().map(row).collect::<Vec<_>>(),
            })
        })
        .collect();
    let tables: Vec<Value> = report
        .tables
        .iter()
        .map(|t| json!({ "stage": t.stage, "roles": t.roles, "rows": t.rows, "path": t.path }))
        .collect();
    let unlooked: Vec<Value> =
        report.unlooked.iter().map(|(stage, of)| json!({ "stage": stage, "role": of })).collect();
    json!({ "tables": tables, "findings": findings, "unlooked": unlooked, "started": report.started })
}
