//! Plain lines on stderr, for logs and pipes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use pipe_engine::events::{Event, EventKind, Live, NodeStats, OutputCount};

use super::{Reporter, ticker::Ticker, view::RunView};
use crate::output::{amounts, color_on_stderr, count, explained, paint, say, seconds, style};

/// A stage says how far it is when it has run for so long, in seconds, and again when it has run twice as long; but
/// at least every so often.
const FIRST: f64 = 10.0;
const AT_LEAST: f64 = 600.0;

/// The reporter for everything that is not a terminal.
#[derive(Default)]
pub(crate) struct Lines {
    /// None where only what went wrong is said.
    heard: Option<(Arc<Mutex<Heard>>, Ticker)>,
}

/// The run, and when its stages are to say something next.
#[derive(Default)]
struct Heard {
    view: RunView,
    /// By label.
    due: HashMap<String, f64>,
    /// What other processes are known to compute.
    elsewhere: Vec<String>,
}

impl Lines {
    /// Says how far stages are, too.
    pub(crate) fn new() -> Self {
        let heard = Arc::<Mutex<Heard>>::default();
        let told = Arc::clone(&heard);
        let ticker = Ticker::start(Duration::from_millis(500), move || {
            let mut heard = told.lock();
            let now = heard.view.now();
            heard.due(now).into_iter().for_each(say);
        });
        Self { heard: Some((heard, ticker)) }
    }

    /// Says only what went wrong.
    pub(crate) fn errors_only() -> Self {
        Self::default()
    }
}

impl Heard {
    /// What is to be said now.
    fn due(&mut self, now: f64) -> Vec<String> {
        let mut said = Vec::new();
        for stage in &self.view.running {
            let due = self.due.entry(stage.label.clone()).or_insert(stage.began + FIRST);
            if now >= *due {
                *due = now + (now - stage.began).min(AT_LEAST);
                said.push(format!("  {}", stage.line(now)));
            }
        }
        for stage in self.begun_elsewhere() {
            said.push(format!("  {stage}"));
        }
        self.due.retain(|label, _| self.view.running.iter().any(|stage| stage.label == *label));
        said
    }
}

impl Heard {
    /// Stages that other processes have begun since this was asked last.
    fn begun_elsewhere(&mut self) -> Vec<String> {
        let begun = |run: &Live| {
            let stages = run.stages.iter().filter(|stage| stage.waits_for.is_none());
            stages.map(|stage| format!("{}: {} is at it", stage.label, run.owner())).collect::<Vec<_>>()
        };
        let all: Vec<String> = self.view.elsewhere.iter().flat_map(begun).collect();
        let new = all.iter().filter(|stage| !self.elsewhere.contains(stage)).cloned().collect();
        self.elsewhere = all;
        new
    }
}

impl Reporter for Lines {
    fn event(&mut self, event: &Event) {
        if let Some(line) = problem(&event.kind) {
            say(line);
        } else if self.heard.is_some()
            && let Some(line) = line(&event.kind)
        {
            say(line);
        }
        if let Some((heard, _)) = &self.heard {
            heard.lock().view.see(event);
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
        EventKind::Pushing { on_the_way } => format!("… {} on the way to the remote", count(*on_the_way as u64)),
        _ => return None,
    })
}

/// What a stage did, in words.
fn done(stats: &NodeStats, outputs: &[OutputCount]) -> String {
    let new = match stats.rows_reused + stats.rows_waited {
        0 => String::new(),
        _ => format!(" ({} new)", count(stats.rows_computed)),
    };
    // The others go along with the first: yields, logs.
    let main = outputs.iter().take(1).map(|o| (o.port.as_str(), o.kind, o.rows));
    format!("{}{new}, {}", amounts(main), seconds(stats.seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::view::tests::running;

    #[test]
    fn a_stage_that_takes_long_says_so_more_and_more_rarely() {
        let mut heard = Heard { view: running("slow"), ..Heard::default() };
        let said: Vec<u32> = (0..4000u32).filter(|second| !heard.due(f64::from(*second)).is_empty()).collect();
        assert_eq!(said, [11, 21, 41, 81, 161, 321, 641, 1241, 1841, 2441, 3041, 3641]);
        heard.view.running.clear();
        assert!(heard.due(4001.0).is_empty() && heard.due.is_empty());
    }
}
