//! `pipe diff`.

use std::io::{self, Write};

use pipe_cache::Store;
use pipe_engine::{
    diag::one_of,
    inspect::{self, Diff, Metric, StageDiff},
};

use super::runs;
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, color_on_stdout, count, paint, style},
    project,
};

pub(crate) fn diff(global: &cli::Global, args: &cli::Diff) -> Result<Exit, CliError> {
    let store = project::existing_store(global, project::READ_ONLY)?;
    let diff = match pipeline_of(&store, args)? {
        Some(pipeline) => inspect::diff_variants(&store, &pipeline, &args.left, &args.right)?,
        None => inspect::diff_runs(&store, &runs::expect(&store, &args.left)?, &runs::expect(&store, &args.right)?)?,
    };
    match args.format {
        Format::Json => output::json(&diff)?,
        Format::Text => write(&diff, &mut output::stdout())?,
    }
    Ok(Exit::Success)
}

/// The pipeline whose variants are meant; `None` when both names are runs.
fn pipeline_of(store: &Store, args: &cli::Diff) -> Result<Option<String>, CliError> {
    if args.pipeline.is_some() {
        return Ok(args.pipeline.clone());
    }
    let mut having = Vec::new();
    let mut variants = Vec::new();
    for pipeline in store.pipelines()? {
        let refs = store.refs(&pipeline)?;
        if refs.contains_key(&args.left) && refs.contains_key(&args.right) {
            having.push(pipeline);
        }
        variants.extend(refs.into_keys());
    }
    let are_runs = || -> Result<bool, CliError> {
        let named = runs::is_age(&args.left) || runs::is_age(&args.right);
        Ok(named || runs::find(store, &args.left)?.is_some() && runs::find(store, &args.right)?.is_some())
    };
    match having.as_slice() {
        [] if are_runs()? => Ok(None),
        [] => {
            let unknown = if variants.contains(&args.left) { &args.right } else { &args.left };
            variants.sort();
            variants.dedup();
            Err(CliError::NotFound {
                message: format!("no pipeline has both variants, and `{unknown}` is no run either"),
                help: one_of(unknown, "the variants are", variants.iter().map(String::as_str)),
            })
        }
        [one] => Ok(Some(one.clone())),
        several => Err(CliError::Usage {
            message: format!("several pipelines have these variants: {}", several.join(", ")),
            help: Some("say which one with --pipeline".to_owned()),
        }),
    }
}

fn write(diff: &Diff, out: &mut impl Write) -> io::Result<()> {
    let color = color_on_stdout();
    let title = format!("{} → {}", diff.left, diff.right);
    writeln!(out, "{}", paint(title, style::BOLD, color))?;
    for stage in &diff.stages {
        write_stage(stage, color, out)?;
    }
    writeln!(
        out,
        "{}, {} the same",
        output::plural(diff.stages.len() as u64, "stage") + " different",
        count(diff.same as u64)
    )
}

fn write_stage(stage: &StageDiff, color: bool, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", paint(&stage.stage, style::NEW, color))?;
    for change in &stage.changes {
        writeln!(out, "  {change}")?;
    }
    for port in &stage.outputs {
        let rows = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), count);
        let (left, right) = (rows(port.left_rows), rows(port.right_rows));
        let amount = if left == right { format!("{left} rows, different") } else { format!("{left} → {right} rows") };
        writeln!(out, "  {}: {amount}", port.port)?;
        for metric in &port.metrics {
            writeln!(out, "    {}", metric_text(metric))?;
        }
    }
    for counter in &stage.counters {
        writeln!(out, "  {}", metric_text(counter))?;
    }
    Ok(())
}

fn metric_text(metric: &Metric) -> String {
    let number = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n}"));
    let delta = metric.delta().map_or_else(String::new, |delta| format!("  ({delta:+.4})"));
    format!("{}: {} → {}{delta}", metric.name, number(metric.left), number(metric.right))
}
