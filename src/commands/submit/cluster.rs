//! The cluster's file: what a cluster asks for. No part of any key.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use pipe_engine::{
    diag::TextId,
    spec::{parse_bytes, parse_duration},
    yaml,
};
use serde::Deserialize;

use crate::error::CliError;

/// The name of the file that is read if none is named.
const USUAL: &str = "cluster.yaml";

/// What the file says, under `cluster:`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Cluster {
    /// Options of sbatch for all workers.
    pub sbatch: Vec<String>,
    /// Lines of the shell that come before a worker: `module load cuda`.
    pub setup: String,
    /// How long a worker may run.
    time: Option<String>,
    /// How long a worker waits for others without work.
    pub idle: Option<String>,
    /// What workers of a class have.
    pub workers: BTreeMap<String, Workers>,
    /// The image of workers on Kubernetes.
    pub image: Option<String>,
    /// The claim of the volume on which the project lies, on Kubernetes.
    pub claim: Option<String>,
}

/// What workers of a class have.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Workers {
    pub count: Option<u32>,
    pub cpus: Option<u32>,
    pub gpus: Option<u32>,
    memory: Option<String>,
    time: Option<String>,
    pub sbatch: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    cluster: Cluster,
}

fn wrong(what: &str, text: &str, help: &str) -> CliError {
    CliError::Usage { message: format!("{what} of the cluster's file is `{text}`"), help: Some(help.to_owned()) }
}

fn time_of(text: Option<&String>) -> Result<Option<Duration>, CliError> {
    let parse = |text: &String| parse_duration(text).ok_or_else(|| wrong("`time`", text, "say `2h` or `1h30m`"));
    text.map(parse).transpose()
}

impl Workers {
    pub(super) fn memory(&self) -> Result<Option<u64>, CliError> {
        let parse = |text: &String| parse_bytes(text).ok_or_else(|| wrong("`memory`", text, "say `40GB`"));
        self.memory.as_ref().map(parse).transpose()
    }

    pub(super) fn time(&self) -> Result<Option<Duration>, CliError> {
        time_of(self.time.as_ref())
    }
}

impl Cluster {
    /// Reads the file that is named, or the usual one in `folder`, where there is one.
    pub(super) fn read(named: Option<&Path>, folder: &Path) -> Result<Self, CliError> {
        let path: PathBuf = named.map_or_else(|| folder.join(USUAL), Path::to_owned);
        if named.is_none() && !path.exists() {
            return Ok(Self::default());
        }
        let text =
            fs::read_to_string(&path).map_err(|source| CliError::Io { action: "read", path: path.clone(), source })?;
        let wrong = |what: String| CliError::Usage {
            message: format!("{}: {what}", path.display()),
            help: Some(
                "a cluster's file has `cluster:`, and below it sbatch, setup, time, idle, workers, image, claim"
                    .to_owned(),
            ),
        };
        let mut problems = Vec::new();
        let tree = yaml::parse(TextId::default(), &text, &mut problems);
        if let Some(problem) = problems.first() {
            return Err(wrong(problem.message.clone()));
        }
        let json = tree.map(|tree| tree.to_json()).unwrap_or_default();
        serde_json::from_value::<File>(json).map(|file| file.cluster).map_err(|error| wrong(error.to_string()))
    }

    pub(super) fn time(&self) -> Result<Option<Duration>, CliError> {
        time_of(self.time.as_ref())
    }

    /// How long a worker waits for others: those of a cluster do not all begin at once.
    pub(super) fn idle(&self) -> &str {
        self.idle.as_deref().unwrap_or("10m")
    }
}
