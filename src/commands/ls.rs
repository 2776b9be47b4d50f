//! `pipe ls`.

use pipe_cache::{Lookup, Store};
use pipe_engine::{
    diag::one_of,
    events::{Journal, RunEnd, RunInfo},
};
use serde_json::json;

use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, ago, bytes, count, seconds},
    project,
};

pub(crate) fn ls(global: &cli::Global, args: &cli::Ls) -> Result<Exit, CliError> {
    let store = project::existing_store(global, project::READ_ONLY)?;
    if args.runs {
        return list_runs(&store, args);
    }
    let mut pipelines = store.pipelines()?;
    if let Some(name) = &args.pipeline {
        if !pipelines.contains(name) {
            let help = one_of(name, "the pipelines are", pipelines.iter().map(String::as_str));
            return Err(CliError::NotFound { message: format!("there is no pipeline `{name}` in the store"), help });
        }
        pipelines = vec![name.clone()];
    }
    let mut rows = Vec::new();
    for pipeline in &pipelines {
        for (variant, stages) in store.refs(pipeline)? {
            for (stage, key) in stages {
                let entry = match store.lookup(&key)? {
                    Lookup::Hit(entry) => Some(entry),
                    _ => None,
                };
                rows.push((pipeline.clone(), variant.clone(), stage, key, entry));
            }
        }
    }
    if args.format == Format::Json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(pipeline, variant, stage, key, entry)| {
                let outputs = entry.iter().flat_map(|e| &e.outputs).map(|(port, artifact)| {
                    json!({ "port": port, "kind": artifact.kind, "rows": artifact.rows, "bytes": artifact.bytes,
                            "digest": artifact.digest, "path": store.layout().artifact(artifact) })
                });
                json!({ "pipeline": pipeline, "variant": variant, "stage": stage, "key": key,
                        "present": entry.is_some(), "seconds": entry.as_ref().map(|e| e.seconds),
                        "outputs": outputs.collect::<Vec<_>>() })
            })
            .collect();
        output::json(&rows)?;
        return Ok(Exit::Success);
    }
    let mut table = Table::new(&["pipeline", "variant", "stage", ">amount", ">size", ">took", "=key"]);
    for (pipeline, variant, stage, key, entry) in rows {
        let (size, amount, took) = match &entry {
            None => ("-".to_owned(), "deleted".to_owned(), String::new()),
            Some(entry) => {
                let main = entry.outputs.first().map(|(port, a)| (port.as_str(), a.kind, a.rows));
                let amount = match entry.outputs.len() {
                    0 | 1 => output::amounts(main),
                    n => format!("{} +{}", output::amounts(main), n - 1),
                };
                (bytes(entry.outputs.iter().map(|(_, a)| a.bytes).sum()), amount, seconds(entry.seconds))
            }
        };
        table.row([pipeline, variant, stage, amount, size, took, key.short()]);
    }
    output::fitted(table)?;
    Ok(Exit::Success)
}

fn list_runs(store: &Store, args: &cli::Ls) -> Result<Exit, CliError> {
    let journal = Journal::new(store);
    let mut runs: Vec<RunInfo> = Vec::new();
    for run in journal.runs()? {
        runs.extend(
            journal.info(&run)?.filter(|info| args.pipeline.as_ref().is_none_or(|name| *name == info.pipeline)),
        );
    }
    if args.format == Format::Json {
        output::json(&runs)?;
        return Ok(Exit::Success);
    }
    let mut table =
        Table::new(&["=run", "pipeline", "with", "started", "outcome", ">ran", ">reused", ">failed", ">took"]);
    for info in runs {
        let numbers = info.summary.as_ref().map(|s| [s.ran, s.hits, s.failed].map(|n| count(n as u64)));
        let [ran, hits, failed] = numbers.unwrap_or_default();
        let outcome = info.summary.as_ref().map_or("killed, or running", |s| match s.outcome {
            RunEnd::Succeeded => "done",
            RunEnd::Failed => "failed",
            RunEnd::Cancelled => "cancelled",
            RunEnd::Left => "left to others",
        });
        let took = info.summary.as_ref().map_or_else(String::new, |s| seconds(s.seconds));
        table.row([
            info.run,
            info.pipeline,
            info.origin.trial.unwrap_or_default(),
            ago(info.started_ms),
            outcome.to_owned(),
            ran,
            hits,
            failed,
            took,
        ]);
    }
    output::fitted(table)?;
    Ok(Exit::Success)
}
