//! `pipe status`: how far a pipeline is, and who works on it, for runs that one is not in.

use std::io::Write;

use pipe_engine::{
    events::{Live, live},
    inspect::{self, Action},
};
use serde_json::json;

use super::run::options;
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::{self, Table, ago, color_on_stdout, count, paint, plural, style},
    project,
    report::live_stage,
};

pub(crate) fn status(global: &cli::Global, args: cli::Status) -> Result<Exit, CliError> {
    let pipeline = super::load(&args.pipeline)?;
    let store = project::look_into_store(global, &pipeline.base_dir)?;
    let limits = cli::Limits { jobs: None, gpus: 0, memory: None };
    let plan = inspect::plan(&pipeline, &store, &options(&limits))?;
    let done = plan.nodes.iter().filter(|node| matches!(node.action, Action::Hit { .. })).count();
    let runs = live(&store, Some(&pipeline.name));
    match args.format {
        Format::Json => output::json(&json!({
            "pipeline": pipeline.name, "stages": plan.nodes.len(), "done": done, "runs": runs,
        }))?,
        Format::Text => {
            let mut out = output::prose();
            let name = paint(&pipeline.name, style::BOLD, color_on_stdout());
            writeln!(out, "{name}: {} of {} done", count(done as u64), plural(plan.nodes.len() as u64, "stage"))?;
            match &runs[..] {
                [] if done < plan.nodes.len() => writeln!(out, "nobody works on it: pipe run goes on")?,
                [] => {}
                runs => {
                    drop(out);
                    output::fitted(table(runs))?;
                }
            }
        }
    }
    Ok(Exit::Success)
}

fn table(runs: &[Live]) -> Table {
    let mut table = Table::new(&["=worker", "since", ">done", "stage", "progress"]);
    for run in runs {
        // The clocks of two machines may differ.
        let since = ago(run.started_ms);
        let role = if run.worker { "" } else { " (run)" };
        let mut first = vec![format!("{}{role}", run.owner()), since, count(run.ran as u64)];
        if run.stages.is_empty() {
            table.row(first.drain(..).chain(["waits".to_owned(), String::new()]));
            continue;
        }
        for stage in &run.stages {
            let words = [stage.label.clone(), live_stage(stage)];
            let begin = std::mem::replace(&mut first, vec![String::new(); 3]);
            table.row(begin.into_iter().chain(words));
        }
    }
    table
}
