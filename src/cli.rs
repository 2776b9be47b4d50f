//! Commands and flags.

pub(crate) mod global;
mod results;
mod run;
mod store;
mod submit;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use pipe_engine::{
    pipeline::Selection,
    spec::{parse_bytes, parse_duration},
};

pub(crate) use self::{
    global::Global,
    results::{Compare, Doctor, Results, ResultsFormat, Trace},
    run::{Limits, LogTo, Plan, Run, Worker},
    store::{
        Dag, Diff, Gc, Logs, Ls, Pull, Push, Remote, RemoteQuestion, Show, Status, StoreCheck, StoreCommand, Verify,
    },
    submit::{Cancel, Scheduler, Submit},
};
use crate::{complete, exit};

/// The file that is meant when none is named: that which `init` writes.
pub(crate) const PIPELINE: &str = "pipeline.yaml";

/// Declarative dataflow for ablation studies: runs a pipeline once per variant, and computes every shared piece once.
#[derive(Debug, Parser)]
#[command(name = "pipe", version, after_help = exit::HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Who reads the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// People.
    #[default]
    Text,
    /// Scripts.
    Json,
}

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DagFormat {
    #[default]
    Text,
    /// Graphviz.
    Dot,
    Mermaid,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run what is not done yet
    #[command(after_help = "Examples:\n  pipe run study.yaml\n  pipe run study.yaml --set n=40 --until scores -j 4")]
    Run(Run),
    /// Start workers on a cluster: arrays of jobs, one for each resource class, that all join one run
    #[command(after_help = "Examples:\n  pipe submit study.yaml --on slurm --workers gpu=4,cpu=8\n  \
        pipe submit study.yaml --on slurm --print -- --account=lab --partition=long")]
    Submit(Submit),
    /// End the workers that `submit` started
    #[command(after_help = "Examples:\n  pipe cancel study.yaml")]
    Cancel(Cancel),
    /// Say what a run would do, why, and how long it may take
    #[command(after_help = "Examples:\n  pipe plan study.yaml --from instructions")]
    Plan(Plan),
    /// Say which rows of seeds, documents and exam do not fit
    #[command(after_help = "Examples:\n  pipe check\n  pipe check study.yaml --all")]
    Check(Check),
    /// Explain why a stage runs, or why it does not
    #[command(after_help = "Examples:\n  pipe why study.yaml scores@n=40")]
    Why(Why),
    /// Show what came out: arms held against the baseline, as they stand, without running anything
    #[command(after_help = "Examples:\n  pipe results study.yaml\n  pipe results study.yaml --task each --format csv")]
    Results(Results),
    /// Fail unless arms hold against the baseline, for scripts and CI
    #[command(after_help = "Examples:\n  pipe compare study.yaml --gate 'f1 >= baseline - 0.01' --arm n=40")]
    Compare(Compare),
    /// Name the weak link of a study: rows dropped, instructions alike, passages unused, answers cut off, losses that
    /// stay, style without facts
    #[command(after_help = "Examples:\n  pipe doctor study.yaml")]
    Doctor(Doctor),
    /// Follow an answer to the seeds behind it, or a seed to everything it influenced
    #[command(
        after_help = "Examples:\n  pipe trace study.yaml exam-0003 --arm n=40\n  pipe trace study.yaml --seed s7"
    )]
    Trace(Trace),
    /// Say how far a pipeline is, and which processes work on it, where
    #[command(after_help = "Examples:\n  pipe status study.yaml")]
    Status(Status),
    /// List results, or runs
    #[command(after_help = "Examples:\n  pipe ls study\n  pipe ls --runs")]
    Ls(Ls),
    /// Show a result: schema, rows, statistics of every column; small tables, such as scores, as they are
    #[command(after_help = "Examples:\n  pipe show scores@n=40 -n 20")]
    Show(Show),
    /// Compare two variants, or two runs: parameters, sizes, metrics, rows
    #[command(after_help = "Examples:\n  pipe diff n=20 n=40\n  pipe diff last~1 last")]
    Diff(Diff),
    /// Print views for DuckDB: every output of every stage, over all variants
    #[command(after_help = "Examples:\n  pipe sql study > study.sql && duckdb -init study.sql\n  pipe sql > all.sql")]
    Sql(Sql),
    /// Write exams as lm-evaluation-harness keeps them: results_*.json and samples_*.jsonl
    #[command(
        after_help = "Examples:\n  pipe export-samples --to samples\n  pipe export-samples scores@n=40 --to samples"
    )]
    ExportSamples(ExportSamples),
    /// Draw the graph, variants collapsed
    #[command(after_help = "Examples:\n  pipe dag study.yaml --format mermaid")]
    Dag(Dag),
    /// Print what a stage wrote to its log
    #[command(after_help = "Examples:\n  pipe logs scores@n=40")]
    Logs(Logs),
    /// Remove results that are no longer needed
    #[command(after_help = "Examples:\n  pipe gc --unreachable --dry-run\n  pipe gc --max-size 20GB\n  \
        pipe gc --remote --max-age 90d")]
    Gc(Gc),
    /// Try out whether a store can be shared where it lies
    #[command(subcommand, after_help = "Examples:\n  pipe store check")]
    Store(StoreCommand),
    /// Send results to the remote that it does not have
    #[command(after_help = "Examples:\n  pipe push\n  pipe push scores n=40")]
    Push(Push),
    /// Fetch results of a pipeline from the remote, and compute nothing
    #[command(after_help = "Examples:\n  pipe pull study.yaml\n  pipe pull study.yaml --until scores --variant n=40")]
    Pull(Pull),
    /// Ask the remote what it can do
    #[command(after_help = "Examples:\n  pipe remote check\n  PIPE_REMOTE=s3://bucket/prefix pipe remote check")]
    Remote(Remote),
    /// Check every byte of the store
    #[command(after_help = "Examples:\n  pipe verify --repair")]
    Verify(Verify),
    /// Print the JSON Schema of pipeline files
    #[command(after_help = "Examples:\n  pipe schema > pipeline.schema.json")]
    Schema,
    /// List the stage kinds, or document one
    #[command(after_help = "Examples:\n  pipe kinds\n  pipe kinds respond\n  pipe kinds respond --write demo")]
    Kinds(Kinds),
    /// Write the reference of kinds, metrics and commands as Markdown or man pages
    #[command(after_help = "Examples:\n  pipe docs docs/reference\n  pipe docs --man ~/.local/share/man/man1")]
    Docs(Docs),
    /// Write a starter pipeline with its data, or a project for a domain of one's own
    #[command(after_help = "Examples:\n  pipe init demo\n  pipe init --domain finance\n  pipe init --like data_size")]
    Init(Init),
    /// List the pipelines and models that pipe carries with it, or print one
    #[command(after_help = "Examples:\n  pipe show-builtin method.yaml\n  pipe show-builtin --to mine")]
    ShowBuiltin(ShowBuiltin),
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  echo 'source <(pipe completions bash)' >> ~/.bashrc\n  \
        pipe completions zsh > ~/.zfunc/_pipe\n  pipe completions fish > ~/.config/fish/completions/pipe.fish")]
    Completions(Completions),
}

/// The pipeline and its variables.
#[derive(Debug, Clone, Args)]
pub(crate) struct PipelineArgs {
    /// The pipeline file
    #[arg(default_value = PIPELINE, add = complete::pipeline_files())]
    pub pipeline: PathBuf,
    /// Set a variable; the value is read as YAML
    #[arg(long, value_name = "NAME=VALUE", add = complete::variables())]
    pub set: Vec<String>,
    /// Keep results under this name beside those of the file as it is written: `baseline+NAME` [default: what --set
    /// changes]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
}

/// Which stages.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ChoiceArgs {
    /// Run only these stages (`stage` or `stage@variant`)
    #[arg(long, value_name = "STAGE", value_delimiter = ',', add = complete::stages())]
    pub only: Vec<String>,
    /// Run only these stages and what is downstream of them
    #[arg(long, value_name = "STAGE", value_delimiter = ',', add = complete::stages())]
    pub from: Vec<String>,
    /// Run only these stages and what is upstream of them
    #[arg(long, value_name = "STAGE", value_delimiter = ',', add = complete::stages())]
    pub until: Vec<String>,
    /// Run only the stages of these variants
    #[arg(long, value_name = "VARIANT", add = complete::variants())]
    pub variant: Vec<String>,
}

/// Which stages, and which of them in any case.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SelectArgs {
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// Run these stages even if they are done; without a name, all selected ones
    #[arg(
        long,
        value_name = "STAGE",
        value_delimiter = ',',
        num_args = 0..,
        require_equals = true,
        add = complete::stages()
    )]
    pub force: Option<Vec<String>>,
}

impl From<SelectArgs> for Selection {
    fn from(args: SelectArgs) -> Self {
        let force_all = args.force.as_ref().is_some_and(Vec::is_empty);
        let force = args.force.unwrap_or_default();
        Self { force, force_all, ..args.choice.into() }
    }
}

impl From<ChoiceArgs> for Selection {
    fn from(args: ChoiceArgs) -> Self {
        let ChoiceArgs { only, from, until, variant } = args;
        Self { only, from, until, variants: variant, ..Self::default() }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Check {
    /// The pipeline file
    #[arg(default_value = PIPELINE, add = complete::pipeline_files())]
    pub pipeline: PathBuf,
    /// Set a variable; the value is read as YAML
    #[arg(long, value_name = "NAME=VALUE", add = complete::variables())]
    pub set: Vec<String>,
    /// List all rows that do not fit
    #[arg(short, long)]
    pub all: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Why {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// `stage` or `stage@variant`; it may stand alone where the file is pipeline.yaml
    #[arg(add = complete::stages())]
    pub stage: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Sql {
    /// Names of pipelines; all when left out. The views of several are in schemas called as the pipelines. Those of one
    /// stand in results/PIPELINE/views.sql, too
    #[arg(add = complete::pipelines())]
    pub pipelines: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ExportSamples {
    /// Stages of the kind `evaluate`: `stage`, in all variants, or `stage@variant`; all when left out
    #[arg(add = complete::results())]
    pub exams: Vec<String>,
    /// The pipeline, if not those of all are meant
    #[arg(long, value_name = "NAME", add = complete::pipelines())]
    pub pipeline: Option<String>,
    /// Where a folder for every exam is made
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Kinds {
    /// The kind to document
    #[arg(add = complete::kinds())]
    pub kind: Option<String>,
    /// Print nothing but the example, a pipeline that runs
    #[arg(long, requires = "kind")]
    pub example: bool,
    /// Write the example and the files that it reads to a folder
    #[arg(long, value_name = "DIR", requires = "kind")]
    pub write: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Docs {
    /// The folder that Markdown is written to
    pub dir: Option<PathBuf>,
    /// The folder that man pages are written to
    #[arg(long, value_name = "DIR")]
    pub man: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Init {
    /// The folder to write to
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// A project for a domain of one's own (`finance`), with example data in the right shape
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// The same in the shape of a shipped study (`data_size`)
    #[arg(long, value_name = "STUDY")]
    pub like: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ShowBuiltin {
    /// The file to print; all are listed when left out
    pub name: Option<String>,
    /// Write it to a folder instead, as all of them when no name is given
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Completions {
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

fn bytes(text: &str) -> Result<u64, String> {
    // A number alone is in bytes, as programs write it; of few, people mean a larger unit.
    let alone = text.parse().ok().filter(|bytes| *bytes == 0 || *bytes >= 1_000_000);
    alone.or_else(|| parse_bytes(text)).ok_or_else(|| "a size is a number with a unit: `500MB`, `20GB`".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "a time is a number with a unit: `90s`, `12h`, `30d`".to_owned())
}

#[cfg(test)]
mod tests;
