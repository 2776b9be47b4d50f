//! What a run said of its nodes.

use std::collections::{BTreeMap, BTreeSet};

use pipe_engine::{
    events::{Event, EventKind, RunEnd, SkipReason},
    pipeline::{NodeId, Pipeline},
};
use pipe_report::Failure;

/// What a run said: which nodes it computed, and what went wrong. Empty where no run is meant.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// The run's id.
    pub run: Option<String>,
    /// When it began, in milliseconds since 1970.
    pub started_ms: u64,
    /// How it ended.
    pub outcome: Option<RunEnd>,
    /// Names the state that it left.
    pub state: Option<pipe_cache::Digest>,
    /// Seconds that nodes took which it computed.
    pub(super) paid: BTreeMap<u32, f64>,
    failed: BTreeMap<u32, String>,
    /// By node: which stage it needs.
    skipped: BTreeMap<u32, String>,
}

impl Heard {
    /// Takes note of an event.
    pub fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { run, started_ms, .. } => {
                self.run = Some(run.clone());
                self.started_ms = *started_ms;
            }
            EventKind::Finished { node, stats, .. } => {
                self.paid.insert(node.id, stats.seconds);
            }
            EventKind::Failed { node, error, help, .. } => {
                let help = help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
                self.failed.insert(node.id, error.join(": ") + &help);
            }
            EventKind::Skipped { node, reason } => {
                let why = match reason {
                    SkipReason::UpstreamFailed { upstream } => format!("it needs `{upstream}`, which failed"),
                    SkipReason::UpstreamNotSelected { upstream } => {
                        format!("it needs `{upstream}`, which was not selected and has no result")
                    }
                    SkipReason::RunFailed => "another stage failed before it began".to_owned(),
                    SkipReason::NotOnRemote => "neither the store nor the remote has it".to_owned(),
                    SkipReason::Cancelled => "the run was cancelled before it began".to_owned(),
                };
                self.skipped.insert(node.id, why);
            }
            EventKind::RunFinished { summary, state } => {
                self.outcome = Some(summary.outcome);
                self.state = *state;
            }
            _ => {}
        }
    }

    /// Whether it computed anything, or failed to.
    pub fn is_eventful(&self) -> bool {
        !(self.paid.is_empty() && self.failed.is_empty() && self.skipped.is_empty())
    }

    pub(super) fn has_failed(&self, node: usize) -> bool {
        self.failed.contains_key(&(node as u32))
    }

    pub(super) fn was_skipped(&self, node: usize) -> bool {
        self.skipped.contains_key(&(node as u32))
    }

    /// What failed first, then what could not run; stages that say the same are one.
    pub(super) fn failures(&self, pipeline: &Pipeline) -> Vec<Failure> {
        let mut failures: Vec<Failure> = Vec::new();
        let failed = self.failed.iter().map(|(node, message)| (node, message, "failed"));
        let skipped = self.skipped.iter().map(|(node, message)| (node, message, "skipped"));
        for (&node, message, state) in failed.chain(skipped) {
            let placements = &pipeline.graph[NodeId::new(node as usize)].placements;
            let stages: BTreeSet<u32> = placements.iter().map(|&(_, stage)| stage).collect();
            for stage in stages {
                let name = &pipeline.stages[stage as usize].name;
                let of_stage = placements.iter().filter(|(_, s)| *s == stage);
                let variants = of_stage.map(|&(v, _)| pipeline.variants[v as usize].name.clone());
                let same = failures.iter_mut().find(|f| f.stage == *name && f.message == *message && f.state == state);
                match same {
                    Some(same) => same.variants.extend(variants),
                    None => failures.push(Failure {
                        stage: name.clone(),
                        variants: variants.collect(),
                        state: state.to_owned(),
                        message: message.clone(),
                    }),
                }
            }
        }
        failures
    }
}
