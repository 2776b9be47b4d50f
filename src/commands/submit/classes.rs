//! Resource classes: stages that want like things of a machine are done by like workers.

use std::{collections::BTreeMap, time::Duration};

use pipe_engine::pipeline::{Pipeline, Resources};

use super::cluster::{self, Cluster};
use crate::error::CliError;

/// The class of stages that name none: with a GPU, and without.
const USUAL: [&str; 2] = ["cpu", "gpu"];

/// Workers that are alike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WorkerClass {
    pub name: String,
    pub count: u32,
    pub cpus: u32,
    pub gpus: u32,
    pub memory: u64,
    pub time: Option<Duration>,
    /// Whether stages name it (`resources: { class: a100 }`).
    pub named: bool,
    /// Options of sbatch for it.
    pub sbatch: Vec<String>,
}

impl WorkerClass {
    fn new(name: &str) -> Self {
        let (name, named) = (name.to_owned(), !USUAL.contains(&name));
        Self { name, count: 1, cpus: 1, gpus: 0, memory: 0, time: None, named, sbatch: Vec::new() }
    }

    fn wants(&mut self, wish: &Resources) {
        self.cpus = self.cpus.max(wish.cpu);
        self.gpus = self.gpus.max(wish.gpu);
        self.memory = self.memory.max(wish.memory);
        self.time = self.time.max(wish.time);
    }

    /// What a worker of the class is told to offer.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut words = vec![format!("--jobs={}", self.cpus)];
        words.extend((self.gpus > 0).then(|| format!("--gpus={}", self.gpus)));
        words.extend((self.memory > 0).then(|| format!("--memory={}", self.memory)));
        words.extend(self.named.then(|| format!("--class={}", self.name)));
        words.extend(self.time.map(|time| format!("--max-time={}s", time.as_secs())));
        words
    }
}

fn class_of(wish: &Resources) -> &str {
    wish.class.as_deref().unwrap_or(USUAL[usize::from(wish.gpu > 0)])
}

/// The classes of a pipeline's stages, those of the cluster's file, and how many workers of each are asked for.
pub(super) fn of(
    pipeline: &Pipeline,
    cluster: &Cluster,
    asked: &[(String, u32)],
) -> Result<Vec<WorkerClass>, CliError> {
    let mut classes: BTreeMap<String, WorkerClass> = BTreeMap::new();
    for node in pipeline.graph.node_weights() {
        let name = class_of(&node.resources);
        classes.entry(name.to_owned()).or_insert_with(|| WorkerClass::new(name)).wants(&node.resources);
    }
    let unknown: Vec<&String> = (asked.iter().map(|(name, _)| name))
        .filter(|name| {
            !classes.contains_key(*name) && !cluster.workers.contains_key(*name) && !USUAL.contains(&name.as_str())
        })
        .collect();
    if let Some(name) = unknown.first() {
        let known: Vec<&str> = classes.keys().map(String::as_str).collect();
        return Err(CliError::Usage {
            message: format!("no stage wants the class `{name}`"),
            help: Some(format!("the stages want {}", known.join(", "))),
        });
    }
    if !asked.is_empty() {
        classes.retain(|name, _| asked.iter().any(|(asked, _)| asked == name));
    }
    for (name, count) in asked {
        classes.entry(name.clone()).or_insert_with(|| WorkerClass::new(name)).count = *count;
    }
    for (name, class) in &mut classes {
        let sizes = cluster.workers.get(name);
        if let Some(sizes) = sizes {
            class.cpus = sizes.cpus.unwrap_or(class.cpus);
            class.gpus = sizes.gpus.unwrap_or(class.gpus);
            class.memory = sizes.memory()?.unwrap_or(class.memory);
            class.sbatch.clone_from(&sizes.sbatch);
            if !asked.iter().any(|(asked, _)| asked == name) {
                class.count = sizes.count.unwrap_or(class.count);
            }
        }
        // A worker does one stage after another: it asks for as much time as it may have.
        class.time = sizes.map(cluster::Workers::time).transpose()?.flatten().or(cluster.time()?).or(class.time);
    }
    Ok(classes.into_values().collect())
}
