//! `pipe why`.

use std::io::{self, Write};

use pipe_engine::inspect::{self, Verdict, Why};

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, ago, color_on_stdout, paint, style},
    project,
};

pub(crate) fn why(global: &cli::Global, args: &cli::Why) -> Result<Exit, CliError> {
    let mut arguments = args.pipeline.clone();
    let stage = match &args.stage {
        Some(stage) => stage.clone(),
        // What stands alone is the stage.
        None => std::mem::replace(&mut arguments.pipeline, cli::PIPELINE.into()).display().to_string(),
    };
    let pipeline = super::load(&arguments)?;
    let store = project::look_into_store(global, &pipeline.base_dir)?;
    let answers = inspect::why(&pipeline, &store, &project::environment(), &stage)?;
    match args.format {
        Format::Json => output::json(&answers)?,
        Format::Text => {
            let mut out = output::prose();
            for answer in &answers {
                write(answer, &mut out)?;
            }
        }
    }
    Ok(Exit::Success)
}

fn write(why: &Why, out: &mut impl Write) -> io::Result<()> {
    let color = color_on_stdout();
    let verdict = match &why.verdict {
        Verdict::Hit { key } => format!("is done ({}): nothing it depends on has changed", key.short()),
        Verdict::NeverRan => "runs: it never ran before".to_owned(),
        Verdict::Changed => format!("runs: {}", why.changes.join("; ")),
        Verdict::Deleted { detail: None } => "runs: nothing changed, but its result was deleted".to_owned(),
        Verdict::Deleted { detail: Some(detail) } => format!("runs: nothing changed, but its result is gone: {detail}"),
        Verdict::Uncacheable { detail } => format!("always runs: {detail}"),
        Verdict::Pending { on } => {
            let on: Vec<String> = on.iter().map(|label| format!("`{label}`")).collect();
            let changes =
                if why.changes.is_empty() { String::new() } else { format!("; so far: {}", why.changes.join("; ")) };
            format!("is pending on {}: it runs if they yield something new{changes}", on.join(", "))
        }
        Verdict::Unreadable { detail } => format!("would fail: {detail}"),
    };
    writeln!(out, "{} {verdict}", paint(&why.node.label, style::BOLD, color))?;
    if let Some(earlier) = &why.compared_with {
        let text =
            format!("  compared with {} of {} ({})", earlier.key.short(), earlier.label, ago(earlier.started_ms));
        writeln!(out, "{}", paint(text, style::DIM, color))?;
    }
    Ok(())
}
