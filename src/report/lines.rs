//! Plain lines on stderr, for logs and pipes.

use std::collections::HashMap;

use pipe_engine::events::{Event, EventKind, NodeStats, OutputCount};

use super::Reporter;
use crate::output::{amounts, color_on_stderr, count, explained, paint, say, seconds, style};

/// A stage that takes long says how far it is this often, in seconds.
const PROGRESS_EVERY: f64 = 10.0;

/// The reporter for everything that is not a terminal.
#[derive(Default)]
pub(crate) struct Lines {
    errors_only: bool,
    /// By node: when it last said something.
    last: HashMap<u32, f64>,
}

impl Lines {
    /// Says only what went wrong.
    pub(crate) fn errors_only() -> Self {
        Self { errors_only: true, ..Self::default() }
    }
}

impl Reporter for Lines {
    fn event(&mut self, event: &Event) {
        if let Some(line) = problem(&event.kind) {
            say(line);
        } else if !self.errors_only {
            match &event.kind {
                EventKind::Progress { node, done, total, unit } => {
                    let last = self.last.entry(node.id).or_insert(event.at);
                    if event.at - *last >= PROGRESS_EVERY {
                        *last = event.at;
                        let of = total.map_or_else(String::new, |total| format!(" of {}", count(total)));
                        say(format_args!("{}: {}{of} {unit}", node.label, count(*done)));
                    }
                }
                kind => {
                    if let Some(line) = line(kind) {
                        say(line);
                    }
                }
            }
        }
    }
}

/// The line for an event that people should see however quiet they want it.
pub(crate) fn problem(event: &EventKind) -> Option<String> {
    let color = color_on_stderr();
    Some(match event {
        EventKind::Failed { node, error, help, log } => {
            let log = log.as_ref().map_or_else(String::new, |log| format!("\n  log: {log}"));
            let why = explained(error, help.as_deref(), color);
            format!("{} {} failed: {why}{log}", paint("✗", style::ERROR, color), node.label)
        }
        EventKind::Warning { node, message } => {
            let at = node.as_ref().map_or_else(String::new, |node| format!("{}: ", node.label));
            format!("{}: {at}{message}", paint("warning", style::WARNING, color))
        }
        EventKind::Damaged { node, message } => {
            format!("{}: {message}; {} runs again", paint("damaged", style::WARNING, color), node.label)
        }
        EventKind::Retry { node, attempt, wait, error } => format!(
            "{} {}: attempt {attempt} failed, next in {}: {error}",
            paint("↻", style::WARNING, color),
            node.label,
            seconds(*wait)
        ),
        _ => return None,
    })
}

/// The line for an event that tells that something is done, or waits.
pub(crate) fn line(event: &EventKind) -> Option<String> {
    let color = color_on_stderr();
    Some(match event {
        EventKind::Finished { node, stats, outputs, .. } => {
            let done = done(stats, outputs);
            format!("{} {}  {}", paint("✓", style::GOOD, color), node.label, paint(done, style::DIM, color))
        }
        EventKind::Waiting { node, on, .. } => format!("… {} waits for {on}", node.label),
        EventKind::Log { node, line } => format!("  {}: {line}", node.label),
        _ => return None,
    })
}

/// What a stage did, in words.
fn done(stats: &NodeStats, outputs: &[OutputCount]) -> String {
    let new = match stats.rows_reused + stats.rows_waited {
        0 => String::new(),
        _ => format!(" ({} new)", count(stats.rows_computed)),
    };
    format!("{}{new}, {}", amounts(outputs.iter().map(|o| (o.port.as_str(), o.kind, o.rows))), seconds(stats.seconds))
}
