//! The cluster's file: what a cluster asks for. No part of any key.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use pipe_engine::{
    diag::{Span, Texts, one_of},
    spec::{parse_bytes, parse_duration},
    yaml::{self, Data, Tree},
};

use crate::error::CliError;

/// The name of the file that is read if none is named.
const USUAL: &str = "cluster.yaml";
/// How long a worker waits for others without work, if the file does not say: those of a cluster do not all begin at
/// once.
const IDLE: Duration = Duration::from_mins(10);

/// What the file says, under `cluster:`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cluster {
    /// Options of sbatch for all workers.
    pub sbatch: Vec<String>,
    /// Lines of the shell that come before a worker: `module load cuda`.
    pub setup: String,
    /// How long a worker's job may last.
    pub time: Option<Duration>,
    /// How long a worker waits for others without work.
    pub idle: Duration,
    /// What workers of a class have.
    pub workers: BTreeMap<String, Workers>,
    /// The image of workers on Kubernetes.
    pub image: Option<String>,
    /// The claim of the volume on which the project lies, on Kubernetes.
    pub claim: Option<String>,
}

/// What workers of a class have.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Workers {
    pub count: Option<u32>,
    pub cpus: Option<u32>,
    pub gpus: Option<u32>,
    pub memory: Option<u64>,
    pub time: Option<Duration>,
    pub sbatch: Vec<String>,
}

impl Default for Cluster {
    fn default() -> Self {
        let (sbatch, setup, workers) = (Vec::new(), String::new(), BTreeMap::new());
        Self { sbatch, setup, time: None, idle: IDLE, workers, image: None, claim: None }
    }
}

/// The file with its places.
struct Reader {
    path: PathBuf,
    texts: Texts,
}

impl Reader {
    fn wrong(&self, at: Option<Span>, what: &str, help: Option<String>) -> CliError {
        let line = at.map_or_else(String::new, |at| format!(":{}", self.texts.position(at).0));
        CliError::Usage { message: format!("{}{line}: {what}", self.path.display()), help }
    }

    /// What stands below a key is of another kind than it should be.
    fn not(&self, key: &str, value: &Tree, wanted: &str) -> CliError {
        self.wrong(Some(value.span), &format!("`{key}` is {}", value.describe()), Some(format!("say {wanted}")))
    }

    /// The entries of a mapping, all of which `take` knows.
    fn each(
        &self,
        key: &str,
        tree: &Tree,
        known: &[&str],
        mut take: impl FnMut(&str, &Tree) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let Some(entries) = tree.as_map() else { return Err(self.not(key, tree, &known.join(", "))) };
        for entry in entries {
            if !known.is_empty() && !known.contains(&&*entry.key) {
                let help = one_of(&entry.key, &format!("below `{key}` stand"), known.iter().copied());
                return Err(self.wrong(Some(entry.key_span), &format!("there is no `{}`", entry.key), help));
            }
            take(&entry.key, &entry.value)?;
        }
        Ok(())
    }

    fn text(&self, key: &str, value: &Tree) -> Result<String, CliError> {
        value.as_str().map(str::to_owned).ok_or_else(|| self.not(key, value, "a text"))
    }

    fn number(&self, key: &str, value: &Tree, least: u32) -> Result<Option<u32>, CliError> {
        let number = value.numeral().and_then(|text| text.parse().ok()).filter(|number| *number >= least);
        number.map(Some).ok_or_else(|| self.not(key, value, &format!("a whole number of at least {least}")))
    }

    fn duration(&self, key: &str, value: &Tree) -> Result<Duration, CliError> {
        let time = value.as_str().and_then(parse_duration).filter(|time| !time.is_zero());
        time.ok_or_else(|| self.not(key, value, "`2h` or `1h30m`"))
    }

    fn bytes(&self, key: &str, value: &Tree) -> Result<u64, CliError> {
        value.as_str().and_then(parse_bytes).ok_or_else(|| self.not(key, value, "`40GB`"))
    }

    /// Options of sbatch, each of which is one line of a script.
    fn options(&self, key: &str, value: &Tree) -> Result<Vec<String>, CliError> {
        let Data::List(items) = &value.data else { return Err(self.not(key, value, "a list of options")) };
        let option = |item: &Tree| {
            let option = item.as_str().filter(|text| text.starts_with('-') && !text.contains(['\n', '\r']));
            option.map(str::to_owned).ok_or_else(|| self.not(key, item, "an option of sbatch, as `--account=lab`"))
        };
        items.iter().map(option).collect()
    }

    fn workers(&self, class: &str, value: &Tree) -> Result<Workers, CliError> {
        let mut workers = Workers::default();
        self.each(class, value, &["count", "cpus", "gpus", "memory", "time", "sbatch"], |key, value| {
            match key {
                "count" => workers.count = self.number(key, value, 1)?,
                "cpus" => workers.cpus = self.number(key, value, 1)?,
                "gpus" => workers.gpus = self.number(key, value, 0)?,
                "memory" => workers.memory = Some(self.bytes(key, value)?),
                "time" => workers.time = Some(self.duration(key, value)?),
                _ => workers.sbatch = self.options(key, value)?,
            }
            Ok(())
        })?;
        Ok(workers)
    }

    fn cluster(&self, tree: &Tree) -> Result<Cluster, CliError> {
        let mut cluster = Cluster::default();
        let known = ["sbatch", "setup", "time", "idle", "workers", "image", "claim"];
        self.each("cluster", tree, &known, |key, value| {
            match key {
                "sbatch" => cluster.sbatch = self.options(key, value)?,
                "setup" => cluster.setup = self.text(key, value)?,
                "time" => cluster.time = Some(self.duration(key, value)?),
                "idle" => cluster.idle = self.duration(key, value)?,
                "image" => cluster.image = Some(self.text(key, value)?),
                "claim" => cluster.claim = Some(self.text(key, value)?),
                _ => self.each(key, value, &[], |class, value| {
                    cluster.workers.insert(class.to_owned(), self.workers(class, value)?);
                    Ok(())
                })?,
            }
            Ok(())
        })?;
        Ok(cluster)
    }
}

impl Cluster {
    /// Reads the file that is named, or the usual one in `folder`, where there is one.
    pub(super) fn read(named: Option<&Path>, folder: &Path) -> Result<Self, CliError> {
        let path = named.map_or_else(|| folder.join(USUAL), Path::to_owned);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(path, &text),
            Err(e) if named.is_none() && e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(CliError::Io { action: "read", path, source }),
        }
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, CliError> {
        let mut texts = Texts::default();
        let id = texts.add(path.display().to_string(), text, path.parent().unwrap_or(Path::new("")));
        let reader = Reader { path, texts };
        let mut problems = Vec::new();
        let tree = yaml::parse(id, text, &mut problems);
        if let Some(problem) = problems.first() {
            let at = problem.places.first().map(|place| place.span);
            return Err(reader.wrong(at, &problem.message, problem.help.clone()));
        }
        let mut cluster = None;
        if let Some(tree) = tree.as_ref().filter(|tree| !matches!(tree.data, Data::Null)) {
            reader.each("a cluster's file", tree, &["cluster"], |_, value| {
                cluster = Some(reader.cluster(value)?);
                Ok(())
            })?;
        }
        cluster.ok_or_else(|| reader.wrong(None, "it has no `cluster:`", None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        match Cluster::parse("c.yaml".into(), text) {
            Err(CliError::Usage { message, help }) => format!("{message}; {}", help.unwrap_or_default()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mistakes_are_told_with_their_lines() {
        for (text, says) in [
            (
                "cluster:\n  workers:\n    cpu: { count: 0 }\n",
                "c.yaml:3: `count` is the number `0`; say a whole number",
            ),
            ("cluster:\n  workers: { cpu: { cpus: -1 } }\n", "c.yaml:2: `cpus` is the number `-1`"),
            ("cluster:\n  idle: 10m; rm -rf /\n", "c.yaml:2: `idle` is the text `10m; rm -rf /`; say `2h`"),
            ("cluster:\n\n  time: 30\n", "c.yaml:3: `time` is the number `30`; say `2h`"),
            ("cluster: { workers: { cpu: { memory: lots } } }\n", "c.yaml:1: `memory` is the text `lots`; say `40GB`"),
            ("cluster: { sbatch: [\"--a\\nrm x\"] }\n", "an option of sbatch"),
            ("cluster: { account: lab }\n", "c.yaml:1: there is no `account`"),
            ("clusters: {}\n", "c.yaml:1: there is no `clusters`"),
            ("cluster: [\n", "c.yaml:"),
            ("", "it has no `cluster:`"),
        ] {
            assert!(told(text).contains(says), "{text}: {}", told(text));
        }
    }

    #[test]
    fn what_it_says_is_read() {
        let text = "cluster: { idle: 90s, time: 4h, setup: x, workers: { a100: { count: 4, memory: 40GB } } }";
        let cluster = Cluster::parse("c.yaml".into(), text).unwrap();
        assert_eq!((cluster.idle.as_secs(), cluster.time, &*cluster.setup), (90, Some(Duration::from_hours(4)), "x"));
        let workers = Workers { count: Some(4), memory: Some(40_000_000_000), ..Workers::default() };
        assert_eq!(cluster.workers["a100"], workers);
    }
}
