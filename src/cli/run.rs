//! Flags of what computes a pipeline, and of what says beforehand what that would be.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{Format, PipelineArgs, SelectArgs, bytes, duration};

#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    #[command(flatten)]
    pub select: SelectArgs,
    #[command(flatten)]
    pub limits: Limits,
    #[command(flatten)]
    pub worker: Worker,
    /// Start further stages after one has failed, or where one cannot run, as far as they do not need it
    #[arg(short, long)]
    pub keep_going: bool,
    /// Run again whenever the pipeline file, what it includes or a source changes, until Ctrl-C
    #[arg(short, long)]
    pub watch: bool,
    /// Where links to results are made [default: `results` beside the store]
    #[arg(long, value_name = "DIR")]
    pub results: Option<PathBuf>,
    /// Leave the report of the pipeline (`report.html` among the results) as it is
    #[arg(long)]
    pub no_report: bool,
    /// Show all columns and rows of the tables that end the run, however wide
    #[arg(long)]
    pub wide: bool,
    /// Write the losses of trainings, step by step, also where TensorBoard looks for them: to `tensorboard/` beside
    /// the store
    #[arg(long, value_enum, value_name = "HOW")]
    pub log: Option<LogTo>,
    /// `json` prints one event per line; what keeps a run from beginning, as `cannot_run`
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// One of several processes that do a run together.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Workers")]
pub(crate) struct Worker {
    /// Join whatever run there is of the pipeline on this store, or begin one: compute what nobody else computes and
    /// fits what is offered (--gpus, --memory, --class, --max-time), --jobs at once, help with rows of what others
    /// compute, and end when nothing is left. At SIGTERM, SIGUSR1 or --max-time it ends in good order; with exit code
    /// 75 if there is more to do, also if only time is lacking for what is left
    #[arg(id = "worker", long = "worker", conflicts_with_all = ["watch", "force", "log"])]
    pub joins: bool,
    /// Take the stages of these classes (`resources: { class: a100 }`), too
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "worker")]
    pub class: Vec<String>,
    /// End in good order a little before this time is up (`2h`)
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "worker")]
    pub max_time: Option<Duration>,
    /// End after so long without work, though others are still at it (`10m`) [default: when nobody computes anything
    /// that this worker waits for]
    #[arg(long, value_name = "TIME", value_parser = duration, requires = "worker")]
    pub idle: Option<Duration>,
}

/// Who is to be told of the steps of trainings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogTo {
    /// `tensorboard --logdir tensorboard`
    Tensorboard,
}

/// What the machine has.
#[derive(Debug, Clone, Args)]
pub(crate) struct Limits {
    /// Stages (or CPU slots of stages) at once; one that wants more slots than there are takes all [default: number of
    /// cores]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<u32>,
    /// GPU slots; 0 does not count them
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub gpus: u32,
    /// Memory that stages may take together (`16GB`): what they say under `resources`, or what their
    /// models need, estimated; they have fewer rows in flight, and wait for each other, as it wants; 0
    /// does not count it [default: `memory` in pipe.toml, but for workers; else 0]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    #[command(flatten)]
    pub select: SelectArgs,
    /// List the stages that are done, too
    #[arg(short, long)]
    pub all: bool,
    /// Memory that there is (`16GB`): stages that take more cannot run; 0 does not count it [default: `memory` in
    /// pipe.toml, else 0]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory: Option<u64>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
