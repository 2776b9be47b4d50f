//! What a worker leaves to others, and why.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use pipe_cache::Store;
use pipe_engine::{
    context::Increment,
    diag::list_names,
    execute::{Fit, RunOptions, wish},
    keys::SourceHasher,
    pipeline::{Node, NodeId, Pipeline, Resources},
};

use crate::{
    output::{bytes, plural, say},
    project,
    report::Summary,
};

/// Why a worker with these options does not begin a node that wants that, `now`, if it does not: what of it the worker
/// has not. `time_left` says how much time there is, where that is not enough.
pub(crate) fn refusal(
    options: &RunOptions,
    node: &Node,
    wish: &Resources,
    now: Instant,
    time_left: &str,
) -> Option<String> {
    let is_resumed = !matches!(node.kind.increment(&node.params), Increment::Whole);
    let minutes = |time: Option<Duration>| time.unwrap_or_default().as_secs().div_ceil(60);
    match (options.offers(wish, is_resumed, now), &wish.class) {
        (Fit::Fits, _) => None,
        (Fit::TooLate, _) => Some(format!("{} minutes, and {time_left}", minutes(wish.time))),
        (Fit::Unfit, _) if wish.gpu > options.gpus => {
            Some(format!("{}, and there are {}", plural(wish.gpu.into(), "GPU"), options.gpus))
        }
        (Fit::Unfit, _) if options.memory > 0 && wish.memory > options.memory => {
            Some(format!("{} of memory, and there are {}", bytes(wish.memory), bytes(options.memory)))
        }
        (Fit::Unfit, class) => Some(format!("the class {}", class.as_deref().unwrap_or_default())),
    }
}

/// Says which stages are left because they want more than was offered.
pub(super) fn say_left(pipeline: &Pipeline, store: &Store, options: &RunOptions, words: &Summary) {
    let Ok(selected) = options.selection.resolve(pipeline) else { return };
    let hasher = SourceHasher::new(store.clone(), Arc::clone(&project::environment()));
    let now = Instant::now();
    let mut left: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for id in selected.nodes().filter(|&id: &NodeId| !words.is_settled(id)) {
        let node = &pipeline.graph[id];
        let wish = wish(node, &hasher, options.memory > 0);
        if let Some(why) = refusal(options, node, &wish, now, "so much time is not left") {
            left.entry(why).or_default().push(&pipeline.stages[node.placements[0].1 as usize].name);
        }
    }
    for (why, mut stages) in left {
        stages.dedup();
        let verb = if stages.len() == 1 { "wants" } else { "want" };
        say(format_args!("  left: {} {verb} {why}", list_names(&stages)));
    }
}
