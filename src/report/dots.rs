//! A metric against arms, in characters that every terminal and log has.

use pipe_report::Comparison;
use unicode_width::UnicodeWidthStr;

use crate::output::fold;

/// Arms that a plot has room for.
const ROWS: usize = 24;
/// What a label takes at most.
const LABEL: usize = 24;
/// What a plot takes at most, however wide the terminal is.
const WIDE: usize = 80;
/// What the stage of an arm is called among its factors.
const STAGE: &str = "stage";
/// Less room than this for the dots says nothing.
const NARROW: usize = 20;

/// The first metric: a line for each arm, with a dot for each draw and an `o` for their mean; `|` goes down from the
/// baseline's. Nothing, where there is nothing to see: one arm, too many, or no room.
pub(crate) fn plot(comparison: &Comparison, columns: Option<usize>) -> Vec<String> {
    let Some(metric) = comparison.metrics.first() else { return Vec::new() };
    let draws: Vec<(String, Vec<f64>)> = (comparison.arms.iter())
        .map(|arm| {
            let of = comparison
                .means
                .iter()
                .filter(|mean| mean.metric == metric.name && mean.arm == arm.name && mean.task == "all");
            (label(comparison, arm), of.filter_map(|mean| mean.mean).filter(|mean| mean.is_finite()).collect())
        })
        .collect();
    let all: Vec<f64> = draws.iter().flat_map(|(_, draws)| draws).copied().collect();
    let (low, high) = all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &x| (l.min(x), h.max(x)));
    let shown = draws.iter().filter(|(_, draws)| !draws.is_empty()).count();
    let labels = draws.iter().map(|(label, _)| label.width()).max().unwrap_or(0).max(metric.heading.width());
    let room = columns.unwrap_or(WIDE).min(WIDE).saturating_sub(labels + 3);
    if shown < 2 || draws.len() > ROWS || room < NARROW || low >= high {
        return Vec::new();
    }
    let place = |value: f64| ((value - low) / (high - low) * (room - 1) as f64).round() as usize;
    let mean = |draws: &[f64]| draws.iter().sum::<f64>() / draws.len() as f64;
    let baseline = (comparison.arms.iter().position(|arm| arm.name == comparison.baseline))
        .map(|at| &draws[at].1)
        .filter(|draws| !draws.is_empty())
        .map(|draws| place(mean(draws)));
    let (from, to) = (format!("{low:.3}"), format!("{high:.3}"));
    let mut lines = vec![format!("{:labels$}  {from}{to:>width$}", metric.heading, width = room - from.len())];
    for (label, draws) in &draws {
        let mut line = vec![' '; room];
        if let Some(baseline) = baseline {
            line[baseline] = '|';
        }
        if draws.is_empty() {
            lines.push(format!("{label:labels$}  no result"));
            continue;
        }
        for draw in draws {
            line[place(*draw)] = '.';
        }
        line[place(mean(draws))] = 'o';
        let padding = " ".repeat(labels - label.width());
        lines.push(format!("{label}{padding}  {}", line.into_iter().collect::<String>().trim_end()));
    }
    if draws.iter().any(|(_, draws)| draws.len() > 1) {
        lines.push("o mean, . draws, | the baseline".to_owned());
    }
    lines
}

/// The levels of an arm, with their factor where there are several, and the stage where it is another one than the
/// baseline's; its name, where it has no level.
fn label(comparison: &Comparison, arm: &pipe_report::Arm) -> String {
    let of_baseline = comparison.arms.iter().find(|arm| arm.name == comparison.baseline);
    let stage =
        |arm: &pipe_report::Arm| arm.factors.iter().find(|(name, _)| name == STAGE).map(|(_, stage)| stage.clone());
    let is_own = of_baseline.map(stage) == Some(stage(arm));
    let levels = |arm: &pipe_report::Arm| arm.factors.iter().filter(|(name, _)| name != STAGE).count();
    let is_one = comparison.arms.iter().all(|of| levels(of) < 2);
    let of_stage = stage(arm).filter(|_| !is_own || levels(arm) == 0);
    let others = arm.factors.iter().filter(|(name, _)| name != STAGE);
    let others = others.map(|(name, level)| if is_one { level.clone() } else { format!("{name}={level}") });
    let all: Vec<String> = of_stage.into_iter().chain(others).collect();
    fold(&if all.is_empty() { arm.name.clone() } else { all.join(" ") }, LABEL)
}

#[cfg(test)]
mod tests {
    use pipe_report::{Arm, Mean, Metric};

    use super::*;

    fn study(draws: &[(&str, &[f64])]) -> Comparison {
        let arm = |(name, _): &(&str, &[f64])| Arm {
            name: (*name).to_owned(),
            factors: vec![("n".to_owned(), (*name).to_owned())],
            ..Arm::default()
        };
        let means = |(name, draws): &(&str, &[f64])| {
            let mean = |mean: &f64| Mean {
                metric: "f1".into(),
                arm: (*name).to_owned(),
                task: "all".into(),
                mean: Some(*mean),
                ..Mean::default()
            };
            draws.iter().map(mean).collect::<Vec<_>>()
        };
        Comparison {
            baseline: draws[0].0.to_owned(),
            metrics: vec![Metric { name: "f1".into(), heading: "F1".into(), ..Metric::default() }],
            arms: draws.iter().map(arm).collect(),
            means: draws.iter().flat_map(means).collect(),
            ..Comparison::default()
        }
    }

    #[test]
    fn dots_stand_where_the_means_are() {
        let drawn = plot(&study(&[("20", &[0.1, 0.3]), ("40", &[0.5, 0.5]), ("bad", &[])]), Some(30));
        assert_eq!(
            drawn,
            [
                "F1   0.100              0.500",
                "20   .     o    .",
                "40         |                o",
                "bad  no result",
                "o mean, . draws, | the baseline",
            ]
        );
        assert!(drawn.iter().all(|line| line.is_ascii() && line.len() <= 31), "{drawn:?}");
    }

    #[test]
    fn where_there_is_nothing_to_see_nothing_is_drawn() {
        let none: [String; 0] = [];
        assert_eq!(plot(&study(&[("20", &[0.1])]), None), none);
        assert_eq!(plot(&study(&[("20", &[0.1]), ("40", &[0.1])]), None), none, "all the same");
        assert_eq!(plot(&study(&[("20", &[0.1]), ("40", &[f64::NAN])]), None), none);
        assert_eq!(plot(&study(&[("20", &[0.1]), ("40", &[0.2])]), Some(20)), none, "no room");
        assert_eq!(plot(&Comparison::default(), None), none);
    }
}
