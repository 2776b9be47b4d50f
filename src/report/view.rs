//! What is to be seen of a run while it goes on: gathered from events, told in words.

use std::{collections::BTreeMap, time::Instant};

use pipe_engine::events::{Event, EventKind, Fact, Live, LiveStage, Measure};

use super::pace::Pace;
use crate::output::{clock, count, number};

/// The run, as far as events have told.
pub(super) struct RunView {
    pub pipeline: String,
    /// Nodes that are to run or to be found.
    pub selected: usize,
    /// Of them, those that are done, failed or skipped.
    pub over: usize,
    pub failed: usize,
    /// By node, in the order of their beginning.
    pub running: Vec<StageView>,
    /// What other processes do.
    pub elsewhere: Vec<Live>,
    /// Whether anything has run.
    pub worked: bool,
    began: Instant,
}

/// A stage that is running.
pub(super) struct StageView {
    id: u32,
    pub label: String,
    /// When it began, in seconds of the run.
    pub began: f64,
    done: Option<Done>,
    facts: Vec<Fact>,
    paces: BTreeMap<String, Pace>,
    waits_for: Option<String>,
}

struct Done {
    units: u64,
    total: Option<u64>,
    unit: String,
    pace: Pace,
}

/// What is said of a stage, from the most important to the least; `place` orders what there is room for.
pub(super) struct Word {
    pub place: u8,
    pub text: String,
    /// Worth less than a bar.
    pub extra: bool,
}

impl Default for RunView {
    fn default() -> Self {
        Self {
            pipeline: String::new(),
            selected: 0,
            over: 0,
            failed: 0,
            running: Vec::new(),
            elsewhere: Vec::new(),
            worked: false,
            began: Instant::now(),
        }
    }
}

impl RunView {
    /// Seconds of the run, now.
    pub(super) fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Takes note of what happened.
    pub(super) fn see(&mut self, event: &Event) {
        match &event.kind {
            EventKind::RunStarted { pipeline, selected, .. } => {
                *self = Self { pipeline: pipeline.clone(), selected: *selected, ..Self::default() };
            }
            EventKind::Started { node, .. } => {
                self.worked = true;
                self.running.retain(|stage| stage.id != node.id);
                self.running.push(StageView {
                    id: node.id,
                    label: node.label.to_string(),
                    began: event.at,
                    done: None,
                    facts: Vec::new(),
                    paces: BTreeMap::new(),
                    waits_for: None,
                });
            }
            EventKind::Waiting { node, on, .. } => {
                if let Some(stage) = self.running.iter_mut().find(|stage| stage.id == node.id) {
                    stage.waits_for = Some(on.clone());
                }
            }
            EventKind::Progress { node, done, total, unit, known, facts } => {
                if let Some(stage) = self.running.iter_mut().find(|stage| stage.id == node.id) {
                    stage.progress(event.at, (*done, *total, unit), *known, facts);
                }
            }
            EventKind::Retry { node, .. } => self.running.retain(|stage| stage.id != node.id),
            EventKind::Failed { node, .. } => {
                self.failed += 1;
                self.end(node.id);
            }
            EventKind::Hit { node, .. } | EventKind::Finished { node, .. } | EventKind::Skipped { node, .. } => {
                self.end(node.id);
            }
            EventKind::Elsewhere { runs } => self.elsewhere.clone_from(runs),
            EventKind::RunFinished { .. } => {
                self.running.clear();
                self.elsewhere.clear();
            }
            _ => {}
        }
    }

    fn end(&mut self, id: u32) {
        self.running.retain(|stage| stage.id != id);
        // A producer that is repaired ends twice.
        self.over = (self.over + 1).min(self.selected);
    }
}

impl StageView {
    fn progress(&mut self, at: f64, (units, total, unit): (u64, Option<u64>, &str), known: u64, facts: &[Fact]) {
        self.waits_for = None;
        facts.clone_into(&mut self.facts);
        for fact in facts.iter().filter(|fact| fact.measure == Measure::Pace) {
            self.paces.entry(fact.name.clone()).or_default().see(at, fact.value);
        }
        if self.done.as_ref().is_none_or(|done| done.unit != unit) {
            self.done = Some(Done { units, total, unit: unit.to_owned(), pace: Pace::default() });
        }
        let Some(done) = &mut self.done else { return };
        (done.units, done.total) = (units, total);
        // What was known before came at no pace.
        if units > known || known == 0 {
            done.pace.see(at, units as f64);
        }
    }

    /// The share that is done, where the whole is known.
    pub(super) fn share(&self) -> Option<f64> {
        let done = self.done.as_ref()?;
        done.total.filter(|total| *total > 0).map(|total| (done.units as f64 / total as f64).min(1.0))
    }

    /// What there is to say, the most important first.
    pub(super) fn words(&self, now: f64) -> Vec<Word> {
        let word = |place, text| Word { place, text, extra: false };
        let extra = |place, text| Word { place, text, extra: true };
        let lasted = clock(now - self.began);
        if let Some(on) = &self.waits_for {
            return vec![word(0, format!("waits for {on}")), word(9, lasted)];
        }
        let mut words = Vec::new();
        if let Some(done) = &self.done {
            let of = done.total.map_or_else(String::new, |total| format!("/{}", count(total)));
            words.push(word(0, format!("{}{of} {}", count(done.units), done.unit)));
            let left = done.total.and_then(|total| done.pace.left(now, total as f64));
            words.extend(left.filter(|left| *left >= 1.0).map(|left| word(8, format!("eta {}", clock(left)))));
        }
        let no_eta = words.len() < 2;
        if no_eta {
            words.push(word(9, lasted.clone()));
        }
        words.extend(self.told_facts(now).into_iter().map(|text| word(1, text)));
        let per_second = self.done.as_ref().and_then(|done| Some((done.pace.per_second(now)?, &done.unit)));
        // Steps of a training take as long as they have tokens.
        let told = per_second.filter(|(_, unit)| *unit != "steps").map(|(n, unit)| format!("{} {unit}/s", rate(n)));
        words.extend(told.map(|text| extra(2, text)));
        if !no_eta {
            words.push(extra(7, lasted));
        }
        words
    }

    fn told_facts(&self, now: f64) -> Vec<String> {
        let mut told = Vec::new();
        let mut facts = self.facts.iter().peekable();
        while let Some(fact) = facts.next() {
            let mut parts = Vec::new();
            while let Some(part) = facts.next_if(|fact| fact.measure == Measure::Part) {
                parts.push(part);
            }
            parts.sort_by(|a, b| b.value.total_cmp(&a.value));
            match fact.measure {
                Measure::Count | Measure::Part if fact.value > 0.0 => {
                    let parts: Vec<String> = parts.iter().map(|part| counted(part)).collect();
                    let why = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
                    told.push(format!("{}{why}", counted(fact)));
                }
                Measure::Count | Measure::Part => {}
                Measure::Value => told.push(format!("{} {}", fact.name, number(fact.value))),
                Measure::Pace => {
                    let per_second = self.paces.get(&fact.name).and_then(|pace| pace.per_second(now));
                    told.extend(per_second.map(|n| format!("{} {}/s", rate(n), fact.name)));
                }
            }
        }
        told
    }

    /// One line for people who see no bars.
    pub(super) fn line(&self, now: f64) -> String {
        let mut words = self.words(now);
        words.sort_by_key(|word| word.place);
        let words: Vec<String> = words.into_iter().map(|word| word.text).collect();
        format!("{}: {}", self.label, words.join(", "))
    }
}

/// How far another process is with a stage.
pub(crate) fn live_stage(stage: &LiveStage) -> String {
    if let Some(on) = &stage.waits_for {
        return format!("waits for {on}");
    }
    if stage.unit.is_empty() {
        return "at work".to_owned();
    }
    let of = stage.total.map_or_else(String::new, |total| format!("/{}", count(total)));
    format!("{}{of} {}", count(stage.done), stage.unit)
}

fn counted(fact: &Fact) -> String {
    format!("{} {}", count(fact.value as u64), fact.name)
}

/// `14,203`, `7.3`, `0.12`.
fn rate(n: f64) -> String {
    match n {
        n if n >= 100.0 => count(n.round() as u64),
        n if n >= 9.95 => format!("{n:.0}"),
        n if n >= 0.995 => format!("{n:.1}"),
        n => format!("{n:.2}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use pipe_engine::pipeline::{Label, NodeRef};

    use super::*;

    /// A run with one stage that began at second 1.
    pub(in crate::report) fn running(label: &str) -> RunView {
        let mut view = RunView { pipeline: "p".to_owned(), selected: 3, ..RunView::default() };
        let node = node(label);
        view.see(&Event { at: 1.0, kind: EventKind::Started { node, key: None, attempt: 1 } });
        view
    }

    fn node(label: &str) -> NodeRef {
        NodeRef { id: 7, label: Label(label.into()) }
    }

    pub(in crate::report) fn progress(view: &mut RunView, at: f64, done: u64, facts: &[(&str, Measure, f64)]) {
        let fact = |&(name, measure, value): &(&str, _, _)| Fact { name: name.to_owned(), value, measure };
        let facts = facts.iter().map(fact).collect();
        let (node, unit) = (node(&view.running[0].label), if done >= 1000 { "steps" } else { "rows" }.to_owned());
        let kind = EventKind::Progress { node, done, total: Some(2000), unit, known: 0, facts };
        view.see(&Event { at, kind });
    }

    #[test]
    fn a_stage_that_says_nothing_has_its_time() {
        assert_eq!(running("words").running[0].line(13.5), "words: 12s");
    }

    #[test]
    fn attempts_are_told_with_what_became_of_them_and_a_time_that_is_known() {
        use Measure::{Count, Pace, Part};
        let mut view = running("new");
        for second in 0..4 {
            let n = f64::from(second);
            let facts = [
                ("tokens", Pace, 1000.0 * n),
                ("attempts", Count, 125.0 * n),
                ("dropped", Count, 25.0 * n),
                ("unparsed", Part, 5.0 * n),
                ("near_duplicate", Part, 20.0 * n),
            ];
            progress(&mut view, 1.0 + n, 100 * second as u64, &facts);
        }
        assert_eq!(
            view.running[0].line(4.0),
            "new: 300/2,000 rows, 1,000 tokens/s, 375 attempts, 75 dropped (60 near_duplicate, 15 unparsed), \
             100 rows/s, 3s, eta 17s"
        );
    }

    #[test]
    fn a_training_is_told_with_its_loss() {
        let mut view = running("tune");
        progress(&mut view, 2.0, 1000, &[("loss", Measure::Value, 2.30341), ("tokens", Measure::Pace, 7.0)]);
        assert_eq!(view.running[0].line(3.0), "tune: 1,000/2,000 steps, loss 2.303, 2s");
    }

    #[test]
    fn what_was_known_before_does_not_count_as_speed() {
        let mut view = running("new");
        for (at, done, known) in [(1.0, 900, 900), (1.1, 910, 910), (2.0, 911, 910), (4.0, 913, 910), (6.0, 915, 910)] {
            let kind = EventKind::Progress {
                node: node("new"),
                done,
                total: Some(1000),
                unit: "rows".to_owned(),
                known,
                facts: Vec::new(),
            };
            view.see(&Event { at, kind });
        }
        assert!(view.running[0].line(6.0).contains("1.0 rows/s, 5s, eta 1m 25s"), "{}", view.running[0].line(6.0));
    }
}
