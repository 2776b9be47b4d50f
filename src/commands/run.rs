//! `pipe run`.

use pipe_engine::{
    context::CancelToken,
    diag::redact,
    events::RunEnd,
    execute::{self, RunOptions},
};
use pipe_stages::programs;
use serde_json::{Value, json};

use crate::{
    cli,
    error::CliError,
    exit::Exit,
    project,
    report::{Summary, reporter},
    signals,
};

pub(crate) fn run(global: &cli::Global, args: cli::Run) -> Result<Exit, CliError> {
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
        arguments: std::env::args().skip(1).map(|argument| redact(&argument).into_owned()).collect(),
        software: SOFTWARE.to_owned(),
        ..options(&args.limits)
    };
    if let Err(error) = programs::adopt_orphans() {
        tracing::debug!(%error, "programs that leave their parents are not followed");
    }
    let mut reporter = reporter(global, args.format);
    let mut words = Summary::default();
    let summary = execute::run(&pipeline, &store, &options, &mut |event| {
        reporter.event(event);
        words.event(event);
    });
    programs::end_all();
    let summary = summary?;
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
        RunEnd::Succeeded => Exit::Success,
        RunEnd::Failed => Exit::StageFailed,
        RunEnd::Cancelled => Exit::Cancelled,
    })
}

/// Name, version and commit of this program.
const SOFTWARE: &str = concat!("pipe ", env!("CARGO_PKG_VERSION"), env!("PIPE_COMMIT"));

/// What `run` and `plan` have in common.
pub(crate) fn options(limits: &cli::Limits) -> RunOptions {
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
    json!({
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "cpus": std::thread::available_parallelism().map_or(1, usize::from),
        "host": pipe_cache::host_name(),
    })
}
