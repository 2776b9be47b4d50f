//! What processes do just now: `runs/live/<run>.json`, which every run that lasts writes about itself, so that others
//! can show it. It is believed as long as its run holds a lease; a dead run's goes with the next who looks.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use pipe_cache::{Digest, Hasher, Lease, LeaseAttempt, Store, host_name, put_file};
use serde::{Deserialize, Serialize};

use super::{Event, EventKind};

/// A run of a live process.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The run's id.
    pub run: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// The process.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// Wall clock of that machine, milliseconds since 1970.
    pub started_ms: u64,
    /// Whether it is a worker.
    #[serde(default)]
    pub worker: bool,
    /// What somebody else calls it: `slurm 17_3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Nodes that it has computed.
    #[serde(default)]
    pub ran: usize,
    /// Nodes that failed there.
    #[serde(default)]
    pub failed: usize,
    /// What it computes, or waits for.
    pub stages: Vec<LiveStage>,
}

/// A node that such a run is at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LiveStage {
    /// Which.
    pub label: String,
    /// Its number in the run's own graph, for the run itself.
    #[serde(skip)]
    pub id: u32,
    /// Units done, by this process.
    #[serde(default)]
    pub done: u64,
    /// Units that it has taken upon itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What is counted.
    #[serde(default)]
    pub unit: String,
    /// Whom it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

impl Live {
    /// The process, for people.
    pub fn owner(&self) -> String {
        let place = self.place.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
        format!("process {} on {}{place}", self.pid, self.host)
    }
}

fn folder(store: &Store) -> PathBuf {
    store.layout().runs().join("live")
}

fn lease_of(run: &str) -> Digest {
    Hasher::new("pipe.live.v1").str(run).finish()
}

/// What live processes do for a pipeline (for any, where none is named), by the time when they began.
pub fn live(store: &Store, pipeline: Option<&str>) -> Vec<Live> {
    let Ok(entries) = fs::read_dir(folder(store)) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let Some(told) = read(&path) else { continue };
        if pipeline.is_some_and(|name| name != told.pipeline) {
            continue;
        }
        match store.lease_owner(&lease_of(&told.run)) {
            Ok(None) if !store.read_only() => drop(fs::remove_file(&path)),
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => found.push(told),
        }
    }
    found.sort_by(|a, b| (a.started_ms, &a.run).cmp(&(b.started_ms, &b.run)));
    found
}

fn read(path: &Path) -> Option<Live> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Tells of one run.
pub(crate) struct LiveWriter {
    store: Store,
    told: Live,
    /// Held from the first word on.
    lease: Option<Lease>,
    changed: bool,
}

impl LiveWriter {
    pub(crate) fn new(store: &Store, told: Live) -> Self {
        let told = Live { pid: std::process::id(), host: host_name(), ..told };
        Self { store: store.clone(), told, lease: None, changed: true }
    }

    fn at(&mut self, id: u32) -> Option<&mut LiveStage> {
        self.told.stages.iter_mut().find(|stage| stage.id == id)
    }

    /// Takes note of what happens.
    pub(crate) fn see(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Started { node, .. } => {
                self.told.stages.retain(|stage| stage.id != node.id);
                self.told.stages.push(LiveStage { label: node.label.to_string(), id: node.id, ..LiveStage::default() });
            }
            EventKind::Progress { node, done, total, unit, .. } => {
                let Some(stage) = self.at(node.id) else { return };
                (stage.done, stage.total, stage.waits_for) = (*done, *total, None);
                stage.unit.clone_from(unit);
            }
            EventKind::Waiting { node, on, .. } => match self.at(node.id) {
                Some(stage) => stage.waits_for = Some(on.clone()),
                None => return,
            },
            EventKind::Finished { node, .. } => {
                self.told.ran += 1;
                self.told.stages.retain(|stage| stage.id != node.id);
            }
            EventKind::Failed { node, .. } => {
                self.told.failed += 1;
                self.told.stages.retain(|stage| stage.id != node.id);
            }
            EventKind::Hit { node, .. } | EventKind::Skipped { node, .. } | EventKind::Retry { node, .. } => {
                let before = self.told.stages.len();
                self.told.stages.retain(|stage| stage.id != node.id);
                if self.told.stages.len() == before {
                    return;
                }
            }
            _ => return,
        }
        self.changed = true;
    }

    /// Writes down what has changed. What cannot be written is not shown, and stops nothing.
    pub(crate) fn tell(&mut self) {
        if !std::mem::take(&mut self.changed) || self.store.read_only() {
            return;
        }
        if self.lease.is_none() {
            match self.store.try_lease(&lease_of(&self.told.run)) {
                Ok(LeaseAttempt::Acquired(lease)) => self.lease = Some(lease),
                _ => return,
            }
        }
        let path = self.path();
        let text = serde_json::to_vec(&self.told).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| put_file(&path, &text)) {
            tracing::debug!(%error, path = %path.display(), "other processes are not told of this run");
        }
    }

    fn path(&self) -> PathBuf {
        folder(&self.store).join(format!("{}.json", self.told.run))
    }
}

impl Drop for LiveWriter {
    fn drop(&mut self) {
        if self.lease.is_some() {
            let _ = fs::remove_file(self.path());
        }
    }
}
