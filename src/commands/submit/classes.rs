//! Resource classes: stages that want like things of a machine are done by like workers.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use pipe_cache::Store;
use pipe_engine::{
    diag::list_names,
    execute::{RunOptions, wish},
    keys::SourceHasher,
    pipeline::{Node, NodeId, Pipeline, Resources},
};

use super::{cluster::Cluster, slurm::WARNED};
use crate::{cli, commands::run, error::CliError, output::warning, project};

/// The class of stages that name none: with a GPU, and without.
const USUAL: [&str; 2] = ["cpu", "gpu"];
/// The shortest job: of a shorter one, most would go by with beginning and ending.
const SHORTEST: Duration = Duration::from_mins(10);
/// A job lasts longer than the longest stage by at least this: it has to begin, other stages may come first, and what
/// warns it does so before the end.
const MARGIN: Duration = Duration::from_mins(15);

/// Workers that are alike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WorkerClass {
    pub name: String,
    pub count: u32,
    pub cpus: u32,
    pub gpus: u32,
    /// Bytes; 0 where no stage says what it takes, and none is counted.
    pub memory: u64,
    /// How long a job lasts.
    pub time: Option<Duration>,
    /// Options of sbatch for it.
    pub sbatch: Vec<String>,
}

impl WorkerClass {
    fn new(name: &str) -> Self {
        let (name, sbatch) = (name.to_owned(), Vec::new());
        Self { name, count: 1, cpus: 1, gpus: 0, memory: 0, time: None, sbatch }
    }

    /// Whether stages name it (`resources: { class: a100 }`), for what it has.
    pub(super) fn is_named(&self) -> bool {
        !USUAL.contains(&&*self.name)
    }

    fn wants(&mut self, wish: &Resources) {
        self.cpus = self.cpus.max(wish.cpu);
        self.gpus = self.gpus.max(wish.gpu);
        self.memory = self.memory.max(wish.memory);
        self.time = self.time.max(wish.time.map(|time| time + MARGIN.max(time / 10)));
    }

    /// How long a worker may run: until its job is warned, so that what it still begins is not stopped by that.
    fn max_time(&self) -> Option<Duration> {
        self.time.map(|time| time.saturating_sub(WARNED))
    }

    /// What a worker of the class is told to offer.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut words = vec![format!("--jobs={}", self.cpus)];
        words.extend((self.gpus > 0).then(|| format!("--gpus={}", self.gpus)));
        words.extend((self.memory > 0).then(|| format!("--memory={}", self.memory)));
        words.push(format!("--class={}", self.name));
        words.extend(self.max_time().map(|time| format!("--max-time={}s", time.as_secs())));
        words
    }

    /// Why its workers never begin a node, if they do not.
    fn refuses(&self, node: &Node, wish: &Resources) -> Option<String> {
        let worker = cli::Worker { joins: true, class: vec![self.name.clone()], max_time: self.max_time(), idle: None };
        let now = Instant::now();
        let worker = Some(run::offer(&worker, now));
        let (jobs, gpus, memory) = (self.cpus, self.gpus, self.memory);
        let options = RunOptions { jobs, gpus, memory, worker, ..RunOptions::default() };
        let minutes = self.time.unwrap_or_default().as_secs().div_ceil(60);
        run::refusal(&options, node, wish, now, &format!("jobs last {minutes}, with beginning and ending"))
    }
}

fn class_of(wish: &Resources) -> &str {
    wish.class.as_deref().unwrap_or(USUAL[usize::from(wish.gpu > 0)])
}

/// The classes of the stages that are to run, those of the cluster's file, and how many workers of each are asked for.
pub(super) fn of(
    pipeline: &Pipeline,
    store: &Store,
    cluster: &Cluster,
    args: &cli::Submit,
) -> Result<Vec<WorkerClass>, CliError> {
    let asked = &args.workers;
    let until = pipe_engine::pipeline::Selection { until: args.until.clone(), ..Default::default() };
    let nodes: Vec<NodeId> = until.resolve(pipeline)?.nodes().collect();
    let mut classes: BTreeMap<String, WorkerClass> = BTreeMap::new();
    for node in nodes.iter().map(|&id| &pipeline.graph[id]) {
        let name = class_of(&node.resources);
        classes.entry(name.to_owned()).or_insert_with(|| WorkerClass::new(name)).wants(&node.resources);
    }
    let is_known =
        |name: &str| classes.contains_key(name) || cluster.workers.contains_key(name) || USUAL.contains(&name);
    if let Some((name, _)) = asked.iter().find(|(name, _)| !is_known(name)) {
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
    let hasher = SourceHasher::new(store.clone(), Arc::clone(&project::environment()));
    for (name, class) in &mut classes {
        let sizes = cluster.workers.get(name);
        let own: Vec<&Node> =
            (nodes.iter().map(|&id| &pipeline.graph[id])).filter(|node| class_of(&node.resources) == name).collect();
        // Where memory is counted at all, what kinds estimate counts, too.
        if class.memory > 0 {
            let estimated = own.iter().map(|node| wish(node, &hasher, true).memory).max();
            class.memory = class.memory.max(estimated.unwrap_or(0));
        }
        if let Some(sizes) = sizes {
            class.cpus = sizes.cpus.unwrap_or(class.cpus);
            class.gpus = sizes.gpus.unwrap_or(class.gpus);
            class.memory = sizes.memory.unwrap_or(class.memory);
            class.sbatch.clone_from(&sizes.sbatch);
            if !asked.iter().any(|(asked, _)| asked == name) {
                class.count = sizes.count.unwrap_or(class.count);
            }
        }
        // A worker does one stage after another: it asks for as much time as it may have.
        let time = sizes.and_then(|sizes| sizes.time).or(cluster.time).or(class.time);
        class.time = time.map(|time| time.max(SHORTEST));
        let mut refused: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for node in own {
            if let Some(why) = class.refuses(node, &wish(node, &hasher, class.memory > 0)) {
                refused.entry(why).or_default().push(&pipeline.stages[node.placements[0].1 as usize].name);
            }
        }
        for (why, mut stages) in refused {
            stages.dedup();
            warning(format_args!("no worker of class {name} ever begins {}: it wants {why}", list_names(&stages)));
        }
    }
    Ok(classes.into_values().collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use pipe_engine::execute::Fit;

    use super::*;

    fn wish(time: Duration, gpu: u32, class: Option<&str>) -> Resources {
        Resources { cpu: 2, gpu, memory: 0, time: Some(time), class: class.map(Into::into) }
    }

    #[test]
    fn workers_begin_the_stages_that_they_are_submitted_for() {
        let hour = Duration::from_hours(1);
        let times = [Duration::from_secs(1), hour / 2, hour, 2 * hour, 24 * hour];
        let wishes = times.iter().flat_map(|&time| {
            [wish(time, 0, None), wish(time, 1, None), wish(time, 0, Some("cpu")), wish(time, 2, Some("a100"))]
        });
        for wish in wishes {
            let mut class = WorkerClass::new(class_of(&wish));
            class.wants(&wish);
            let words = ["pipe", "run", "study.yaml", "--worker"].map(str::to_owned).into_iter();
            let parsed = cli::Cli::try_parse_from(words.chain(class.arguments())).unwrap();
            let cli::Command::Run(args) = parsed.command else { panic!("it is a run") };
            let now = Instant::now();
            let options = RunOptions { worker: Some(run::offer(&args.worker, now)), ..run::options(&args.limits) };
            // Before it, there may have been something to wait for.
            for passed in [Duration::ZERO, Duration::from_mins(10)] {
                assert_eq!(options.offers(&wish, false, now + passed), Fit::Fits, "{wish:?}: {class:?}");
            }
            let until = options.worker.and_then(|offer| offer.until).unwrap() - now;
            assert!(until < class.time.unwrap().saturating_sub(WARNED), "it is warned when it has ended");
        }
    }
}
