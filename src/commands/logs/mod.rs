//! `pipe logs`.

mod follow;

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    time::Duration,
};

use pipe_cache::{Store, now_ms};
use pipe_engine::{
    events::{EventKind, Journal, live},
    pipeline::NodeRef,
};

use self::follow::{Sources, follow};
use super::{runs, submit::logs_of_workers};
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
        let job = Some(job.as_str()).filter(|job| !job.is_empty());
        let logs = logs_of_workers(&store, job)?;
        if args.follow {
            // Nobody knows whether more workers begin.
            follow::<CliError>(|| Ok(Sources { logs: logs_of_workers(&store, job)?, goes_on: true }))?;
        }
        let mut out = output::stdout();
        for (title, path) in logs {
            writeln!(out, "{}", paint(format!("== {title}"), style::BOLD, color_on_stdout()))?;
            lines(&mut out, File::open(&path)?)?;
        }
        return Ok(Exit::Success);
    }
    let journal = Journal::new(&store);
    let candidates = match &args.run {
        Some(run) => vec![runs::expect(&store, run)?],
        None => journal.runs()?,
    };
    if args.follow && !live_runs(&store, &candidates)?.is_empty() {
        let mut followed = Vec::new();
        let look = || {
            let runs = if args.run.is_some() { candidates.clone() } else { journal.runs()? };
            let live = live_runs(&store, &runs)?;
            let goes_on = !live.is_empty();
            followed.extend(live.into_iter().filter(|run| !followed.contains(run)).collect::<Vec<_>>());
            // After that, so that what is written before the end is found.
            Ok(Sources { logs: logs_in(&store, &followed, args.stage.as_deref())?, goes_on })
        };
        if !follow::<CliError>(look)? {
            output::say("nothing was written to a log");
        }
        return Ok(Exit::Success);
    }
    for run in candidates {
        let nodes = began(&journal, &run, args.stage.as_deref())?;
        if nodes.is_empty() {
            continue;
        }
        let mut printed = 0;
        for node in &nodes {
            let Ok(file) = File::open(log_of(&store, &run, node)) else { continue };
            let mut out = output::stdout();
            if nodes.len() > 1 {
                writeln!(out, "{}", paint(format!("==> {} <==", node.label), style::BOLD, color_on_stdout()))?;
            }
            lines(&mut out, file)?;
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

/// Prints a log line by line: a program may print whatever it likes, also what no terminal should obey.
fn lines(out: &mut impl Write, file: File) -> Result<(), CliError> {
    let mut lines = BufReader::new(file).split(b'\n');
    while let Some(line) = lines.next().transpose()? {
        writeln!(out, "{}", String::from_utf8_lossy(&line))?;
    }
    Ok(())
}

fn log_of(store: &Store, run: &str, node: &NodeRef) -> PathBuf {
    store.layout().logs().join(run).join(format!("{}.log", node.id))
}

/// The nodes of a stage (of all, where none is named) that a run has begun.
fn began(journal: &Journal, run: &str, stage: Option<&str>) -> Result<Vec<NodeRef>, CliError> {
    let mut nodes: Vec<NodeRef> = Vec::new();
    for event in journal.events(run)? {
        if let EventKind::Started { node, .. } = event.kind
            && stage.is_none_or(|wanted| is_meant(&node, wanted))
            && !nodes.contains(&node)
        {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// A run says that it lives when it has lasted a second, and before that only that it has begun.
const YOUNG: Duration = Duration::from_secs(5);
/// So many of the newest runs may be young.
const NEWEST: usize = 32;

/// Those of the runs, of which the newest come first, that go on.
fn live_runs(store: &Store, runs: &[String]) -> Result<Vec<String>, CliError> {
    let journal = Journal::new(store);
    let told = live(store, None);
    let mut found = Vec::new();
    for (n, run) in runs.iter().enumerate() {
        let is_live = told.iter().any(|live| live.run == *run) || {
            let info = if n < NEWEST { journal.info(run)? } else { None };
            let is_young = |started_ms: u64| u128::from(now_ms().saturating_sub(started_ms)) < YOUNG.as_millis();
            info.is_some_and(|info| info.summary.is_none() && is_young(info.started_ms))
        };
        if is_live {
            found.push(run.clone());
        }
    }
    Ok(found)
}

/// The logs of a stage in those runs.
fn logs_in(store: &Store, runs: &[String], stage: Option<&str>) -> Result<Vec<(String, PathBuf)>, CliError> {
    let journal = Journal::new(store);
    let mut logs = Vec::new();
    for run in runs {
        let of = if runs.len() > 1 { format!(" in run {run}") } else { String::new() };
        let nodes = began(&journal, run, stage)?.into_iter();
        logs.extend(nodes.map(|node| (format!("{}{of}", node.label), log_of(store, run, &node))));
    }
    Ok(logs)
}

/// Whether a node is the stage (and variant) that was asked for.
fn is_meant(node: &NodeRef, wanted: &str) -> bool {
    let label = node.label.0.split(" +").next().unwrap_or_default();
    label == wanted || (!wanted.contains('@') && label.split('@').next() == Some(wanted))
}
