//! Flags of what looks at results as a whole.

use clap::{Args, ValueEnum};

use super::PipelineArgs;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ResultsFormat {
    /// A table for people, with a plot of dots.
    #[default]
    Text,
    /// Everything that was found.
    Json,
    /// One row per answer.
    Csv,
    /// A table for a README.
    Markdown,
    /// A table for a paper (needs the package booktabs).
    Latex,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Results {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Show these metrics, by name or heading [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub metric: Vec<String>,
    /// Show the effects by task: those of this task, or with `each` of all of them
    #[arg(long, value_name = "TASK")]
    pub task: Option<String>,
    /// Show all columns and rows, however wide
    #[arg(short, long)]
    pub wide: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: ResultsFormat,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Compare {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// What must hold of every arm, such as `f1 >= baseline - 0.01`, `f1@question > 0.8`: a metric by name or heading,
    /// `@` and a task if one is meant, `>=`, `>`, `<=` or `<`, and a number or `baseline` more or less a number
    #[arg(long, value_name = "CONDITION", required = true)]
    pub gate: Vec<String>,
    /// Ask it of these arms alone
    #[arg(long, value_name = "ARM")]
    pub arm: Vec<String>,
    /// Ask it of the end of the interval that is worse for it, not of the difference that was seen
    #[arg(long)]
    pub sure: bool,
    #[arg(long, value_enum, default_value_t)]
    pub format: super::Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    #[arg(long, value_enum, default_value_t)]
    pub format: super::Format,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Trace {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// The id of an item, of a row that a model wrote, of a passage; it may stand alone where the file is pipeline.yaml
    pub id: Option<String>,
    /// The id of a seed, which is followed to what it influenced
    #[arg(long, value_name = "ID")]
    pub seed: Option<String>,
    /// Follow it in this arm alone
    #[arg(long, value_name = "ARM")]
    pub arm: Option<String>,
    #[arg(long, value_enum, default_value_t)]
    pub format: super::Format,
}
