//! `pipe run --worker`: one of several processes that do a run together. The store is all that they share.

use std::{
    thread,
    time::{Duration, Instant},
};

use pipe_engine::{
    context::CancelToken,
    events::RunEnd,
    execute::{Offer, RunOptions},
    pipeline::Pipeline,
};

use super::{left::say_left, performed, prepared};
use crate::{
    cli::{self, Format},
    error::CliError,
    exit::Exit,
    output::say,
    report::reporter,
};

/// What is left of a worker's time for ending in good order, within these bounds: a twentieth.
const LAST_WORDS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_mins(1));

/// What a worker offers that begins `now`.
pub(crate) fn offer(args: &cli::Worker, now: Instant) -> Offer {
    let (least, most) = LAST_WORDS;
    let until = args.max_time.map(|time| now + time.saturating_sub((time / 20).clamp(least, most)));
    Offer { classes: args.class.clone(), idle: args.idle, until }
}

pub(super) fn run(
    global: &cli::Global,
    args: &cli::Run,
    pipeline: &Pipeline,
    cancel: CancelToken,
) -> Result<Exit, CliError> {
    let offer = offer(&args.worker, Instant::now());
    if let Some(until) = offer.until {
        let cancel = cancel.clone();
        // Ends with the process.
        thread::spawn(move || {
            thread::sleep(until.saturating_duration_since(Instant::now()));
            cancel.cancel();
        });
    }
    let (store, options) = prepared(global, args, pipeline, cancel)?;
    // What failed here may not fail elsewhere, and others need not wait for it.
    let options = RunOptions { keep_going: true, worker: Some(offer), ..options };
    let mut reporter = reporter(global, args.format);
    let (summary, words) = performed(pipeline, &store, &options, &mut |event| reporter.event(event))?;
    drop(reporter);
    if !global.quiet {
        words.say(&summary);
        if args.format == Format::Text && summary.skipped > 0 {
            say_left(pipeline, &store, &options, &words);
        }
    }
    store.flush()?;
    Ok(match summary.outcome {
        RunEnd::Succeeded | RunEnd::Left => Exit::Success,
        RunEnd::Failed => Exit::StageFailed,
        RunEnd::Cancelled => {
            if !global.quiet {
                say("there is more to do: start another worker");
            }
            Exit::MoreToDo
        }
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
