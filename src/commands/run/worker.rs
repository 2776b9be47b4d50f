//! `pipe run --worker`: one of several processes that do a run together. The store is all that they share.

use std::{
    thread,
    time::{Duration, Instant},
};

use pipe_engine::{
    context::CancelToken,
    events::RunEnd,
    execute::{self, Offer, RunOptions},
    pipeline::Pipeline,
};
use pipe_stages::programs;

use crate::{
    cli,
    error::CliError,
    exit::Exit,
    output::say,
    project,
    report::{Summary, reporter},
};

/// What is left of a worker's time for ending in good order, within these bounds: a twentieth.
const LAST_WORDS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

pub(super) fn run(
    global: &cli::Global,
    args: cli::Run,
    pipeline: &Pipeline,
    cancel: CancelToken,
) -> Result<Exit, CliError> {
    let until = args.worker.max_time.map(|time| {
        let (least, most) = LAST_WORDS;
        Instant::now() + time.saturating_sub((time / 20).clamp(least, most))
    });
    if let Some(until) = until {
        let cancel = cancel.clone();
        // Ends with the process.
        thread::spawn(move || {
            thread::sleep(until.saturating_duration_since(Instant::now()));
            cancel.cancel();
        });
    }
    let store = project::open_store(global, &pipeline.base_dir)?;
    let results = args.results.clone().unwrap_or_else(|| project::results_path(&store));
    let options = RunOptions {
        selection: args.select.into(),
        // What failed here may not fail elsewhere, and others need not wait for it.
        keep_going: true,
        worker: Some(Offer { classes: args.worker.class, idle: args.worker.idle, until }),
        results: (!store.read_only()).then_some(results),
        cancel,
        ..super::told(&args.limits)
    };
    let (mut reporter, mut words) = (reporter(global, args.format), Summary::default());
    let summary = execute::run(pipeline, &store, &options, &mut |event| {
        reporter.event(event);
        words.event(event);
    });
    programs::end_all();
    let summary = summary?;
    drop(reporter);
    if !global.quiet {
        words.say(&summary);
    }
    store.flush()?;
    Ok(match summary.outcome {
        RunEnd::Succeeded => Exit::Success,
        RunEnd::Failed => Exit::StageFailed,
        RunEnd::Cancelled => {
            if !global.quiet {
                say("there is more to do: start another worker");
            }
            Exit::MoreToDo
        }
        RunEnd::Left => Exit::Success,
    })
}

/// What a batch system calls this process, if one started it.
pub(super) fn place() -> Option<String> {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let array = named("SLURM_ARRAY_JOB_ID").zip(named("SLURM_ARRAY_TASK_ID"));
    let slurm = array.map(|(job, task)| format!("{job}_{task}")).or_else(|| named("SLURM_JOB_ID"));
    slurm
        .map(|job| format!("slurm {job}"))
        .or_else(|| named("JOB_COMPLETION_INDEX").map(|index| format!("kubernetes {index}")))
        .or_else(|| named("SKYPILOT_NODE_RANK").map(|rank| format!("skypilot {rank}")))
}
