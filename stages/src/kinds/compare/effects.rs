//! What each arm differs by from the baseline, and how surely.

use std::collections::BTreeSet;

use pipe_engine::kind::StageError;
use pipe_statistics::{
    Bootstrap, Direction, Interval, Judgement, McNemar, Method, NotAsked, OverItems, Power, Verdict, holm_of_asked,
    mcnemar, over_draws, over_items,
};

use super::{
    arms::{Arm, Arms},
    pairing::{self, invalid},
    params::{CompareParams, IntervalEnds},
    table::Cells,
};

/// What `task` says of all items together.
pub(super) const ALL: &str = "all";

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Effect {
    metric: usize,
    task: Option<String>,
    arm: usize,
    /// For questions over items: the draw that is asked.
    draw: Option<String>,
    items: usize,
    draws: usize,
    unpaired: usize,
    means: (Option<f64>, Option<f64>),
    difference: Option<f64>,
    interval: Option<(f64, f64)>,
    p: Option<f64>,
    p_holm: Option<f64>,
    mcnemar: Option<McNemar>,
    smallest: Option<f64>,
    needed: Option<usize>,
    computed: String,
    answer: Answer,
}

/// What the verdict is made of, once all p values are known.
#[derive(Debug, Clone)]
enum Answer {
    Draws(Box<pipe_statistics::OverDraws>),
    Items(Option<Box<OverItems>>),
}

impl Effect {
    fn question(&self) -> &'static str {
        if matches!(self.answer, Answer::Draws(_)) { "draws" } else { "items" }
    }

    fn verdict(&self, params: &CompareParams, metric: &str) -> Judgement {
        let lower = params.lower_is_better.iter().any(|name| name == metric);
        let direction = if lower { Direction::Lower } else { Direction::Higher };
        let (margin, p) = (params.margins.get(metric).copied(), self.p_holm.unwrap_or(f64::NAN));
        match &self.answer {
            Answer::Draws(draws) => Judgement::over_draws(draws, p, params.alpha, margin, direction),
            Answer::Items(Some(items)) => Judgement::over_items(items, p, params.alpha, margin, direction),
            Answer::Items(None) => Judgement { verdict: Verdict::NotAsked(NotAsked::FewItems), weak: false },
        }
    }
}

/// The tasks that any item of any arm has.
pub(super) fn tasks(arms: &Arms) -> Vec<String> {
    let draws = arms.arms.iter().flat_map(|arm| arm.draws.values());
    let tasks: BTreeSet<&String> = draws.flat_map(|draw| draw.tasks.iter().flatten()).collect();
    tasks.into_iter().cloned().collect()
}

/// All answers: by metric, arm and task, over draws first.
pub(super) fn effects(params: &CompareParams, arms: &Arms) -> Result<Vec<Effect>, StageError> {
    let power = Power::new(params.alpha, params.power).map_err(invalid)?;
    let tasks: Vec<Option<String>> = std::iter::once(None).chain(tasks(arms).into_iter().map(Some)).collect();
    let mut found = Vec::new();
    for metric in 0..arms.metrics.len() {
        for arm in 1..arms.arms.len() {
            for task in &tasks {
                found.push(draws(params, arms, (metric, arm), task.as_deref(), &power)?);
                for draw in arms.arms[0].draws.keys().filter(|name| arms.arms[arm].draws.contains_key(*name)) {
                    found.push(items(params, arms, (metric, arm), task.as_deref(), draw, &power)?);
                }
            }
        }
    }
    correct(arms, &mut found);
    Ok(found)
}

fn draws(
    params: &CompareParams,
    arms: &Arms,
    (metric, arm): (usize, usize),
    task: Option<&str>,
    power: &Power,
) -> Result<Effect, StageError> {
    let (of, baseline) = (&arms.arms[arm], &arms.arms[0]);
    let means: Vec<_> = pairing::draws(of, baseline, metric, task)?.into_iter().map(|(_, means)| means).collect();
    let over = over_draws(&means, 1.0 - params.alpha).map_err(invalid)?;
    let test = over.test.ok();
    let computed = match test.map(|test| test.method) {
        None => String::new(),
        Some(Method::Paired) => "t over paired draws".to_owned(),
        Some(Method::Mixed) => "mixed model over draws, Satterthwaite".to_owned(),
        Some(Method::Welch) => "Welch's t over draws".to_owned(),
    };
    Ok(Effect {
        metric,
        task: task.map(str::to_owned),
        arm,
        draw: None,
        items: over.items.1,
        draws: over.paired,
        unpaired: over.only_arm + over.only_baseline,
        means: (over.mean_arm, over.mean_baseline),
        difference: over.difference,
        interval: test.map(|test| (test.low, test.high)),
        p: test.map(|test| test.p),
        p_holm: None,
        mcnemar: None,
        smallest: test.map(|test| test.smallest_effect(power)),
        needed: test.and_then(|test| test.draws_needed(power)),
        computed,
        answer: Answer::Draws(Box::new(over)),
    })
}

fn items(
    params: &CompareParams,
    arms: &Arms,
    (metric, arm): (usize, usize),
    task: Option<&str>,
    draw: &str,
    power: &Power,
) -> Result<Effect, StageError> {
    let (of, baseline) = (&arms.arms[arm], &arms.arms[0]);
    let paired = pairing::pair(&of.draws[draw], &baseline.draws[draw], metric, task)?;
    let pairs = &paired.pairs;
    let how = Bootstrap {
        confidence: 1.0 - params.alpha,
        resamples: params.bootstrap.resamples,
        interval: match params.bootstrap.interval {
            IntervalEnds::Percentile => Interval::Percentile,
            IntervalEnds::Bca => Interval::Bca,
        },
        seed: params.bootstrap.seed,
    };
    let name = [&arms.metrics[metric], &*of.name, task.unwrap_or_default(), draw].join("\n");
    let clusters = params.cluster.is_some().then_some(&*paired.clusters);
    let over = over_items(&pairs.differences(), clusters, &how, &name).map_err(invalid)?;
    let exact = if clusters.is_none() { mcnemar(&pairs.arm, &pairs.baseline).map_err(invalid)? } else { None };
    // Of scores that are right or wrong, McNemar's test is exact.
    let p = exact.map(|test| test.exact).or_else(|| over.as_ref().map(|over| over.p)).filter(|_| over.is_some());
    let computed = match (&over, exact) {
        (None, _) => String::new(),
        (_, Some(_)) => "McNemar, exact".to_owned(),
        (Some(over), _) if over.exhaustive => "sign flips, all".to_owned(),
        _ => format!("sign flips, {}", params.bootstrap.resamples),
    };
    Ok(Effect {
        metric,
        task: task.map(str::to_owned),
        arm,
        draw: Some(draw.to_owned()),
        items: pairs.len(),
        draws: 1,
        unpaired: pairs.only_arm + pairs.only_baseline + pairs.neither + pairs.not_a_number,
        means: (pairs.means().map(|m| m.0), pairs.means().map(|m| m.1)),
        difference: over.as_ref().map(|over| over.difference),
        interval: over.as_ref().and_then(|over| over.interval),
        p,
        p_holm: None,
        mcnemar: exact,
        smallest: over.as_ref().and_then(|over| over.smallest_effect(power)),
        needed: over.as_ref().and_then(|over| over.items_needed(power)),
        computed,
        answer: Answer::Items(over.map(Box::new)),
    })
}

/// Corrects p values within each family: a metric, a factor, a question and its draw; all items apart from tasks.
fn correct(arms: &Arms, effects: &mut [Effect]) {
    let family = |effect: &Effect| {
        let (factor, _) = differing(&arms.arms[effect.arm], &arms.arms[0]);
        (effect.metric, factor, effect.draw.clone(), effect.task.is_some())
    };
    let families: BTreeSet<_> = effects.iter().map(family).collect();
    for wanted in families {
        let members: Vec<usize> = (0..effects.len()).filter(|&i| family(&effects[i]) == wanted).collect();
        let p: Vec<Option<f64>> = members.iter().map(|&i| effects[i].p).collect();
        for (i, corrected) in members.into_iter().zip(holm_of_asked(&p)) {
            effects[i].p_holm = corrected;
        }
    }
}

/// Which factors an arm differs from the baseline by, and its levels there.
pub(super) fn differing(arm: &Arm, baseline: &Arm) -> (String, String) {
    let stage = (arm.input != baseline.input).then(|| ("stage".to_owned(), arm.input.clone()));
    let other = arm.factors.iter().filter(|(name, level)| baseline.factors.get(*name).is_some_and(|of| of != *level));
    let differs: Vec<(String, String)> =
        stage.into_iter().chain(other.map(|(name, level)| (name.clone(), level.clone()))).collect();
    let join = |part: fn(&(String, String)) -> &str| differs.iter().map(part).collect::<Vec<_>>().join(" × ");
    (join(|d| &d.0), join(|d| &d.1))
}

/// The table `effects`.
pub(super) fn table(params: &CompareParams, arms: &Arms, effects: &[Effect]) -> Result<Cells, StageError> {
    let mut cells = Cells::default();
    for effect in effects {
        let (arm, baseline, metric) = (&arms.arms[effect.arm], &arms.arms[0], &arms.metrics[effect.metric]);
        let (factor, level) = differing(arm, baseline);
        let judged = effect.verdict(params, metric);
        cells.text("metric", Some(metric));
        cells.text("question", Some(effect.question()));
        cells.text("task", Some(effect.task.as_deref().unwrap_or(ALL)));
        cells.text("factor", Some(&factor));
        cells.text("level", Some(&level));
        cells.text("arm", Some(&arm.name));
        cells.text("baseline", Some(&baseline.name));
        cells.text("draw", effect.draw.as_deref().filter(|draw| !draw.is_empty()));
        cells.count("draws", Some(effect.draws));
        cells.count("items", Some(effect.items));
        cells.count("unpaired", Some(effect.unpaired));
        cells.number("baseline_mean", effect.means.1);
        cells.number("mean", effect.means.0);
        cells.number("difference", effect.difference);
        cells.number("low", effect.interval.map(|ends| ends.0));
        cells.number("high", effect.interval.map(|ends| ends.1));
        cells.number("p", effect.p);
        cells.number("p_holm", effect.p_holm);
        cells.text("verdict", Some(&judged.verdict.to_string()));
        cells.flag("weak", judged.weak);
        cells.number("smallest", effect.smallest);
        cells.count("needed", effect.needed);
        cells.count("improved", effect.improved());
        cells.count("regressed", effect.regressed());
        cells.text("computed", Some(&effect.computed));
    }
    Ok(cells)
}

impl Effect {
    fn improved(&self) -> Option<usize> {
        match (&self.answer, &self.mcnemar) {
            (Answer::Items(Some(items)), _) => Some(items.improved),
            _ => None,
        }
    }

    fn regressed(&self) -> Option<usize> {
        match (&self.answer, &self.mcnemar) {
            (Answer::Items(Some(items)), _) => Some(items.regressed),
            _ => None,
        }
    }
}
