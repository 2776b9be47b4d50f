//! Live bars on a terminal: one for the run, one for every stage that is running.

use std::{collections::HashMap, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipe_engine::{
    events::{Event, EventKind},
    pipeline::NodeRef,
};

use super::{
    Reporter,
    lines::{line, problem},
};
use crate::output::{clip, rendered};

const REDRAWS_PER_SECOND: u8 = 12;
const LABEL_WIDTH: usize = 32;

/// The reporter for terminals.
pub(crate) struct Bars {
    multi: MultiProgress,
    run: Option<ProgressBar>,
    stages: HashMap<u32, ProgressBar>,
}

impl Default for Bars {
    fn default() -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(REDRAWS_PER_SECOND);
        Self { multi: MultiProgress::with_draw_target(target), run: None, stages: HashMap::new() }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates of this file are valid").progress_chars("━╸─")
}

impl Bars {
    fn println(&self, text: &str) {
        // A terminal that cannot be written to is gone, and the run goes on.
        let _ = self.multi.println(rendered(text));
    }

    fn start(&mut self, node: &NodeRef) {
        let bar = ProgressBar::new_spinner().with_style(style("  {spinner:.cyan} {prefix} {elapsed:>5}"));
        bar.set_prefix(format!("{:LABEL_WIDTH$}", clip(&node.label.0, LABEL_WIDTH)));
        let bar = match &self.run {
            Some(run) => self.multi.insert_before(run, bar),
            None => self.multi.add(bar),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        self.stages.insert(node.id, bar);
    }

    fn progress(&self, node: &NodeRef, done: u64, total: Option<u64>, unit: &str) {
        let Some(bar) = self.stages.get(&node.id) else { return };
        let was_spinner = bar.message().is_empty();
        match total {
            Some(total) => {
                bar.set_length(total);
                if was_spinner {
                    bar.set_style(style(
                        "  {spinner:.cyan} {prefix} {bar:24.cyan} {human_pos}/{human_len} {msg} {per_sec} eta {eta}",
                    ));
                }
            }
            None if was_spinner => {
                bar.set_style(style("  {spinner:.cyan} {prefix} {human_pos} {msg} {per_sec} {elapsed}"));
            }
            None => {}
        }
        bar.set_message(clip(unit, LABEL_WIDTH));
        bar.set_position(done);
    }

    fn end(&mut self, node: &NodeRef) {
        if let Some(bar) = self.stages.remove(&node.id) {
            bar.finish_and_clear();
        }
        self.advance();
    }

    fn advance(&self) {
        if let Some(run) = &self.run {
            run.inc(1);
        }
    }
}

impl Reporter for Bars {
    fn event(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { pipeline, selected, .. } => {
                let bar = ProgressBar::new(*selected as u64);
                bar.set_style(style("{prefix:.bold} {bar:30.green} {pos}/{len} stages {elapsed}"));
                bar.set_prefix(clip(pipeline, LABEL_WIDTH));
                self.run = Some(self.multi.add(bar));
            }
            EventKind::Hit { .. } => self.advance(),
            EventKind::Started { node, .. } => {
                // The run's bar appears only when there is something to wait for.
                if let Some(run) = &self.run {
                    run.enable_steady_tick(Duration::from_millis(200));
                }
                self.start(node);
            }
            EventKind::Progress { node, done, total, unit } => self.progress(node, *done, *total, unit),
            EventKind::Finished { node, .. } | EventKind::Failed { node, .. } | EventKind::Skipped { node, .. } => {
                self.end(node);
            }
            EventKind::Retry { node, .. } => {
                if let Some(bar) = self.stages.remove(&node.id) {
                    bar.finish_and_clear();
                }
            }
            EventKind::RunFinished { .. } => {
                for bar in self.stages.drain().map(|(_, bar)| bar).chain(self.run.take()) {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        if let Some(text) = problem(&event.kind).or_else(|| line(&event.kind)) {
            self.println(&text);
        }
    }
}
