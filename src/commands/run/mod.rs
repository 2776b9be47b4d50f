//! `pipe run`.

mod foreseen;
mod left;
mod next;
mod shown;
mod watch;
mod worker;

use std::mem::ManuallyDrop;

use pipe_cache::Store;
use pipe_engine::{
    context::CancelToken,
    diag::redact,
    events::{Event, RunEnd, RunSummary},
    execute::{self, RunOptions},
    pipeline::Pipeline,
};
use pipe_stages::{programs, results::Heard};
use serde_json::{Value, json};

use crate::{
    cli,
    error::CliError,
    exit::Exit,
    output::say_whole,
    project,
    report::{Reporter, Summary, TensorBoard, reporter},
    signals::{self, Insistence},
};

pub(crate) use self::{left::refusal, next::quoted, worker::offer};

pub(crate) fn run(global: &cli::Global, args: cli::Run) -> Result<Exit, CliError> {
    let cancel = CancelToken::new();
    if let Err(error) = programs::adopt_orphans() {
        tracing::debug!(%error, "programs that leave their parents are not followed");
    }
    if args.watch {
        signals::cancel_on_signal(cancel.clone(), Insistence::AnySignal);
        return watch::run(global, args, &cancel);
    }
    // A worker may be told to end at any moment, also while it reads a large pipeline.
    if args.worker.joins {
        signals::cancel_on_signal(cancel.clone(), Insistence::Interrupt);
    }
    // The process ends after it, and its memory goes back as a whole: of ten thousand stages, that is felt.
    let pipeline = ManuallyDrop::new(super::load(&args.pipeline)?);
    if args.worker.joins {
        return worker::run(global, &args, &pipeline, cancel);
    }
    signals::cancel_on_signal(cancel.clone(), Insistence::AnySignal);
    once(global, args, &pipeline, cancel)
}

fn once(global: &cli::Global, args: cli::Run, pipeline: &Pipeline, cancel: CancelToken) -> Result<Exit, CliError> {
    let (store, options) = prepared(global, &args, pipeline, cancel)?;
    if let Some(remote) = options.remote.clone() {
        // Also while it is asked what the run will find, when no coordinator listens yet.
        options.cancel.on_cancel(move || remote.cancel());
    }
    if !args.keep_going {
        foreseen::check(pipeline, &store, &options, args.format)?;
    }
    let mut reporter = reporter(global, args.format);
    let mut curves =
        args.log.map(|cli::LogTo::Tensorboard| TensorBoard::new(store.layout().root().with_file_name("tensorboard")));
    let mut heard = Heard::default();
    let (summary, words) = performed(pipeline, &store, &options, &mut |event| {
        reporter.event(event);
        if let Some(curves) = &mut curves {
            curves.event(event);
        }
        heard.event(event);
    })?;
    drop(reporter);
    let page = shown::show(global, &args, pipeline, &store, &options, &heard)?;
    if !global.quiet {
        words.say(&summary);
        if let Some(page) = page.filter(|_| args.format == cli::Format::Text && summary.ran + summary.failed > 0) {
            say_whole(format_args!("  report:     {}", project::from_here(&page)));
        }
        if args.format == cli::Format::Text && summary.ran > 0 && summary.outcome == RunEnd::Succeeded {
            next::say_commands(global, &store, pipeline, &words);
        }
    }
    {
        let _span = tracing::info_span!("flush").entered();
        store.flush()?;
    }
    Ok(match summary.outcome {
        RunEnd::Succeeded => Exit::Success,
        RunEnd::Failed => Exit::StageFailed,
        RunEnd::Cancelled | RunEnd::Left => Exit::Cancelled,
    })
}

/// Where a run or a worker works, and how.
fn prepared(
    global: &cli::Global,
    args: &cli::Run,
    pipeline: &Pipeline,
    cancel: CancelToken,
) -> Result<(Store, RunOptions), CliError> {
    let store = project::open_store(global, &pipeline.base_dir)?;
    let results = args.results.clone().unwrap_or_else(|| project::results_path(&store));
    // What a worker has is said where it is started.
    let settings = if args.worker.joins { None } else { project::settings(&pipeline.base_dir)?.memory() };
    let told = told(&cli::Limits { memory: args.limits.memory.or(settings), ..args.limits.clone() });
    let options = RunOptions {
        selection: args.select.clone().into(),
        keep_going: args.keep_going,
        results: (!store.read_only()).then_some(results),
        remote: project::remote(&pipeline.base_dir, &told.env)?,
        cancel,
        ..told
    };
    Ok((store, options))
}

/// Does what a run or a worker does, and gathers what is to be said of it. No program of a stage outlives it.
fn performed(
    pipeline: &Pipeline,
    store: &Store,
    options: &RunOptions,
    report: &mut dyn FnMut(&Event),
) -> Result<(RunSummary, Summary), CliError> {
    let mut words = Summary::default();
    let summary = execute::run(pipeline, store, options, &mut |event| {
        report(event);
        words.event(event);
    });
    programs::end_all();
    Ok((summary?, words))
}

/// Name, version and commit of this program.
const SOFTWARE: &str = concat!("pipe ", env!("CARGO_PKG_VERSION"), env!("PIPE_COMMIT"));

/// What runs and workers have in common: what is kept with results.
fn told(limits: &cli::Limits) -> RunOptions {
    RunOptions {
        machine: machine(),
        arguments: std::env::args().skip(1).map(|argument| redact(&argument).into_owned()).collect(),
        software: SOFTWARE.to_owned(),
        place: worker::place(),
        ..options(limits)
    }
}

/// What `run` and `plan` have in common.
pub(crate) fn options(limits: &cli::Limits) -> RunOptions {
    let cores = || std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    RunOptions {
        jobs: limits.jobs.unwrap_or_else(cores),
        gpus: limits.gpus,
        memory: limits.memory.unwrap_or(0),
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
