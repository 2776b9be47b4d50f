//! `pipe run`.

use pipe_engine::{
    cancel::CancelToken,
    events::Outcome,
    execute::{self, RunOptions},
};
use serde_json::{Value, json};

use crate::{
    cli,
    error::CliError,
    exit::Exit,
    project,
    report::{Summary, reporter},
    signals,
};

pub fn run(global: &cli::Global, args: cli::Run) -> Result<Exit, CliError> {
    let pipeline = project::load(&args.pipeline)?;
    let store = project::open_store(global, &pipeline.base_dir)?;
    let cancel = CancelToken::new();
    signals::cancel_on_signal(cancel.clone());
    let results = args.results.clone().unwrap_or_else(|| project::results_path(&store));
    let options = RunOptions {
        selection: args.select.into(),
        keep_going: args.keep_going,
        results: (!store.read_only()).then_some(results),
        cancel,
        machine: machine(),
        ..options(&args.limits)
    };
    let mut reporter = reporter(global, args.format);
    let mut words = Summary::default();
    let summary = execute::run(&pipeline, &store, &options, &mut |event| {
        reporter.event(event);
        words.event(event);
    })?;
    drop(reporter);
    if !global.quiet {
        // With --format json, an event has it.
        if args.format == cli::Format::Text {
            words.say_arms();
        }
        words.say(&summary);
    }
    {
        let _span = tracing::info_span!("flush").entered();
        store.flush()?;
    }
    Ok(match summary.outcome {
        Outcome::Succeeded => Exit::Success,
        Outcome::Failed => Exit::StageFailed,
        Outcome::Cancelled => Exit::Cancelled,
    })
}

/// What `run` and `plan` have in common.
pub fn options(limits: &cli::Limits) -> RunOptions {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    RunOptions {
        jobs: limits.jobs.unwrap_or_else(cores),
        gpus: limits.gpus,
        memory: limits.memory,
        env: project::environment(),
        ..RunOptions::default()
    }
}

/// The machine, as kept with results.
fn machine() -> Value {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).ok();
    json!({
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "host": host,
    })
}
