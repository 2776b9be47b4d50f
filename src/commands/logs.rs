//! `pipe logs`.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
};

use pipe_engine::{
    events::{EventKind, Journal},
    pipeline::NodeRef,
};

use super::runs;
use crate::{
    cli,
    error::CliError,
    exit::Exit,
    output::{self, color_on_stdout, paint, style},
    project,
};

pub(crate) fn logs(global: &cli::Global, args: &cli::Logs) -> Result<Exit, CliError> {
    let store = project::existing_store(global, project::READ_ONLY)?;
    if let Some(job) = &args.worker {
        super::submit::logs_of_workers(&store, Some(job.as_str()).filter(|job| !job.is_empty()))?;
        return Ok(Exit::Success);
    }
    let journal = Journal::new(&store);
    let candidates = match &args.run {
        Some(run) => vec![runs::expect(&store, run)?],
        None => journal.runs()?,
    };
    for run in candidates {
        let mut nodes: Vec<NodeRef> = Vec::new();
        for event in journal.events(&run)? {
            if let EventKind::Started { node, .. } = event.kind
                && args.stage.as_ref().is_none_or(|wanted| is_meant(&node, wanted))
                && !nodes.contains(&node)
            {
                nodes.push(node);
            }
        }
        if nodes.is_empty() {
            continue;
        }
        let mut printed = 0;
        for node in &nodes {
            let path = store.layout().logs().join(&run).join(format!("{}.log", node.id));
            let Ok(file) = File::open(&path) else { continue };
            let mut out = output::stdout();
            if nodes.len() > 1 {
                writeln!(out, "{}", paint(format!("==> {} <==", node.label), style::BOLD, color_on_stdout()))?;
            }
            // Line by line: a program may print whatever it likes, also what no terminal should obey.
            let mut lines = BufReader::new(file).split(b'\n');
            while let Some(line) = lines.next().transpose()? {
                writeln!(out, "{}", String::from_utf8_lossy(&line))?;
            }
            printed += 1;
        }
        if printed == 0 {
            output::say(format_args!("run {run}: nothing was written to a log"));
        }
        return Ok(Exit::Success);
    }
    let what = args.stage.as_ref().map_or_else(|| "a run".to_owned(), |stage| format!("a run of `{stage}`"));
    Err(CliError::NotFound {
        message: format!("the store knows nothing of {what}"),
        help: Some("`pipe ls --runs` lists the runs".to_owned()),
    })
}

/// Whether a node is the stage (and variant) that was asked for.
fn is_meant(node: &NodeRef, wanted: &str) -> bool {
    let label = node.label.0.split(" +").next().unwrap_or_default();
    label == wanted || (!wanted.contains('@') && label.split('@').next() == Some(wanted))
}
