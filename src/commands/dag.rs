//! `pipe dag`.

use std::io::{self, Write};

use pipe_engine::inspect::{self, Dag, DagEdge, DagStage};

use crate::{
    cli::{self, DagFormat},
    error::CliError,
    exit::Exit,
    output,
};

pub(crate) fn dag(args: &cli::Dag) -> Result<Exit, CliError> {
    let dag = inspect::dag(&super::load(&args.pipeline)?);
    let mut out = output::stdout();
    match args.format {
        DagFormat::Json => output::json(&dag)?,
        DagFormat::Text => text(&dag, &mut out)?,
        DagFormat::Dot => dot(&dag, &mut out)?,
        DagFormat::Mermaid => mermaid(&dag, &mut out)?,
    }
    Ok(Exit::Success)
}

/// `instructions ×4`.
fn title(stage: &DagStage) -> String {
    if stage.nodes > 1 { format!("{} ×{}", stage.name, stage.nodes) } else { stage.name.clone() }
}

/// The producer as it is written under `inputs:`.
fn source(dag: &Dag, edge: &DagEdge) -> String {
    let output = edge.output.as_ref().map_or_else(String::new, |output| format!(".{output}"));
    format!("{}{output}{}", dag.stages[edge.from].name, if edge.gather { "[*]" } else { "" })
}

fn text(dag: &Dag, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} ({})", dag.pipeline, output::plural(dag.variants as u64, "variant"))?;
    let width = dag.stages.iter().map(|s| title(s).chars().count()).max().unwrap_or(0);
    let kinds = dag.stages.iter().map(|s| s.kind.chars().count()).max().unwrap_or(0);
    for (i, stage) in dag.stages.iter().enumerate() {
        let inputs: Vec<String> = dag
            .edges
            .iter()
            .filter(|edge| edge.to == i)
            .map(|edge| {
                let source = source(dag, edge);
                if edge.port == source { source } else { format!("{}: {source}", edge.port) }
            })
            .collect();
        let from = if inputs.is_empty() { String::new() } else { format!("← {}", inputs.join(", ")) };
        let name = title(stage);
        let pad = " ".repeat(width - name.chars().count());
        writeln!(out, "{}", format!("  {name}{pad}  {:kinds$}  {from}", stage.kind).trim_end())?;
    }
    Ok(())
}

fn dot(dag: &Dag, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "digraph {:?} {{\n  rankdir=LR; node [shape=box, style=rounded, fontname=sans];", dag.pipeline)?;
    for (i, stage) in dag.stages.iter().enumerate() {
        writeln!(out, "  s{i} [label={:?}];", format!("{}\n{}", title(stage), stage.kind))?;
    }
    for edge in &dag.edges {
        let style = if edge.gather { ", style=bold" } else { "" };
        writeln!(out, "  s{} -> s{} [label={:?}{style}];", edge.from, edge.to, edge.port)?;
    }
    writeln!(out, "}}")
}

fn mermaid(dag: &Dag, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "flowchart LR")?;
    for (i, stage) in dag.stages.iter().enumerate() {
        writeln!(out, "  s{i}[\"{}<br/><i>{}</i>\"]", title(stage), stage.kind)?;
    }
    for edge in &dag.edges {
        let arrow = if edge.gather { "==>" } else { "-->" };
        writeln!(out, "  s{} {arrow}|{}| s{}", edge.from, edge.port, edge.to)?;
    }
    Ok(())
}
