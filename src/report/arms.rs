//! The table of arms.

use pipe_engine::events::{Arm, ArmScore};
use serde_json::Value;

use crate::output::{Table, count, seconds, visible_width};

/// The variant with the values in `vars`.
const BASELINE: &str = "baseline";
/// Rows shown; the rest is in the results.
const SHOWN: usize = 60;

/// One row per arm: its factors, scores with standard errors, yield, counts, time and reuse. The second value is how
/// many rows were left out. Where that is wider than so many `columns`, the last ones are left out, and then texts cut.
pub(crate) fn table(arms: &[Arm], columns: Option<usize>, names_stages: bool) -> (Table, usize) {
    for left_out in 0..=LEAVES_OUT {
        let (mut table, rows) = table_with(arms, left_out, names_stages);
        let fits = columns.is_none_or(|columns| table.lines(false).iter().all(|line| visible_width(line) <= columns));
        if fits || left_out == LEAVES_OUT {
            if let Some(columns) = columns {
                table.fit(columns);
            }
            return (table, rows);
        }
    }
    unreachable!("the last one is returned")
}

/// Whether it takes a stage's name to say which arm is meant.
pub(super) fn names_stages(arms: &[Arm]) -> bool {
    arms.iter().all(|arm| arm.factors.is_empty()) || arms.iter().any(|arm| arm.stage != arms[0].stage)
}

/// The arms in tables of their own, by what they are scored in: those of two metrics that no stage has both of would
/// leave each other's columns empty.
pub(super) fn by_scores(arms: &[Arm]) -> Vec<Vec<Arm>> {
    let mut tables: Vec<Vec<usize>> = Vec::new();
    for (at, arm) in arms.iter().enumerate() {
        let is_scored_as = |other: &usize| {
            let other = &arms[*other];
            let mut named = other.scores.iter().map(|score| &score.name);
            other.stage == arm.stage || named.any(|name| arm.scores.iter().any(|score| score.name == *name))
        };
        // One that is scored in both joins two tables.
        let (joined, apart): (Vec<_>, Vec<_>) = tables.into_iter().partition(|table| table.iter().any(is_scored_as));
        let mut table: Vec<usize> = joined.into_iter().flatten().chain([at]).collect();
        table.sort_unstable();
        tables = apart;
        tables.push(table);
    }
    tables.sort();
    tables.into_iter().map(|table| table.into_iter().map(|at| arms[at].clone()).collect()).collect()
}

/// Groups of columns that may be left out: reuse, time, counts, yield.
const LEAVES_OUT: usize = 4;

fn table_with(arms: &[Arm], left_out: usize, names_stages: bool) -> (Table, usize) {
    let mut columns = Columns { stage: names_stages, ..Columns::of(arms) };
    columns.leave_out(left_out);
    let mut table = Table::new(&columns.headings().iter().map(String::as_str).collect::<Vec<_>>());
    for arm in arms.iter().take(SHOWN) {
        table.row(columns.cells(arm));
    }
    (table, arms.len().saturating_sub(SHOWN))
}

/// What the signs in the table mean.
pub(super) fn legend(arms: &[Arm]) -> Option<String> {
    let signs = Signs::of(arms);
    let signs = [
        signs.errors.then_some("± standard error of the mean over items"),
        signs.baseline.then_some("* the baseline, the values in `vars`"),
    ];
    let told: Vec<&str> = signs.into_iter().flatten().collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// The signs that are used.
struct Signs {
    errors: bool,
    baseline: bool,
}

impl Signs {
    fn of(arms: &[Arm]) -> Self {
        let shown = || arms.iter().take(SHOWN);
        Self {
            errors: shown().flat_map(|arm| &arm.scores).any(|score| score.standard_error.is_some()),
            baseline: shown().any(|arm| is_baseline(arm, arms)),
        }
    }
}

/// Whether it is the baseline's, and not one that all variants share.
fn is_baseline(arm: &Arm, arms: &[Arm]) -> bool {
    let others = || arms.iter().flat_map(|arm| &arm.variants).filter(|variant| *variant != BASELINE);
    arm.variants.iter().any(|variant| variant == BASELINE) && !others().all(|other| arm.variants.contains(other))
}

/// The columns that any of the arms has something in.
struct Columns<'a> {
    arms: &'a [Arm],
    baseline: bool,
    stage: bool,
    factors: Vec<&'a str>,
    /// Names and headings.
    scores: Vec<(&'a str, &'a str)>,
    kept: bool,
    /// Names and headings.
    counts: Vec<(&'a str, &'a str)>,
    time: bool,
    reuse: bool,
}

impl<'a> Columns<'a> {
    fn of(arms: &'a [Arm]) -> Self {
        let factors = distinct(arms.iter().flat_map(|arm| arm.factors.keys().map(String::as_str)));
        Self {
            arms,
            baseline: Signs::of(arms).baseline,
            stage: false,
            factors,
            scores: scores(arms),
            kept: arms.iter().any(|arm| arm.kept.is_some()),
            counts: distinct(arms.iter().flat_map(|a| a.counts.iter().map(|c| (c.name.as_str(), c.heading.as_str())))),
            time: true,
            reuse: true,
        }
    }

    fn leave_out(&mut self, groups: usize) {
        self.reuse = groups < 1;
        self.time = groups < 2;
        if groups > 2 {
            self.counts.clear();
        }
        self.kept &= groups < 4;
    }

    fn headings(&self) -> Vec<String> {
        let mut headings = Vec::new();
        headings.extend(self.baseline.then(String::new));
        headings.extend(self.stage.then(|| "stage".to_owned()));
        headings.extend(self.factors.iter().map(|&name| name.to_owned()));
        headings.extend(self.scores.iter().map(|(_, heading)| format!(">{heading}")));
        headings.extend(self.kept.then(|| ">kept of attempted".to_owned()));
        headings.extend(self.counts.iter().map(|(_, heading)| format!(">{heading}")));
        headings.extend(self.time.then(|| ">time".to_owned()));
        headings.extend(self.reuse.then_some([">of which now", ">reused"]).into_iter().flatten().map(str::to_owned));
        headings
    }

    fn cells(&self, arm: &Arm) -> Vec<String> {
        let mut cells = Vec::new();
        cells.extend(self.baseline.then(|| if is_baseline(arm, self.arms) { "*" } else { "" }.to_owned()));
        cells.extend(self.stage.then(|| arm.stage.clone()));
        cells.extend(self.factors.iter().map(|&name| arm.factors.get(name).map_or_else(String::new, value)));
        cells.extend(
            self.scores.iter().map(|(name, _)| arm.scores.iter().find(|s| s.name == *name).map_or_else(none, score)),
        );
        cells.extend(self.kept.then(|| {
            arm.kept.map_or_else(none, |y| {
                let share = 100.0 * y.kept as f64 / y.attempted.max(1) as f64;
                format!("{} of {} ({share:.0}%)", count(y.kept), count(y.attempted))
            })
        }));
        let counted = |(name, _): &(&str, &str)| {
            arm.counts.iter().find(|c| c.name == *name).map_or_else(none, |c| count(c.count))
        };
        cells.extend(self.counts.iter().map(counted));
        let paid = if arm.seconds_paid > 0.0 { seconds(arm.seconds_paid) } else { none() };
        cells.extend(self.time.then(|| seconds(arm.seconds)));
        let reuse = [paid, format!("{} of {}", arm.reused, arm.stages)];
        cells.extend(self.reuse.then_some(reuse).into_iter().flatten());
        cells
    }
}

/// Names and headings of the scores that any arm has. One name is one column, whatever stages call it.
fn scores(arms: &[Arm]) -> Vec<(&str, &str)> {
    let mut scores: Vec<(&str, &str)> = Vec::new();
    for score in arms.iter().flat_map(|arm| &arm.scores).filter(|score| score.value.is_some()) {
        if !scores.iter().any(|(name, _)| *name == score.name) {
            scores.push((&score.name, &score.heading));
        }
    }
    scores
}

/// In order of first appearance.
fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

fn none() -> String {
    "-".to_owned()
}

fn value(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn score(score: &ArmScore) -> String {
    match (score.value, score.standard_error) {
        (Some(value), Some(error)) => format!("{value:.3} ±{error:.3}"),
        (Some(value), None) => format!("{value:.3}"),
        (None, _) => none(),
    }
}

#[cfg(test)]
mod tests {
    use pipe_engine::events::{ArmCount, ArmYield};
    use serde_json::json;

    use super::*;

    /// An arm that took a second, scored 0.5 in each of these.
    fn arm(stage: &str, variant: &str, scores: &[(&str, &str)], standard_error: Option<f64>) -> Arm {
        let score = |(name, heading): &(&str, &str)| ArmScore {
            name: (*name).to_owned(),
            heading: (*heading).to_owned(),
            value: Some(0.5),
            standard_error,
        };
        Arm {
            stage: stage.to_owned(),
            variants: vec![variant.to_owned()],
            factors: [].into_iter().collect(),
            scores: scores.iter().map(score).collect(),
            kept: None,
            counts: Vec::new(),
            seconds: 1.0,
            seconds_paid: 0.0,
            stages: 1,
            reused: 1,
        }
    }

    #[test]
    fn arms_stand_under_their_factors() {
        let score = |value, standard_error| ArmScore { name: "f1".into(), heading: "F1".into(), value, standard_error };
        let arm = |n: u64, value, kept| Arm {
            stage: "score".into(),
            variants: vec![format!("n={n}")],
            factors: [("n".to_owned(), json!(n))].into_iter().collect(),
            scores: vec![value],
            kept,
            counts: vec![ArmCount { name: "t".into(), heading: "trained".into(), count: 1234 * n }],
            seconds: 12.0,
            seconds_paid: if n == 0 { 0.0 } else { 2.5 },
            stages: 5,
            reused: 3,
        };
        let base = Arm { stage: "base".into(), factors: [].into_iter().collect(), ..arm(0, score(None, None), None) };
        let arms = [base, arm(1000, score(Some(0.12345), Some(0.01)), Some(ArmYield { attempted: 1100, kept: 990 }))];
        let mut out = Vec::new();
        table(&arms, None, names_stages(&arms)).0.write(&mut out, false).unwrap();
        let expect = "stage  n               F1   kept of attempted    trained   time  of which now  reused\n\
                      base                    -                   -          0  12.0s             -  3 of 5\n\
                      score  1000  0.123 ±0.010  990 of 1,100 (90%)  1,234,000  12.0s          2.5s  3 of 5\n";
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }

    #[test]
    fn what_has_no_score_in_common_stands_in_tables_of_its_own() {
        let arm = |stage: &str, names: &[&str]| {
            let headings: Vec<String> = names.iter().map(|name| format!("{name} of {stage}")).collect();
            let scores: Vec<_> = names.iter().copied().zip(headings.iter().map(String::as_str)).collect();
            arm(stage, stage, &scores, None)
        };
        let arms = [arm("a", &["f1", "em"]), arm("style", &["polite"]), arm("b", &["f1"])];
        let tables = by_scores(&arms);
        assert_eq!(tables.len(), 2);
        let lines = |arms: &[Arm]| table(arms, None, true).0.lines(false);
        assert_eq!(lines(&tables[0])[0], "stage  f1 of a  em of a  time  of which now  reused", "one column to a name");
        assert_eq!(lines(&tables[0])[2], "b        0.500        -  1.0s             -  1 of 1");
        let joined = [arm("a", &["f1"]), arm("style", &["polite"]), arm("b", &["f1", "polite"])];
        assert_eq!(by_scores(&joined).len(), 1, "one that has both joins them");
        assert!(lines(&tables[1])[0].starts_with("stage  polite of style  time"), "{:?}", lines(&tables[1]));
    }

    #[test]
    fn the_baseline_is_marked_and_signs_are_explained() {
        let arm = |variant: &str, standard_error| Arm {
            factors: [("n".to_owned(), json!(variant.len()))].into_iter().collect(),
            ..arm("score", variant, &[("f1", "F1")], standard_error)
        };
        let arms = [arm("baseline", Some(0.01)), arm("n=3", Some(0.01))];
        let lines = table(&arms, None, names_stages(&arms)).0.lines(false);
        assert_eq!(lines[1], "*  8  0.500 ±0.010  1.0s             -  1 of 1");
        assert_eq!(lines[2], "   3  0.500 ±0.010  1.0s             -  1 of 1");
        assert_eq!(
            legend(&arms).unwrap(),
            "± standard error of the mean over items; * the baseline, the values in `vars`"
        );
        assert_eq!(legend(&[arm("baseline", None)]), None);
        let narrow = table(&arms, Some(34), false).0.lines(false);
        assert_eq!(narrow[0], "   n            F1  time", "what says least goes first");
        assert_eq!(table(&arms, Some(20), false).0.lines(false)[1], "*  8  0.500 ±0.010");
        let shared = Arm { variants: vec!["baseline".into(), "n=3".into()], ..arm("n=3", None) };
        assert!(!is_baseline(&shared, &[arms[0].clone(), shared.clone()]), "that of all variants");
    }
}
