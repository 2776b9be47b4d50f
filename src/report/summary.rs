//! The last words of a run.

use std::collections::HashSet;

use pipe_cache::RemoteCounts;
use pipe_engine::{
    events::{Arm, Event, EventKind, RunEnd, RunSummary, SkipReason},
    pipeline::{NodeId, Pipeline},
};

use crate::output::{bytes, color_on_stderr, count, paint, plural, say, seconds, style};

/// Gathers what the last words need.
#[derive(Default)]
pub(crate) struct Summary {
    pipeline: String,
    failed: Vec<String>,
    not_selected: Vec<String>,
    arms: Vec<Arm>,
    /// The stage that was computed last.
    last: Option<u32>,
    /// The nodes that have results, or failed.
    settled: HashSet<u32>,
}

impl Summary {
    /// Takes note of an event.
    pub(crate) fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { pipeline, origin, .. } => {
                self.pipeline = origin.trial.as_ref().map_or_else(|| pipeline.clone(), |t| format!("{pipeline} +{t}"));
            }
            EventKind::Failed { node, .. } => {
                self.failed.push(node.label.to_string());
                self.settled.insert(node.id);
            }
            EventKind::Hit { node, .. } => _ = self.settled.insert(node.id),
            EventKind::Skipped { node, reason: SkipReason::UpstreamNotSelected { upstream } } => {
                self.not_selected.push(format!("{} (needs {upstream})", node.label));
            }
            EventKind::Finished { node, .. } => {
                self.last = Some(node.id);
                self.settled.insert(node.id);
            }
            EventKind::Arms { arms } => self.arms.clone_from(arms),
            _ => {}
        }
    }

    /// Whether a node has a result, or failed, as far as this process knows.
    pub(crate) fn is_settled(&self, node: NodeId) -> bool {
        self.settled.contains(&(node.index() as u32))
    }

    /// What to look at next: a result, and a variant to compare with the baseline. The names are those under which
    /// results are kept.
    pub(crate) fn to_look_at(&self, pipeline: &Pipeline) -> (Option<String>, Option<String>) {
        let kept_as =
            |name: &str| pipeline.variants.iter().position(|v| v.name == name).map(|variant| pipeline.kept_as(variant));
        let label = match self.arms.first() {
            Some(arm) => arm.variants.first().and_then(|variant| Some((arm.stage.as_str(), kept_as(variant)?))),
            None => self.last.and_then(|node| {
                let &(variant, stage) = pipeline.graph[NodeId::new(node as usize)].placements.first()?;
                Some((pipeline.stages[stage as usize].name.as_str(), pipeline.kept_as(variant as usize)))
            }),
        };
        let one = pipeline.variants.len() == 1 && pipeline.trial.is_none();
        let shown = label.map(|(stage, variant)| if one { stage.to_owned() } else { format!("{stage}@{variant}") });
        (shown, (pipeline.variants.len() > 1).then(|| pipeline.kept_as(1)))
    }

    /// Says what ran, what was reused, and the time that saved.
    pub(crate) fn say(&self, summary: &RunSummary) {
        let color = color_on_stderr();
        let mut parts =
            vec![format!("{} ran", count(summary.ran as u64)), format!("{} reused", count(summary.hits as u64))];
        if summary.failed > 0 {
            parts.push(paint(format!("{} failed", count(summary.failed as u64)), style::ERROR, color));
        }
        if summary.skipped > 0 {
            parts.push(format!("{} skipped", count(summary.skipped as u64)));
        }
        let outcome = match summary.outcome {
            RunEnd::Succeeded => paint("done", style::GOOD, color),
            RunEnd::Failed => paint("failed", style::ERROR, color),
            RunEnd::Cancelled => paint("cancelled", style::WARNING, color),
            RunEnd::Left => "left to others".to_owned(),
        };
        let saved = match summary.seconds_saved {
            s if s < 0.1 => String::new(),
            s => format!(", {} saved", seconds(s)),
        };
        let took = seconds(summary.seconds);
        say(format_args!("{} {outcome}: {} in {took}{saved}", self.pipeline, parts.join(", ")));
        if let Some(rows) = rows(summary) {
            say(format_args!("  {rows}"));
        }
        if let Some(remote) = summary.remote.as_ref().and_then(remote) {
            say(format_args!("  remote: {remote}"));
        }
        for (label, names) in [("failed", &self.failed), ("skipped", &self.not_selected)] {
            if names.len() > 1 || (label == "skipped" && !names.is_empty()) {
                say(format_args!("  {label}: {}", listed(names)));
            }
        }
    }
}

/// What came from the remote and went there; nothing where nothing did.
fn remote(counts: &RemoteCounts) -> Option<String> {
    let mut parts = Vec::new();
    let came = (counts.pulled, counts.segments_pulled, "pulled", counts.bytes_pulled);
    let went = (counts.pushed, counts.segments_pushed, "pushed", counts.bytes_pushed);
    for (results, segments, verb, moved) in [came, went] {
        let rows = (segments > 0).then(|| plural(segments, "pack") + " of rows");
        let what: Vec<String> = (results > 0).then(|| count(results)).into_iter().chain(rows).collect();
        parts.extend((!what.is_empty()).then(|| format!("{} {verb} ({})", what.join(" and "), bytes(moved))));
    }
    parts.extend((counts.failures > 0).then(|| plural(counts.failures, "failure")));
    parts.extend((counts.unpushed > 0).then(|| format!("{} not pushed", count(counts.unpushed))));
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// What became of the rows that stages work on one by one, where not all were computed by the stage that needed them.
fn rows(summary: &RunSummary) -> Option<String> {
    let told = [(summary.rows_reused, "reused"), (summary.rows_waited, "computed for several stages at once")];
    let told: Vec<String> =
        told.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", count(n))).collect();
    (!told.is_empty()).then(|| format!("rows: {} computed, {}", count(summary.rows_computed), told.join(", ")))
}

/// The first names, and how many more.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
