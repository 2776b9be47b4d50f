//! A folder with files, a pipeline and a store, and what happened in it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::Int64Type,
    json::LineDelimitedWriter,
};
use pipe_cache::{ArtifactRef, Digest, Manifest, ReadOptions, Store, StoreOptions};
use pipe_engine::{
    context::CancelToken,
    diag::Diagnostics,
    events::{Event, EventKind, NodeStats, RunSummary},
    execute::{RunOptions, run},
    kind::Registry,
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
    spec,
};
use serde_json::Value;

use crate::{kinds, probe::Probe, texts::texts};

/// A folder of its own, a store in it, and the kinds that its pipelines may use. Pipelines are called `p`; what is
/// looked up is the baseline's.
pub struct Lab {
    dir: tempfile::TempDir,
    /// What the toy kinds do.
    pub probe: Probe,
    /// The kinds.
    pub registry: Registry,
    /// How pipelines are run.
    pub options: RunOptions,
    /// Where results are kept.
    pub store: Store,
}

/// One run: how it ended, what happened, and which toy stages were computed.
pub struct Ran {
    /// How it ended.
    pub summary: RunSummary,
    /// What happened.
    pub events: Vec<Event>,
    /// What the probe says: labels of toy stages, sorted, `label x2` for two times. Failed ones, too.
    pub stages: Vec<String>,
}

impl Ran {
    /// The events that `pick` picks.
    pub fn pick<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
        self.events.iter().filter_map(|e| pick(&e.kind)).collect()
    }

    /// `label: error`, for each failure.
    pub fn failures(&self) -> Vec<String> {
        self.pick(|e| match e {
            EventKind::Failed { node, error, .. } => Some(format!("{}: {}", node.label, error.join(": "))),
            _ => None,
        })
    }

    /// The one failure.
    pub fn failure(&self) -> String {
        let mut failures = self.failures();
        assert_eq!(failures.len(), 1, "{failures:?}");
        failures.remove(0)
    }

    /// All warnings.
    pub fn warnings(&self) -> Vec<String> {
        self.pick(|e| match e {
            EventKind::Warning { message, .. } => Some(message.clone()),
            _ => None,
        })
    }

    /// What a stage that was computed says of itself.
    pub fn stats(&self, stage: &str) -> NodeStats {
        let of_stage = |e: &EventKind| match e {
            EventKind::Finished { node, stats, .. } if node.label.to_string() == stage => Some(stats.clone()),
            _ => None,
        };
        self.pick(of_stage).pop().unwrap_or_else(|| panic!("{stage} did not run: {:?}", self.failures()))
    }

    /// The labels of the stages that were computed, of whatever kind, sorted. Nothing failed.
    pub fn computed(&self) -> Vec<String> {
        assert_eq!(self.failures(), [""; 0]);
        let mut labels =
            self.pick(|e| if let EventKind::Finished { node, .. } = e { Some(node.label.to_string()) } else { None });
        labels.sort();
        labels
    }
}

/// Making a lab, and what lies in its folder.
impl Lab {
    /// A lab with the toy kinds that compute.
    pub fn new() -> Self {
        let probe = Probe::default();
        Self { probe: probe.clone(), ..Self::with(kinds::registry(&probe)) }
    }

    /// A lab with other kinds.
    pub fn with(registry: Registry) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("store"), StoreOptions::default()).unwrap();
        Self { dir, probe: Probe::default(), registry, options: RunOptions::default(), store }
    }

    /// A variable of the environment that the runs see.
    pub fn env(&mut self, name: &str, value: &str) {
        Arc::make_mut(&mut self.options.env).insert(name.into(), value.into());
    }

    /// Where a file lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes rows, one to a line.
    pub fn jsonl(&self, name: &str, rows: impl IntoIterator<Item = Value>) {
        self.write(name, &rows.into_iter().map(|row| format!("{row}\n")).collect::<Vec<_>>().concat());
    }

    /// Reads rows, one to a line.
    pub fn lines(&self, name: &str) -> Vec<Value> {
        fs::read_to_string(self.path(name)).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Opens the store anew, as another process would.
    pub fn reopen(&mut self) {
        self.store = Store::open(self.store.layout().root(), StoreOptions::default()).unwrap();
    }

    /// Goes on with another store.
    pub fn reopen_at(&mut self, root: &Path) {
        self.store = Store::open(root, StoreOptions::default()).unwrap();
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// Pipelines.
impl Lab {
    fn resolve(&self, yaml: &str) -> Result<Pipeline, Diagnostics> {
        self.write("pipeline.yaml", yaml);
        resolve(&spec::load(&self.path("pipeline.yaml")), &self.registry, &Overrides::default()).map(|r| r.pipeline)
    }

    /// A pipeline that must resolve.
    pub fn pipeline(&self, yaml: &str) -> Pipeline {
        self.resolve(yaml).map_err(|d| d.to_string()).unwrap()
    }

    /// What is wrong with these `stages:`.
    pub fn problems(&self, stages: &str) -> String {
        self.resolve(&of_stages(stages)).err().map_or_else(String::new, |problems| problems.to_string())
    }

    /// Runs a pipeline file.
    pub fn run(&self, yaml: &str) -> Ran {
        self.run_pipeline(&self.pipeline(yaml))
    }

    /// Runs these `stages:`.
    pub fn run_stages(&self, stages: &str) -> Ran {
        self.run(&of_stages(stages))
    }

    /// Runs these `stages:`, and cancels at the first event for which `stop` is true.
    pub fn run_until(&self, stages: &str, stop: impl Fn(&EventKind) -> bool) -> Ran {
        let cancel = CancelToken::new();
        let options = RunOptions { cancel: cancel.clone(), ..self.options.clone() };
        self.watch(&self.pipeline(&of_stages(stages)), &options, |event| {
            if stop(event) {
                cancel.cancel();
            }
        })
    }

    /// Runs a pipeline.
    pub fn run_pipeline(&self, pipeline: &Pipeline) -> Ran {
        self.watch(pipeline, &self.options, |_| {})
    }

    fn watch(&self, pipeline: &Pipeline, options: &RunOptions, see: impl Fn(&EventKind)) -> Ran {
        let mut events = Vec::new();
        self.probe.take();
        let mut report = |event: &Event| {
            see(&event.kind);
            events.push(event.clone());
        };
        let summary = run(pipeline, &self.store, options, &mut report).unwrap();
        Ran { summary, events, stages: self.probe.take() }
    }
}

/// What the store has. An output is named `stage.output`, the first one `stage`.
impl Lab {
    /// The key that a stage of a variant stands at.
    pub fn key(&self, variant: &str, stage: &str) -> Digest {
        self.store.refs("p").unwrap()[variant][stage]
    }

    fn manifest(&self, stage: &str) -> Manifest {
        self.store.manifest(&self.key("baseline", stage)).unwrap().unwrap()
    }

    fn artifact(&self, name: &str) -> ArtifactRef {
        let (stage, port) = name.split_once('.').map_or((name, None), |(stage, port)| (stage, Some(port)));
        let outputs = self.manifest(stage).outputs;
        let found = outputs.iter().find(|o| port.is_none_or(|port| o.port == port));
        found.unwrap_or_else(|| panic!("no output {name}")).artifact
    }

    /// The names of a stage's outputs.
    pub fn ports(&self, stage: &str) -> Vec<String> {
        self.manifest(stage).outputs.iter().map(|output| output.port.clone()).collect()
    }

    /// Where an output lies.
    pub fn object(&self, name: &str) -> PathBuf {
        self.store.layout().artifact(&self.artifact(name))
    }

    /// The digest of an output.
    pub fn digest(&self, name: &str) -> Digest {
        self.artifact(name).digest
    }

    /// A table.
    pub fn table(&self, name: &str) -> RecordBatch {
        self.store.open_table(&self.artifact(name), &ReadOptions::default()).unwrap().read_all().unwrap()
    }

    /// A table's column `text`.
    pub fn texts(&self, name: &str) -> Vec<String> {
        texts(&self.table(name))
    }

    /// A table's rows.
    pub fn rows(&self, name: &str) -> Vec<Value> {
        let mut lines = Vec::new();
        LineDelimitedWriter::new(&mut lines).write(&self.table(name)).unwrap();
        serde_json::Deserializer::from_slice(&lines).into_iter().map(Result::unwrap).collect()
    }

    /// What a stage counted.
    pub fn counter(&self, stage: &str, name: &str) -> u64 {
        self.manifest(stage).provenance.counters[name]
    }

    /// `outcome -> count` of a yield table; checks that the outcomes add up.
    pub fn yields(&self, stage: &str) -> Vec<(String, i64)> {
        let batch = self.table(&format!("{stage}.yield"));
        let (names, counts) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        let lines: Vec<_> = (0..batch.num_rows()).map(|i| (names.value(i).to_owned(), counts.value(i))).collect();
        assert_eq!(lines[0].0, "attempted");
        assert_eq!(lines[0].1, lines[1..].iter().map(|(_, n)| n).sum::<i64>(), "{lines:?}");
        lines
    }

    /// One line of a yield table.
    pub fn count(&self, stage: &str, outcome: &str) -> i64 {
        self.yields(stage).iter().find(|(name, _)| name == outcome).unwrap().1
    }
}

fn of_stages(stages: &str) -> String {
    format!("pipeline: p\nstages:\n{stages}")
}

/// Flips a bit in the middle of a file.
pub fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let mut permissions = fs::metadata(path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of the test's own")]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
    fs::write(path, bytes).unwrap();
}
