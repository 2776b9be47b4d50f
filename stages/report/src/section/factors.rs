//! Scores against each factor, with one thin line per draw: numbers on an axis of their own, names in their order.

use std::collections::BTreeMap;

use super::{factor_names, heading, level, mean_of, some};
use crate::page::{Figure, Page};
use crate::svg::{Plot, Scale, Series, plot};
use crate::text::{number as shown, short};
use crate::{Arm, Comparison, Error, Metric, caps};

/// Means by arm and draw.
type Means<'a> = BTreeMap<(&'a str, Option<&'a str>), f64>;

pub(super) fn write(page: &mut Page, about: &Comparison, place: usize) -> Result<(), Error> {
    let mut figures = Vec::new();
    let mut skipped = Vec::new();
    for (at, factor) in factor_names(about).into_iter().enumerate() {
        let levels = levels(about, factor);
        if groups(about, factor).is_empty() || at >= caps::STAGES {
            skipped.push(factor);
            continue;
        }
        for (metric_at, metric) in about.metrics.iter().take(caps::METRICS).enumerate() {
            let id = format!("factor-{place}-{at}-{metric_at}");
            figures.extend(figure(about, factor, &levels, metric, id, place));
        }
    }
    if figures.is_empty() {
        return Ok(());
    }
    page.part(&format!("factors-{place}"), "Scores by factor");
    page.figures(&figures)?;
    if !skipped.is_empty() {
        page.note(&format!("Without a plot, since no two arms differ by it alone: {}.", some(skipped.into_iter(), 8)));
    }
    if about.metrics.len() > caps::METRICS {
        let (most, all) = (caps::METRICS, about.metrics.len());
        page.note(&format!("The first {most} of {all} metrics have plots; the tables have all."));
    }
    Ok(())
}

/// Levels in their order: by size where all are numbers, otherwise as arms name them.
fn levels<'a>(about: &'a Comparison, factor: &str) -> Vec<&'a str> {
    let mut levels: Vec<&str> = Vec::new();
    for level in about.arms.iter().filter_map(|arm| level(arm, factor)) {
        if !levels.contains(&level) {
            levels.push(level);
        }
    }
    if levels.iter().all(|level| number(level).is_some()) {
        levels.sort_by(|a, b| number(a).unwrap_or(0.0).total_cmp(&number(b).unwrap_or(0.0)));
    }
    levels
}

/// A level that is a number.
pub(super) fn number(level: &str) -> Option<f64> {
    level.trim().replace([',', '_'], "").parse().ok().filter(|x: &f64| x.is_finite())
}

fn figure(
    about: &Comparison,
    factor: &str,
    levels: &[&str],
    metric: &Metric,
    id: String,
    place: usize,
) -> Option<Figure> {
    let of_metric = about.means.iter().filter(|mean| mean.metric == metric.name && mean.task == "all");
    let means: Means = of_metric
        .filter_map(|mean| Some(((mean.arm.as_str(), mean.draw.as_deref()), mean.mean.filter(|x| x.is_finite())?)))
        .collect();
    let mut draws: Vec<Option<&str>> = means.keys().map(|(_, draw)| *draw).collect();
    draws.sort_unstable();
    draws.dedup();
    let numbers: Option<Vec<f64>> = levels.iter().map(|level| number(level)).collect();
    let numeric = numbers.is_some();
    let x_of = |arm: &Arm| {
        let level = level(arm, factor)?;
        let at = levels.iter().position(|other| *other == level)?;
        Some(numbers.as_ref().map_or(at as f64, |numbers| numbers[at]))
    };
    let groups = groups(about, factor);
    let mut series = Vec::new();
    for (group, (name, arms)) in groups.iter().enumerate().take(caps::ANSWERS) {
        let mut arms: Vec<(f64, &str)> = arms.iter().filter_map(|arm| Some((x_of(arm)?, arm.name.as_str()))).collect();
        arms.sort_by(|a, b| a.0.total_cmp(&b.0));
        let name = if name.is_empty() { "mean".to_owned() } else { name.clone() };
        let with = |draw: Option<&str>| {
            arms.iter().filter_map(|&(x, arm)| Some((x, *means.get(&(arm, draw))?))).collect::<Vec<_>>()
        };
        if draws.len() > 1 {
            for draw in &draws {
                let title = draw.map_or(name.clone(), |draw| format!("draw {draw}"));
                series.push(line(title, group, true, true, with(*draw)));
            }
        }
        let mean = |arm: &str| mean_of(draws.iter().filter_map(|draw| means.get(&(arm, *draw)).copied()));
        let points: Vec<(f64, f64)> = arms.iter().filter_map(|&(x, arm)| Some((x, mean(arm)?))).collect();
        series.push(line(name, group, false, numeric, points));
    }
    if series.iter().all(|series| series.points.is_empty()) {
        return None;
    }
    let name = heading(&metric.heading, &metric.name);
    let said: Vec<String> = series
        .iter()
        .filter(|series| !series.thin)
        .flat_map(|series| {
            series.points.iter().map(|&(x, y)| format!("{} at {}", shown(Some(y)), at(x, levels, numeric)))
        })
        .collect();
    let label = format!("{name} by {factor}, means: {}.", some(said.iter().map(String::as_str), 12));
    let scale = match &numbers {
        Some(numbers) => Scale::of_levels(numbers),
        None => Scale::Names(levels.iter().map(|level| short(level, 40)).collect()),
    };
    let logarithmic = if matches!(scale, Scale::Log { .. }) { ", logarithmic" } else { "" };
    let y = Scale::around(series.iter().flat_map(|series| series.points.iter().map(|point| point.1)));
    let thin = if draws.len() > 1 { "Thin: one draw each; thick: their mean." } else { "One draw." };
    let more = if groups.len() > caps::ANSWERS {
        format!(" {} of {} combinations of the other factors are drawn.", caps::ANSWERS, groups.len())
    } else {
        String::new()
    };
    let less = if metric.lower_is_better { " (less is better)" } else { "" };
    let x_name = format!("{}{logarithmic}", short(factor, 40));
    let ticks = numbers.filter(|numbers| numbers.len() <= 8).unwrap_or_default();
    let svg = plot(&Plot { x: scale, ticks, x_name, y, y_name: format!("{name}{less}"), series, wide: false, label });
    let caption = format!("{thin}{more}");
    let title = format!("{name} by {}", short(factor, 40));
    Some(Figure { id, title, caption, svg, data: Some(format!("means-{place}")) })
}

fn line(name: String, place: usize, thin: bool, joined: bool, points: Vec<(f64, f64)>) -> Series {
    // Where there are very many levels, the line alone is clearer.
    let marks = points.len() <= 60;
    Series { name, place, thin, marks, joined: joined || !marks, dashed: false, points }
}

fn at(x: f64, levels: &[&str], numeric: bool) -> String {
    if numeric { format!("{x}") } else { levels.get(x as usize).map_or(String::new(), |level| (*level).to_owned()) }
}

/// Arms that differ by this factor alone, under the words of what they have in common.
fn groups<'a>(about: &'a Comparison, factor: &str) -> Vec<(String, Vec<&'a Arm>)> {
    let mut groups: Vec<(String, Vec<&Arm>)> = Vec::new();
    for arm in about.arms.iter().filter(|arm| level(arm, factor).is_some()) {
        let others = arm.factors.iter().filter(|(name, _)| name != factor);
        let words: Vec<String> =
            others.map(|(name, level)| format!("{}={}", short(name, 24), short(level, 24))).collect();
        let words = words.join(", ");
        match groups.iter_mut().find(|(name, _)| *name == words) {
            Some((_, arms)) => arms.push(arm),
            None => groups.push((words, vec![arm])),
        }
    }
    // A single arm of a combination shows nothing of this factor.
    groups.retain(|(_, arms)| arms.len() > 1);
    if groups.len() == 1 {
        groups[0].0.clear();
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(levels: &[(&str, &str)]) -> Comparison {
        let arm = |(size, method): &(&str, &str)| Arm {
            name: format!("{size} {method}"),
            factors: vec![("size".to_owned(), (*size).to_owned()), ("method".to_owned(), (*method).to_owned())],
            ..Arm::default()
        };
        Comparison { arms: levels.iter().map(arm).collect(), ..Comparison::default() }
    }

    #[test]
    fn levels_that_are_numbers_are_sorted_by_size_and_others_stand_as_they_come() {
        let about = about(&[("5,000", "lora"), ("10_000", "full"), ("1e3", "lora")]);
        assert_eq!(levels(&about, "size"), ["1e3", "5,000", "10_000"]);
        assert_eq!(levels(&about, "method"), ["lora", "full"]);
        assert_eq!([number("inf"), number("NaN"), number("x")], [None; 3]);
    }

    #[test]
    fn arms_of_a_matrix_are_lines_by_what_they_have_in_common() {
        let matrix = about(&[("1", "lora"), ("2", "lora"), ("1", "full"), ("2", "full"), ("1", "none")]);
        let names = |factor: &str| groups(&matrix, factor).into_iter().map(|(name, arms)| (name, arms.len()));
        let group = |name: &str, n: usize| (name.to_owned(), n);
        assert!(names("size").eq([group("method=lora", 2), group("method=full", 2)]));
        assert!(names("method").eq([group("size=1", 3), group("size=2", 2)]));
        // One factor at a time: the line goes through the baseline, and nothing needs a name.
        let one = about(&[("1", "lora"), ("2", "lora"), ("1", "full")]);
        assert!(groups(&one, "size").into_iter().map(|(name, arms)| (name, arms.len())).eq([group("", 2)]));
    }
}
