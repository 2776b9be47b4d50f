//! A folder with a pipeline file and a store, and what happened in it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::array::RecordBatch;
use pipe_cache::{ReadOptions, Store, StoreOptions};
use pipe_engine::{
    events::{Event, EventKind, RunSummary},
    execute::{RunOptions, run},
    kind::Registry,
    pipeline::Pipeline,
    resolve::{Overrides, resolve},
    spec,
};

use crate::kinds::{Probe, registry, texts};

pub(crate) struct Lab {
    dir: tempfile::TempDir,
    pub probe: Probe,
    pub registry: Registry,
    pub options: RunOptions,
    pub store: Store,
}

/// One run: how it ended, what happened, and which stages were computed.
pub(crate) struct Ran {
    pub summary: RunSummary,
    pub events: Vec<Event>,
    pub stages: Vec<String>,
}

impl Ran {
    /// The events that `pick` picks.
    pub(crate) fn pick<T>(&self, pick: impl Fn(&EventKind) -> Option<T>) -> Vec<T> {
        self.events.iter().filter_map(|e| pick(&e.kind)).collect()
    }

    /// `label: first line of the error`, for each failure.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.pick(|e| match e {
            EventKind::Failed { node, error, .. } => Some(format!("{}: {}", node.label, error.join(": "))),
            _ => None,
        })
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.pick(|e| match e {
            EventKind::Warning { message, .. } => Some(message.clone()),
            _ => None,
        })
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let probe = Probe::default();
        let store = Store::open(dir.path().join("store"), StoreOptions::default()).unwrap();
        Self { registry: registry(&probe), dir, probe, options: RunOptions::default(), store }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) {
        Arc::make_mut(&mut self.options.env).insert(name.into(), value.into());
    }

    pub(crate) fn pipeline(&self, yaml: &str) -> Pipeline {
        self.write("pipeline.yaml", yaml);
        let spec = spec::load(&self.path("pipeline.yaml"));
        resolve(&spec, &self.registry, &Overrides::default()).map_err(|d| format!("{:?}", d.items)).unwrap().pipeline
    }

    pub(crate) fn run(&self, yaml: &str) -> Ran {
        self.run_pipeline(&self.pipeline(yaml))
    }

    pub(crate) fn run_pipeline(&self, pipeline: &Pipeline) -> Ran {
        let mut events = Vec::new();
        self.probe.take();
        let summary = run(pipeline, &self.store, &self.options, &mut |event| events.push(event.clone())).unwrap();
        Ran { summary, events, stages: self.probe.take() }
    }

    /// The key that `stage@variant` stands at.
    pub(crate) fn key(&self, variant: &str, stage: &str) -> pipe_cache::Digest {
        self.store.refs("p").unwrap()[variant][stage]
    }

    pub(crate) fn table(&self, variant: &str, stage: &str) -> RecordBatch {
        let manifest = self.store.manifest(&self.key(variant, stage)).unwrap().unwrap();
        let artifact = manifest.outputs[0].artifact;
        self.store.open_table(&artifact, &ReadOptions::default()).unwrap().read_all().unwrap()
    }

    /// The rows of the stage's first output, in the baseline.
    pub(crate) fn rows(&self, stage: &str) -> Vec<String> {
        texts(&self.table("baseline", stage))
    }

    /// Where the object of a stage's first output lies.
    pub(crate) fn object(&self, stage: &str) -> PathBuf {
        let manifest = self.store.manifest(&self.key("baseline", stage)).unwrap().unwrap();
        self.store.layout().artifact(&manifest.outputs[0].artifact)
    }

    /// Opens the store anew, as another process would.
    pub(crate) fn reopen(&mut self) {
        self.store = Store::open(self.store.layout().root(), StoreOptions::default()).unwrap();
    }

    pub(crate) fn reopen_at(&mut self, root: &Path) {
        self.store = Store::open(root, StoreOptions::default()).unwrap();
    }
}

/// Flips a bit in the middle of a file.
pub(crate) fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let mut permissions = fs::metadata(path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of the test's own")]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
    fs::write(path, bytes).unwrap();
}
