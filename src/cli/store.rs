//! Flags of what looks into a store, and of what cares for it.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::{ChoiceArgs, DagFormat, Format, PipelineArgs, bytes, duration};
use crate::{commands::remote, complete};

#[derive(Debug, Clone, Args)]
pub(crate) struct Ls {
    /// The name of a pipeline; all when left out
    #[arg(add = complete::pipelines())]
    pub pipeline: Option<String>,
    /// List runs instead of results
    #[arg(long)]
    pub runs: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// About the store as a whole.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum StoreCommand {
    /// Try out what a store asks of the file system that it lies on: locks, renames, publishing without replacing,
    /// clocks, and what two machines see of each other
    #[command(after_help = "Examples:\n  pipe store check\n  pipe store check --store /shared/me/.pipe\n  \
                            pipe store check --together     # on two machines, at about the same time")]
    Check(StoreCheck),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StoreCheck {
    /// Try it with another machine, too, on which the same is started within that time
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2m", value_parser = duration)]
    pub together: Option<Duration>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Show {
    /// `stage`, `stage@variant`, `stage.output@variant`, or the beginning of a key
    #[arg(add = complete::results())]
    pub target: Option<String>,
    /// The pipeline, if several have such a stage
    #[arg(long, value_name = "NAME", add = complete::pipelines())]
    pub pipeline: Option<String>,
    /// How many rows to print [default: 5, of small tables all]
    #[arg(short = 'n', long, value_name = "N")]
    pub head: Option<usize>,
    /// Leave the statistics out
    #[arg(long)]
    pub no_stats: bool,
    /// Print whole values, on as many lines as they take
    #[arg(short, long)]
    pub wrap: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Diff {
    /// A variant, or a run: its id, `last`, or `last~1` for the one before
    #[arg(add = complete::sides())]
    pub left: String,
    /// The other
    #[arg(add = complete::sides())]
    pub right: String,
    /// The pipeline whose variants are meant, if there are several
    #[arg(long, value_name = "NAME", add = complete::pipelines())]
    pub pipeline: Option<String>,
    /// Show all that differs, not a screenful of it
    #[arg(short, long)]
    pub all: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Dag {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: DagFormat,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Logs {
    /// `stage` or `stage@variant`; all stages of the run that wrote a log when left out
    #[arg(add = complete::results())]
    pub stage: Option<String>,
    /// Print the logs of workers that `submit` started instead; of one job (`17`), or one of its workers (`17_3`)
    #[arg(long, value_name = "JOB", num_args = 0..=1, default_missing_value = "", conflicts_with = "run")]
    pub worker: Option<String>,
    /// The run: its id, `last`, or `last~1` [default: the last one in which the stage ran]
    #[arg(long, value_name = "RUN", add = complete::runs())]
    pub run: Option<String>,
    /// Print what comes, too, of all runs that go on just now (of workers as well), until they end; with --worker until
    /// Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Gc {
    /// Remove results, least recently used first, until the store is no larger (`20GB`)
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub max_size: Option<u64>,
    /// Remove results that were not used for so long (`30d`)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub max_age: Option<Duration>,
    /// Remove results that no pipeline stands at any more
    #[arg(long)]
    pub unreachable: bool,
    /// Let --max-size and --max-age remove also what pipelines stand at
    #[arg(long)]
    pub even_reachable: bool,
    /// Collect the remote instead: mark what no result there needs, and results pushed longer ago than --max-age, and
    /// remove what was marked for --grace and still is of no use
    #[arg(long)]
    pub remote: bool,
    /// How long something on the remote is marked before it is removed
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = remote::GRACE, requires = "remote")]
    pub grace: Duration,
    /// Only say what would be removed, and on a remote what would be marked
    #[arg(long)]
    pub dry_run: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What is asked of the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RemoteQuestion {
    /// What it can do, each thing tried under the prefix in use
    Check,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    #[arg(value_enum)]
    pub what: RemoteQuestion,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Push {
    /// Stages, variants, or `stage@variant`; all when left out
    #[arg(value_name = "STAGE|VARIANT", add = complete::results())]
    pub targets: Vec<String>,
    /// The pipeline; all when left out
    #[arg(long, value_name = "NAME", add = complete::pipelines())]
    pub pipeline: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Pull {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Stages (or `stage@variant`) with what is upstream of them, or variants; all when left out. They may stand alone
    /// where the file is pipeline.yaml
    #[arg(value_name = "STAGE|VARIANT", add = complete::stages())]
    pub targets: Vec<String>,
    #[command(flatten)]
    pub select: ChoiceArgs,
    /// `json` prints one event per line
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Verify {
    /// Put damaged pieces aside, so that they are computed again
    #[arg(long)]
    pub repair: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}
