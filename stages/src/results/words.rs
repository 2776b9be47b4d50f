//! What came out, in sentences. Each says which of the two questions it answers.

use pipe_report::{Comparison, Effect, Metric};

use super::{Study, study::STAGE};

/// Arms of which each has a sentence; of more, they are counted.
const TOLD: usize = 8;

/// The first metric of every study.
pub(super) fn answer(studies: &[Study]) -> Vec<String> {
    studies.iter().flat_map(of_study).collect()
}

fn of_study(study: &Study) -> Vec<String> {
    let comparison = &study.comparison;
    let Some(metric) = comparison.metrics.first() else { return Vec::new() };
    if let Some(why) = &study.not_compared {
        return match study.arms.len() {
            0 => Vec::new(),
            1 => vec![alone(study, metric)],
            n => vec![format!("The {n} arms of {} are not compared: {why}.", comparison.name)],
        };
    }
    let of = |question: &str| -> Vec<&Effect> {
        let is_it = |e: &&Effect| e.task == "all" && e.metric == metric.name && e.question == question;
        comparison.effects.iter().filter(is_it).collect()
    };
    let (over_draws, over_items) = (of("draws"), of("items"));
    let asked: Vec<&Effect> = over_draws.iter().copied().filter(|effect| effect.p.is_some()).collect();
    if !asked.is_empty() {
        let mut lines = told(comparison, metric, &asked);
        if asked.iter().any(|effect| effect.weak) {
            lines.push("Fewer than five draws are weak evidence for a choice of the method.".to_owned());
        }
        return lines;
    }
    let why = over_draws.first().map_or("not asked", |effect| &*effect.verdict);
    let mut lines = vec![format!(
        "Whether the choice is better was {why}. What follows holds for these trained models, and not for the next \
         draw."
    )];
    lines.extend(told(comparison, metric, &over_items));
    lines
}

fn alone(study: &Study, metric: &Metric) -> String {
    let score = study.arms[0].scores.first().copied().unwrap_or_default();
    let mean = score.mean.map_or_else(|| "no score".to_owned(), |mean| format!("{mean:.3}"));
    format!("{}: {} {mean}, one arm, and nothing to hold it against.", study.comparison.name, metric.heading)
}

fn told(comparison: &Comparison, metric: &Metric, effects: &[&Effect]) -> Vec<String> {
    if effects.len() <= TOLD {
        return effects.iter().map(|effect| sentence(comparison, metric, effect)).collect();
    }
    let count = |verdict: &str| effects.iter().filter(|effect| effect.verdict == verdict).count();
    let (better, worse, open) = (count("better"), count("worse"), count("not shown"));
    let mut lines = vec![format!(
        "Of {} arms, {better} are better than {} in {}, {worse} are worse, of {open} neither is shown, and {} were not \
         asked or are the same.",
        effects.len(),
        baseline(comparison),
        metric.heading,
        effects.len() - better - worse - open,
    )];
    let sign = if metric.lower_is_better { -1.0 } else { 1.0 };
    let of = |effect: &&&Effect| sign * effect.difference.unwrap_or(f64::NEG_INFINITY);
    let best = effects.iter().filter(|effect| effect.verdict == "better").max_by(|a, b| of(a).total_cmp(&of(b)));
    lines.extend(best.map(|effect| format!("The largest: {}", sentence(comparison, metric, effect))));
    lines
}

/// The baseline, with its levels of what is ablated.
fn baseline(comparison: &Comparison) -> String {
    let name = &comparison.baseline;
    let arm = comparison.arms.iter().find(|arm| arm.name == *name);
    let levels = arm.iter().flat_map(|arm| &arm.factors).filter(|(factor, _)| factor != STAGE);
    let levels: Vec<String> = levels.map(|(factor, level)| format!("{factor}={level}")).collect();
    if levels.is_empty() { name.clone() } else { format!("{name} ({})", levels.join(", ")) }
}

fn sentence(comparison: &Comparison, metric: &Metric, effect: &Effect) -> String {
    let (arm, baseline) = (&effect.arm, baseline(comparison));
    let sample = match &*effect.question {
        "draws" => format!("{} draws", effect.draws),
        _ => format!("{} items{}", effect.items, effect.draw.as_ref().map(|d| format!(" of {d}")).unwrap_or_default()),
    };
    let Some(difference) = effect.difference else {
        return format!("{arm} against {baseline}: {}.", effect.verdict);
    };
    let interval = match (effect.low, effect.high) {
        (Some(low), Some(high)) => {
            format!(", {} % interval {} to {}", comparison.percent(), signed(low), signed(high))
        }
        _ => String::new(),
    };
    let numbers = format!("{} {}{interval}, {sample}", metric.heading, signed(difference));
    match &*effect.verdict {
        "better" | "worse" => format!("{arm} is {} than {baseline}: {numbers}.", effect.verdict),
        "not shown" => {
            let needed = effect.needed.map(|needed| {
                let what = if effect.question == "draws" { "draws" } else { "items" };
                format!(" A true difference of this size would take {needed} {what} to be seen.")
            });
            format!("{arm} against {baseline}: no difference is shown ({numbers}).{}", needed.unwrap_or_default())
        }
        verdict => format!("{arm} against {baseline}: {verdict} ({numbers})."),
    }
}

/// With a sign, and that for less as it is printed.
fn signed(number: f64) -> String {
    format!("{number:+.3}").replace('-', "−")
}
