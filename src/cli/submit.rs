//! Flags of what starts workers elsewhere, and ends them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::PipelineArgs;
use crate::complete;

/// Who starts workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scheduler {
    /// Arrays of jobs, one for each resource class
    Slurm,
    /// Indexed jobs; printed, for `kubectl apply`
    Kubernetes,
    /// Task files; printed, for `sky launch`
    Skypilot,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Submit {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Who starts the workers
    #[arg(long, value_enum, value_name = "WHO")]
    pub on: Scheduler,
    /// How many workers of each resource class: `gpu=4,cpu=8` [default: one of each that the stages want]
    #[arg(long, value_name = "CLASS=N", value_delimiter = ',', value_parser = workers)]
    pub workers: Vec<(String, u32)>,
    /// Run only these stages and what is upstream of them
    #[arg(long, value_name = "STAGE", value_delimiter = ',', add = complete::stages())]
    pub until: Vec<String>,
    /// What the cluster asks for: options of sbatch, lines of the shell, sizes of workers [default: `cluster` in
    /// pipe.toml, or `cluster.yaml` beside the pipeline file, if there is one]
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// Only print what would be submitted
    #[arg(long)]
    pub print: bool,
    /// Further options of sbatch, behind `--`
    #[arg(last = true, value_name = "SBATCH OPTION")]
    pub sbatch: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    pub pipeline: PipelineArgs,
}

fn workers(text: &str) -> Result<(String, u32), String> {
    let parsed = text.split_once('=').and_then(|(class, n)| Some((class.trim().to_owned(), n.trim().parse().ok()?)));
    parsed.filter(|(class, n)| !class.is_empty() && *n > 0).ok_or_else(|| "a class and a number: `gpu=4`".to_owned())
}
