//! A folder with a store and a pipeline, and processes that work there.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use pipe_cache::{ArtifactRef, Store, StoreOptions};
use pipe_engine::{
    events::{EventKind, Live, live},
    execute::{Offer, RunOptions, run},
    resolve::{Overrides, resolve},
    spec,
};
use pipe_testing::logged;
use serde::{Deserialize, Serialize};

const FOLDER: &str = "PIPE_WORKERS_FOLDER";
const NUMBER: &str = "PIPE_WORKERS_NUMBER";
const ARGUMENTS: &str = "PIPE_WORKERS_ARGUMENTS";

pub(crate) struct Place {
    dir: tempfile::TempDir,
    started: Cell<usize>,
}

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub outcome: String,
    /// Stages that it computed.
    pub ran: Vec<String>,
    /// Rows and attempts that it computed.
    pub rows: u64,
    pub cpu_seconds: f64,
}

/// A process that does not outlive the test.
pub(crate) struct Worker {
    child: Child,
    ended: PathBuf,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Worker {
    pub(crate) fn wait(mut self) -> Ended {
        assert!(self.child.wait().unwrap().success());
        read(&self.ended)
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

fn read(path: &Path) -> Ended {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

impl Place {
    /// Every batch of rows takes so long.
    pub(crate) fn new(yaml: &str, pause_ms: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pipeline.yaml"), yaml).unwrap();
        fs::write(dir.path().join("pause"), pause_ms.to_string()).unwrap();
        Self { dir, started: Cell::new(0) }
    }

    /// Begins a process, a worker or a run.
    pub(crate) fn start(&self, arguments: &[&str]) -> Worker {
        let number = self.started.replace(self.started.get() + 1);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "place::subject"]).env(FOLDER, self.dir.path());
        command.env(NUMBER, number.to_string()).env(ARGUMENTS, arguments.join(" "));
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        Worker { child, ended: ended_at(self.dir.path(), number) }
    }

    /// How the process ended that was started as that.
    pub(crate) fn ended(&self, number: usize) -> Ended {
        read(&ended_at(self.dir.path(), number))
    }

    /// Whether the process has ended in good order that was started as that.
    pub(crate) fn has_ended(&self, number: usize) -> bool {
        ended_at(self.dir.path(), number).exists()
    }

    fn work(&self) -> BTreeMap<String, usize> {
        let mut done: BTreeMap<String, usize> = BTreeMap::new();
        for line in fs::read_to_string(self.dir.path().join("work")).unwrap_or_default().lines() {
            // A line that is being written just now is not whole.
            let Some((_, what)) = line.split_once(' ') else { continue };
            *done.entry(what.to_owned()).or_default() += 1;
        }
        done
    }

    /// How many different things of that sort were done.
    pub(crate) fn done(&self, what: &str) -> usize {
        self.work().keys().filter(|line| line.starts_with(what)).count()
    }

    /// What was done more than once.
    pub(crate) fn repeated(&self) -> Vec<(String, usize)> {
        self.work().into_iter().filter(|(_, times)| *times > 1).collect()
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.dir.path().join("store"), StoreOptions::default()).unwrap()
    }

    pub(crate) fn live(&self) -> Vec<Live> {
        live(&self.store(), Some("p"))
    }

    /// Every stage and its outputs.
    pub(crate) fn results(&self) -> BTreeMap<String, Vec<ArtifactRef>> {
        let store = self.store();
        let refs = store.refs("p").unwrap().remove("baseline").unwrap_or_default();
        let outputs = |key| store.manifest(&key).unwrap().unwrap().outputs.iter().map(|o| o.artifact).collect();
        refs.into_iter().map(|(stage, key)| (stage, outputs(key))).collect()
    }
}

fn ended_at(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("ended.{number}"))
}

/// The processes.
#[test]
#[ignore = "started by the other tests"]
fn subject() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("a place to work in"));
    let arguments = std::env::var(ARGUMENTS).unwrap();
    let value = |name: &str| {
        let named = |word: &str| word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')).map(str::to_owned);
        arguments.split(' ').find_map(named)
    };
    let number = |name: &str| value(name).and_then(|n| n.parse::<u64>().ok());
    let pause = fs::read_to_string(folder.join("pause")).unwrap().parse().unwrap();
    let registry = logged::slow_registry(folder.join("work"), Duration::from_millis(pause));
    let spec = spec::load(&folder.join("pipeline.yaml"));
    let resolved = resolve(&spec, &registry, &Overrides::default()).map_err(|d| format!("{:?}", d.items)).unwrap();
    let mut options = RunOptions { jobs: 2, keep_going: true, ..RunOptions::default() };
    options.jobs = number("--jobs").map_or(options.jobs, |n| n as u32);
    options.gpus = number("--gpus").unwrap_or(0) as u32;
    options.memory = number("--memory").unwrap_or(0);
    options.selection.until = value("--until").into_iter().collect();
    options.results = Some(folder.join("results"));
    options.worker = arguments.contains("--worker").then(|| Offer {
        classes: value("--class").into_iter().collect(),
        idle: number("--idle-ms").map(Duration::from_millis),
        until: number("--max-time-ms").map(|ms| Instant::now() + Duration::from_millis(ms)),
    });
    if let Some(ms) = number("--cancel-after-ms") {
        let cancel = options.cancel.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(ms));
            cancel.cancel();
        });
    }
    let mut ran = Vec::new();
    let store = Store::open(folder.join("store"), StoreOptions::default()).unwrap();
    let summary = run(&resolved.pipeline, &store, &options, &mut |event| {
        if let EventKind::Finished { node, .. } = &event.kind {
            ran.push(node.label.to_string());
        }
    });
    let summary = summary.unwrap();
    drop(store);
    ran.sort();
    let outcome = serde_json::to_value(summary.outcome).unwrap().as_str().unwrap().to_owned();
    let ended = Ended { outcome, ran, rows: summary.rows_computed, cpu_seconds: cpu_seconds() };
    let path = ended_at(&folder, std::env::var(NUMBER).unwrap().parse().unwrap());
    fs::write(path, serde_json::to_vec(&ended).unwrap()).unwrap();
}

/// Processor time of this process so far.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}
