//! What a run would fail on, as far as that can be known, is told before it begins: all of it, and nothing is computed
//! that a later stage has no use for.

use pipe_cache::Store;
use pipe_engine::{
    execute::RunOptions,
    inspect::{self, Action},
    pipeline::Pipeline,
};

use crate::{
    error::CliError,
    output::{color_on_stderr, paint, plural, say, style},
};

/// Looking at more stages than that would be felt where there is nothing to do.
const MOST: usize = 1_000;

/// Looks at the stages that would run.
pub(super) fn check(pipeline: &Pipeline, store: &Store, options: &RunOptions) -> Result<(), CliError> {
    if pipeline.graph.node_count() > MOST {
        return Ok(());
    }
    let plan = inspect::plan(pipeline, store, options)?;
    let mut wrong: Vec<(&str, Vec<String>)> = Vec::new();
    for node in &plan.nodes {
        let Action::Error { message } = &node.action else { continue };
        let label = node.node.label.to_string();
        match wrong.iter_mut().find(|(told, _)| told == message) {
            Some((_, labels)) => labels.push(label),
            None => wrong.push((message, vec![label])),
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let stages = wrong.iter().map(|(_, labels)| labels.len() as u64).sum();
    for (message, labels) in wrong {
        let more = match labels.len() - 1 {
            0 => String::new(),
            n => format!(" (and {})", plural(n as u64, "other")),
        };
        say(format_args!("{} {}{more} cannot run: {message}", paint("✗", style::ERROR, color_on_stderr()), labels[0]));
    }
    Err(CliError::Foreseen { stages })
}
