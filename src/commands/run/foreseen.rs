//! What a run would fail on, as far as that can be known, is told before it begins: all of it, and nothing is computed
//! that a later stage has no use for.

use pipe_cache::Store;
use pipe_engine::{
    execute::RunOptions,
    inspect::{self, Action},
    pipeline::Pipeline,
};

use serde_json::json;

use crate::{
    cli::Format,
    error::CliError,
    output::{self, color_on_stderr, paint, plural, say, style},
};

/// Looking at more stages than that would be felt where there is nothing to do.
const MOST: usize = 1_000;

/// Looks at the stages that would run. What files they miss may be made by a stage before them: then it is left to the
/// run.
pub(super) fn check(pipeline: &Pipeline, store: &Store, options: &RunOptions, format: Format) -> Result<(), CliError> {
    if pipeline.graph.node_count() > MOST {
        return Ok(());
    }
    let mut plan = inspect::plan(pipeline, store, options)?;
    inspect::ask_servers(pipeline, store, options, &mut plan);
    let mut wrong: Vec<(&str, Vec<String>)> = Vec::new();
    for node in plan.nodes.iter().filter(|node| !node.may_pass) {
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
    if format == Format::Json {
        let told = wrong.iter().flat_map(|(message, labels)| labels.iter().map(move |label| (label, message)));
        for (label, message) in told {
            output::json_line(&json!({ "event": "cannot_run", "node": { "label": label }, "message": message }))?;
        }
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
