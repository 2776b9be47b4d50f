//! Arms held against each other, as a table.

use indexmap::IndexMap;
use pipe_report::{Comparison, Effect, LeftOut};
use pipe_stages::results::{FOLDED, Score, Study, StudyArm};

use crate::output::{Table, count, seconds, visible_width};

/// Rows shown; the rest is in the results.
const SHOWN: usize = 60;
/// Groups of columns that may be left out: reuse, time, counts, yield.
const LEAVES_OUT: usize = 4;

/// How much of a study is shown.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Room {
    /// Columns of the terminal, where it is one.
    pub columns: Option<usize>,
    /// Whether everything is shown, however wide.
    pub wide: bool,
    /// Whether all rows are.
    pub all: bool,
}

/// One row per arm: mean and standard error of each metric with a mark for the verdict, and the difference to the
/// baseline with its interval. What that rests on (rows kept, counts, time, reuse) stands behind it as far as it fits.
/// The second value is how many rows are left out, the third which metrics are.
pub(crate) fn table(study: &Study, room: Room) -> (Table, usize, Vec<String>) {
    let columns = room.columns.filter(|_| !room.wide);
    let metrics = study.comparison.metrics.len();
    let ways = (0..=LEAVES_OUT).map(|left_out| (left_out, metrics)).chain((1..metrics).rev().map(|n| (LEAVES_OUT, n)));
    let mut last = None;
    for (left_out, shown) in ways {
        let table = Columns::new(study, left_out, shown, room).table();
        let fits = columns.is_none_or(|columns| table.lines(false).iter().all(|line| visible_width(line) <= columns));
        last = Some((table, shown));
        if fits {
            break;
        }
    }
    let (mut table, shown) = last.unwrap_or_else(|| (Columns::new(study, LEAVES_OUT, metrics, room).table(), metrics));
    if let Some(columns) = columns {
        table.fit(columns);
    }
    let without = study.comparison.metrics[shown..].iter().map(|metric| metric.heading.clone()).collect();
    let rows = if room.all { 0 } else { study.arms.len().saturating_sub(SHOWN) };
    (table, rows, without)
}

/// The answer that an arm's row gives for a metric: over draws where that was asked, else over the items of the first
/// draw.
pub(crate) fn answer<'a>(comparison: &'a Comparison, metric: &str, arm: &str) -> Option<&'a Effect> {
    let of = || comparison.effects.iter().filter(|e| e.task == "all" && e.metric == metric && e.arm == arm);
    of().find(|e| e.question == "draws" && e.p.is_some()).or_else(|| of().find(|e| e.question == "items"))
}

/// A verdict as one character.
fn mark(effect: &Effect) -> &'static str {
    match &*effect.verdict {
        "better" => "+",
        "worse" => "-",
        "not shown" => "?",
        verdict if verdict.starts_with("same") => "=",
        _ => " ",
    }
}

/// What the signs in the table mean, and which question it answers.
pub(crate) fn legend(study: &Study) -> Vec<String> {
    let Study { comparison, arms, not_compared, tasks_left_out } = study;
    let mut lines = Vec::new();
    let over_draws = arms.iter().any(|arm| arm.draws > 1);
    let has_errors = arms.iter().flat_map(|arm| &arm.scores).any(|score| score.standard_error.is_some());
    let mut signs: Vec<&str> = Vec::new();
    if has_errors {
        signs.push(match (over_draws, comparison.clusters) {
            (true, _) => "± standard error over draws",
            (false, None) => "± standard error of the mean over items",
            (false, Some(_)) => "± standard error of the mean over items, by clusters",
        });
    }
    if arms.len() > 1 && !comparison.baseline.is_empty() {
        signs.push("* the baseline");
    }
    if !signs.is_empty() {
        lines.push(signs.join("; "));
    }
    let asked: Vec<&Effect> = (comparison.metrics.iter())
        .flat_map(|metric| comparison.arms.iter().filter_map(|arm| answer(comparison, &metric.name, &arm.name)))
        .collect();
    if !asked.is_empty() {
        let marks = [("+", "better"), ("-", "worse"), ("=", "the same within the margin"), ("?", "not shown")];
        let used = marks.iter().filter(|(sign, _)| asked.iter().any(|effect| mark(effect) == *sign));
        let used: Vec<String> = used.map(|(sign, what)| format!("{sign} {what}")).collect();
        let of_draws = asked.iter().filter(|effect| effect.question == "draws").count();
        let about = if of_draws == asked.len() {
            let draws = asked.iter().map(|effect| effect.draws).max().unwrap_or(0);
            let weak = if asked.iter().any(|effect| effect.weak) { ", which is weak: fewer than five" } else { "" };
            format!("is the choice better? over {draws} draws{weak}")
        } else if of_draws == 0 {
            let items = asked.iter().map(|effect| effect.items).max().unwrap_or(0);
            let why = (comparison.effects.iter())
                .find(|effect| effect.question == "draws" && effect.task == "all")
                .map_or("not asked", |effect| &*effect.verdict);
            let clusters =
                comparison.clusters.map_or_else(String::new, |of| format!(" in {} clusters", count(of as u64)));
            format!(
                "are these models different? over {} items{clusters}. Whether the choice is better was {why}",
                count(items as u64)
            )
        } else {
            "over draws where there are several, over items where there is one".to_owned()
        };
        let used = if used.is_empty() {
            String::new()
        } else {
            format!("{} (p < {} after Holm): ", used.join(", "), comparison.alpha())
        };
        lines.push(format!("{used}{about}"));
    }
    // What follows a factor is what was meant to change.
    let confounds: Vec<String> = (comparison.differing.iter())
        .filter(|differing| differing.factor.is_none())
        .map(|differing| format!("{}.{}", differing.stage, differing.parameter))
        .collect();
    if !confounds.is_empty() {
        lines.push(format!("differs between arms besides what is ablated: {}", confounds.join(", ")));
    }
    if let Some(why) = not_compared.as_ref().filter(|_| arms.len() > 1) {
        lines.push(format!("not compared: {why}"));
    }
    lines.extend(left_out(comparison));
    if *tasks_left_out {
        lines.push("so many arms and tasks are not compared by task: a stage `compare` does".to_owned());
    }
    lines
}

/// What could not be compared: a line for each arm and reason, with the draws.
fn left_out(comparison: &Comparison) -> Vec<String> {
    // Arms that are one by several names are told in the report.
    let is_told =
        |of: &&LeftOut| of.items > 0 || of.draw.is_some() || of.metric.is_some() || !of.why.starts_with(FOLDED);
    let mut draws: IndexMap<(String, String), Vec<&str>> = IndexMap::new();
    for left_out in comparison.left_out.iter().filter(is_told) {
        let what = left_out.metric.as_ref().map_or_else(String::new, |metric| format!("{metric} of ")) + &left_out.arm;
        let items = match left_out.items {
            0 => String::new(),
            n => format!(
                " ({} items: {}{})",
                count(n as u64),
                left_out.ids.join(", "),
                if n > left_out.ids.len() { ", .." } else { "" }
            ),
        };
        draws.entry((what, format!("{}{items}", left_out.why))).or_default().extend(left_out.draw.as_deref());
    }
    let line = |((what, why), draws): ((String, String), Vec<&str>)| match draws.len() {
        0 => format!("left out: {what}: {why}"),
        n if n > 1 && n == comparison.draws.len() => format!("left out: {what} in all draws: {why}"),
        _ => format!("left out: {what} in {}: {why}", draws.join(", ")),
    };
    draws.into_iter().map(line).collect()
}

/// The columns that any of the arms has something in.
struct Columns<'a> {
    study: &'a Study,
    room: Room,
    factors: Vec<&'a str>,
    metrics: usize,
    /// Of how many metrics the difference is shown.
    differences: usize,
    draws: bool,
    kept: bool,
    /// Names and headings.
    counts: Vec<(&'a str, &'a str)>,
    time: bool,
    reuse: bool,
}

impl<'a> Columns<'a> {
    fn new(study: &'a Study, left_out: usize, metrics: usize, room: Room) -> Self {
        let arms = &study.arms;
        let mut factors: Vec<&str> = Vec::new();
        for (name, _) in study.comparison.arms.iter().flat_map(|arm| &arm.factors) {
            if !factors.contains(&&**name) {
                factors.push(name);
            }
        }
        let mut counts: Vec<(&str, &str)> = Vec::new();
        for (name, heading, _) in arms.iter().flat_map(|arm| &arm.counts) {
            if !counts.iter().any(|(known, _)| known == name) {
                counts.push((name, heading));
            }
        }
        if left_out > 2 {
            counts.clear();
        }
        let is_compared = !study.comparison.effects.is_empty();
        let has_times = arms.iter().any(|arm| arm.stages > 0);
        Self {
            study,
            room,
            factors,
            metrics,
            differences: if !is_compared {
                0
            } else if room.wide {
                metrics
            } else {
                metrics.min(1)
            },
            draws: arms.iter().any(|arm| arm.draws > 1 || arm.draws_missing > 0),
            kept: left_out < 4 && arms.iter().any(|arm| arm.kept.is_some()),
            counts,
            time: left_out < 2 && has_times,
            reuse: left_out < 1 && has_times,
        }
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&self.headings().iter().map(String::as_str).collect::<Vec<_>>());
        let shown = if self.room.all { usize::MAX } else { SHOWN };
        for place in 0..self.study.arms.len().min(shown) {
            table.row(self.cells(place));
        }
        table
    }

    fn has_baseline(&self) -> bool {
        self.study.arms.len() > 1 && !self.study.comparison.baseline.is_empty()
    }

    fn headings(&self) -> Vec<String> {
        let comparison = &self.study.comparison;
        let mut headings = Vec::new();
        headings.extend(self.has_baseline().then(String::new));
        if self.factors.is_empty() {
            headings.push("stage".to_owned());
        }
        headings.extend(self.factors.iter().map(|&name| name.to_owned()));
        let percent = comparison.percent();
        for (place, metric) in comparison.metrics[..self.metrics].iter().enumerate() {
            // Room for the mark.
            let room = if comparison.effects.is_empty() { "" } else { "  " };
            headings.push(format!(">{}{room}", metric.heading));
            headings.extend((place < self.differences).then(|| format!(">difference [{percent} %]")));
        }
        headings.extend(self.draws.then(|| ">draws".to_owned()));
        headings.extend(self.kept.then(|| ">kept of attempted".to_owned()));
        headings.extend(self.counts.iter().map(|(_, heading)| format!(">{heading}")));
        headings.extend(self.time.then(|| ">time".to_owned()));
        headings.extend(self.reuse.then_some([">of which now", ">reused"]).into_iter().flatten().map(str::to_owned));
        headings
    }

    fn cells(&self, place: usize) -> Vec<String> {
        let (comparison, arm) = (&self.study.comparison, &self.study.arms[place]);
        let of = &comparison.arms[place];
        let is_baseline = of.name == comparison.baseline;
        let mut cells = Vec::new();
        cells.extend(self.has_baseline().then(|| if is_baseline { "*" } else { "" }.to_owned()));
        if self.factors.is_empty() {
            cells.push(arm.stage.clone());
        }
        let level =
            |name: &&str| of.factors.iter().find(|(of, _)| of == name).map_or_else(String::new, |f| f.1.clone());
        cells.extend(self.factors.iter().map(level));
        for (place, (metric, score)) in comparison.metrics[..self.metrics].iter().zip(&arm.scores).enumerate() {
            let effect = answer(comparison, &metric.name, &of.name).filter(|_| !is_baseline);
            let compared = !comparison.effects.is_empty();
            let mark = if compared { format!(" {}", effect.map_or(" ", mark)) } else { String::new() };
            cells.push(shown(score) + &mark);
            cells.extend((place < self.differences).then(|| effect.map_or_else(String::new, difference)));
        }
        cells.extend(self.draws.then(|| match arm.draws_missing {
            0 => count(arm.draws as u64),
            missing => format!("{} of {}", arm.draws, arm.draws + missing),
        }));
        cells.extend(self.kept.then(|| {
            arm.kept.map_or_else(none, |(attempted, kept)| {
                format!("{} of {} ({:.0}%)", whole(kept), whole(attempted), 100.0 * kept / attempted.max(1.0))
            })
        }));
        let counted = |(name, _): &(&str, &str)| {
            arm.counts.iter().find(|(of, ..)| of == name).map_or_else(none, |(.., count)| whole(*count))
        };
        cells.extend(self.counts.iter().map(counted));
        cells.extend(self.time.then(|| seconds(arm.seconds)));
        cells.extend(self.reuse.then(|| reuse(arm)).into_iter().flatten());
        cells
    }
}

fn reuse(arm: &StudyArm) -> [String; 2] {
    let paid = if arm.seconds_paid > 0.0 { seconds(arm.seconds_paid) } else { none() };
    [paid, format!("{} of {}", arm.reused, arm.stages)]
}

/// `+0.384 [+0.362, +0.406]`.
pub(crate) fn difference(effect: &Effect) -> String {
    match (effect.difference, effect.low, effect.high) {
        (Some(difference), Some(low), Some(high)) => format!("{difference:+.3} [{low:+.3}, {high:+.3}]"),
        (Some(difference), ..) => format!("{difference:+.3}"),
        _ => none(),
    }
}

pub(crate) fn shown(score: &Score) -> String {
    match (score.mean, score.standard_error) {
        (Some(value), Some(error)) => format!("{value:.3} ±{error:.3}"),
        (Some(value), None) => format!("{value:.3}"),
        (None, _) => none(),
    }
}

/// A mean of counts.
fn whole(value: f64) -> String {
    count(value.round() as u64)
}

fn none() -> String {
    "-".to_owned()
}
