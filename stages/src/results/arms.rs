//! What is told of each arm beside its effects.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use pipe_cache::StoreError;
use pipe_engine::{events, kind::StageError, pipeline::NodeId};
use pipe_report::{Arm, Comparison, Item, Metric};
use pipe_statistics::clustered_error;

use super::{
    Looked, Score, Study, StudyArm, differing,
    study::{From, STAGE},
};
use crate::{
    comparison::{self, Arms, CompareParams},
    kinds::score,
};

/// Items whose scores are kept for the map of items and arms.
const ITEMS: usize = 1000;
/// Arms in that map.
const MAPPED: usize = 60;

/// Arms and items, without effects, and without what stands behind them.
pub(super) fn plain(name: String, params: &CompareParams, arms: &Arms) -> Comparison {
    let metric = |(name, signature): (&String, &Option<String>)| Metric {
        name: name.clone(),
        heading: name.clone(),
        signature: signature.clone(),
        lower_is_better: params.less_is_better(name),
    };
    let several = arms.all.iter().any(|of| of.input != arms.all[0].input);
    let arm = |arm: &comparison::Arm| {
        let stage = several.then(|| (STAGE.to_owned(), arm.input.clone()));
        let factors = arm.factors.iter().map(|(name, level)| (name.clone(), level.clone()));
        Arm { name: arm.name.clone(), factors: stage.into_iter().chain(factors).collect(), quantities: Vec::new() }
    };
    let (items, items_left_out) = items(arms);
    Comparison {
        name,
        baseline: arms.all[0].name.clone(),
        metrics: arms.metrics.iter().zip(&arms.signatures).map(metric).collect(),
        arms: arms.all.iter().map(arm).collect(),
        draws: arms.draws().into_iter().filter(|draw| !draw.is_empty()).cloned().collect(),
        confidence: 1.0 - params.alpha,
        clusters: params.cluster.is_some().then(|| clusters(&arms.all[0])),
        items,
        items_left_out,
        ..Comparison::default()
    }
}

/// How many clusters of items an arm has, the most of a draw.
fn clusters(arm: &comparison::Arm) -> usize {
    let of = |draw: &Arc<comparison::Draw>| {
        let numbers: BTreeSet<usize> = draw.numbered(draw.ids.iter().map(|id| &**id)).into_iter().collect();
        numbers.len()
    };
    arm.draws.values().map(of).max().unwrap_or(0)
}

/// Arms with their scores and quantities, without effects.
pub(super) fn described(
    looked: &Looked<'_>,
    name: String,
    params: &CompareParams,
    arms: &Arms,
    from: &[From],
) -> Result<Study, StoreError> {
    let nodes: Vec<Vec<(String, NodeId)>> = arms.all.iter().map(|arm| nodes(looked, arm, from)).collect();
    let mut comparison = plain(name, params, arms);
    let headings: BTreeMap<String, String> =
        nodes.iter().flatten().flat_map(|&(_, node)| looked.scores(node)).collect();
    for metric in &mut comparison.metrics {
        metric.heading = headings.get(&metric.name).unwrap_or(&metric.name).clone();
    }
    let most = arms.draws().len();
    let told: Vec<StudyArm> =
        arms.all.iter().zip(&nodes).map(|(arm, nodes)| told(looked, arms, arm, nodes, most)).collect();
    let (quantities, cells) = quantities(&told);
    comparison.quantities = quantities;
    for ((arm, cells), of) in comparison.arms.iter_mut().zip(cells).zip(&arms.all) {
        arm.quantities = cells;
        if let Some((_, stage)) = arm.factors.iter_mut().find(|(name, _)| name == STAGE) {
            *stage = stage_name(looked, &of.input, from);
        }
    }
    comparison.differing = differing::parameters(looked, arms, &nodes)?;
    comparison.records_read = true;
    Ok(Study { comparison, arms: told, not_compared: None, tasks_left_out: false })
}

/// Arms that cannot be compared, as the table of arms has them.
pub(super) fn uncompared(looked: &Looked<'_>, name: String, from: &[From], error: &StageError) -> Study {
    let stages: Vec<String> = from.iter().map(|of| stage_name(looked, &of.input, from)).collect();
    let arms: Vec<&events::Arm> = looked.arms.iter().filter(|arm| stages.contains(&arm.stage)).collect();
    let mut metrics: Vec<Metric> = Vec::new();
    for score in arms.iter().flat_map(|arm| &arm.scores) {
        if !metrics.iter().any(|metric| metric.name == score.name) {
            metrics.push(Metric { name: score.name.clone(), heading: score.heading.clone(), ..Metric::default() });
        }
    }
    let told: Vec<StudyArm> = arms
        .iter()
        .map(|arm| {
            let score = |metric: &Metric| {
                let score = arm.scores.iter().find(|score| score.name == metric.name);
                score.map(|of| Score { mean: of.value, standard_error: of.standard_error }).unwrap_or_default()
            };
            StudyArm {
                stage: arm.stage.clone(),
                variants: arm.variants.clone(),
                scores: metrics.iter().map(score).collect(),
                draws: 1,
                ..quantity(&[arm])
            }
        })
        .collect();
    let (quantities, cells) = quantities(&told);
    let arms =
        arms.iter().zip(cells).map(|(arm, quantities)| Arm {
            name: if arm.factors.is_empty() { arm.stage.clone() } else { arm.variants[0].clone() },
            factors: (stages.len() > 1)
                .then(|| (STAGE.to_owned(), arm.stage.clone()))
                .into_iter()
                .chain(arm.factors.iter().map(|(name, value)| {
                    (name.clone(), value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                }))
                .collect(),
            quantities,
        });
    Study {
        comparison: Comparison { name, metrics, arms: arms.collect(), quantities, ..Comparison::default() },
        arms: told,
        not_compared: Some(error.to_string()),
        tasks_left_out: false,
    }
}

/// The nodes of an arm, by draw.
fn nodes(looked: &Looked<'_>, arm: &comparison::Arm, from: &[From]) -> Vec<(String, NodeId)> {
    let Some(from) = from.iter().find(|of| of.input == arm.input) else { return Vec::new() };
    let of = |(name, draw): (&String, &Arc<comparison::Draw>)| {
        let is_it = |variant: Option<usize>| {
            variant.map(|variant| &looked.pipeline.variants[variant].name) == draw.variant.as_ref()
        };
        from.nodes.iter().find(|(variant, _)| is_it(*variant)).map(|&(_, node)| (name.clone(), node))
    };
    arm.draws.iter().filter_map(of).collect()
}

/// The stage behind an input.
fn stage_name(looked: &Looked<'_>, input: &str, from: &[From]) -> String {
    let node = from.iter().find(|of| of.input == input).and_then(|of| of.nodes.first());
    node.map_or_else(|| input.to_owned(), |&(_, node)| looked.pipeline.stages[looked.stage_of(node)].name.clone())
}

fn told(looked: &Looked<'_>, arms: &Arms, arm: &comparison::Arm, nodes: &[(String, NodeId)], most: usize) -> StudyArm {
    let is_of = |told: &&events::Arm, node: &NodeId| {
        let placements = &looked.pipeline.graph[*node].placements;
        let variant = &looked.pipeline.variants[placements[0].0 as usize].name;
        told.stage == looked.pipeline.stages[placements[0].1 as usize].name && told.variants.contains(variant)
    };
    let distinct: BTreeSet<NodeId> = nodes.iter().map(|&(_, node)| node).collect();
    let of: Vec<&events::Arm> =
        distinct.iter().filter_map(|node| looked.arms.iter().find(|told| is_of(told, node))).collect();
    // What is the same in all draws is one sample.
    let mut draws: Vec<&comparison::Draw> = Vec::new();
    for draw in arm.draws.values() {
        if !draws.iter().any(|known| known.content == draw.content) {
            draws.push(draw);
        }
    }
    // Of texts together, as the stage's own table has them: a mean of texts would be another number of that name.
    let together = |name: &str| {
        let own: Vec<&events::ArmScore> =
            of.iter().filter_map(|arm| arm.scores.iter().find(|score| score.name == name)).collect();
        match &*own {
            // A table of somebody else's has none.
            [] => None,
            [score] => Some(Score { mean: score.value, standard_error: score.standard_error }),
            all => {
                let values: Vec<f64> = all.iter().filter_map(|score| score.value).collect();
                let (mean, standard_error) = mean_and_error(&values);
                Some(Score { mean, standard_error })
            }
        }
    };
    let of_items = |metric: usize| match &*draws {
        [] => Score::default(),
        [draw] => one(draw, metric),
        draws => {
            let means: Vec<f64> = draws.iter().filter_map(|draw| one(draw, metric).mean).collect();
            // Draws that happen to agree still weigh as many as they are, as they do in the difference.
            let all: Vec<f64> = arm.draws.values().filter_map(|draw| one(draw, metric).mean).collect();
            Score { mean: mean_and_error(&all).0, standard_error: mean_and_error(&means).1 }
        }
    };
    let score = |metric: usize| {
        let name = &arms.metrics[metric];
        score::is_of_all_texts(name).then(|| together(name)).flatten().unwrap_or_else(|| of_items(metric))
    };
    StudyArm {
        stage: of.first().map_or_else(|| arm.input.clone(), |of| of.stage.clone()),
        variants: of.iter().flat_map(|of| of.variants.iter().cloned()).collect(),
        scores: (0..arms.metrics.len()).map(score).collect(),
        nodes: nodes.iter().map(|(draw, node)| (draw.clone(), node.index() as u32)).collect(),
        draws: draws.len(),
        draws_missing: most - arm.draws.len(),
        items: draws.iter().map(|draw| draw.ids.len()).max().unwrap_or(0),
        ..quantity(&of)
    }
}

/// The mean over the items of a draw, and its standard error.
fn one(draw: &comparison::Draw, metric: usize) -> Score {
    let scored = draw.ids.iter().zip(&draw.scores[metric]);
    let (ids, scores): (Vec<&str>, Vec<f64>) =
        scored.filter_map(|(id, score)| Some((&**id, score.filter(|score| score.is_finite())?))).unzip();
    let (mean, standard_error) = mean_and_error(&scores);
    if draw.clusters.iter().all(Option::is_none) {
        return Score { mean, standard_error };
    }
    // What belongs together says less of the mean than as many items would.
    let clustered = clustered_error(&scores, &draw.numbered(ids.into_iter()));
    Score { mean, standard_error: clustered.ok().flatten() }
}

fn mean_and_error(values: &[f64]) -> (Option<f64>, Option<f64>) {
    if values.is_empty() {
        return (None, None);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (Some(mean), (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt()))
}

/// What the draws of an arm took and kept.
fn quantity(of: &[&events::Arm]) -> StudyArm {
    let n = of.len().max(1) as f64;
    let mut counts: Vec<(String, String, f64)> = Vec::new();
    for count in of.iter().flat_map(|arm| &arm.counts) {
        match counts.iter_mut().find(|(name, ..)| *name == count.name) {
            Some((.., sum)) => *sum += count.count as f64 / n,
            None => counts.push((count.name.clone(), count.heading.clone(), count.count as f64 / n)),
        }
    }
    let kept: Vec<_> = of.iter().filter_map(|arm| arm.kept).collect();
    let mean = |of: fn(&events::ArmYield) -> u64| kept.iter().map(of).sum::<u64>() as f64 / kept.len() as f64;
    StudyArm {
        kept: (!kept.is_empty()).then(|| (mean(|of| of.attempted), mean(|of| of.kept))),
        counts,
        seconds: of.iter().map(|arm| arm.seconds).sum::<f64>() / n + 0.0,
        seconds_paid: of.iter().map(|arm| arm.seconds_paid).sum::<f64>() + 0.0,
        stages: of.iter().map(|arm| arm.stages).sum(),
        reused: of.iter().map(|arm| arm.reused).sum(),
        ..StudyArm::default()
    }
}

/// Headings and cells of what follows from the arms.
fn quantities(arms: &[StudyArm]) -> (Vec<String>, Vec<Vec<String>>) {
    let mut counts: Vec<(String, String)> = Vec::new();
    for (name, heading, _) in arms.iter().flat_map(|arm| &arm.counts) {
        if !counts.iter().any(|(known, _)| known == name) {
            counts.push((name.clone(), heading.clone()));
        }
    }
    let number = |value: f64| if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") };
    let has_yield = arms.iter().any(|arm| arm.kept.is_some());
    let mut headings: Vec<String> = Vec::new();
    if has_yield {
        headings.extend(["rows attempted".to_owned(), "rows kept".to_owned()]);
    }
    headings.extend(counts.iter().map(|(_, heading)| heading.clone()));
    let has_times = arms.iter().any(|arm| arm.stages > 0);
    headings.extend(has_times.then(|| "seconds".to_owned()));
    let cells = |arm: &StudyArm| {
        let none = || "-".to_owned();
        let mut cells = Vec::new();
        if has_yield {
            cells.push(arm.kept.map_or_else(none, |kept| number(kept.0)));
            cells.push(arm.kept.map_or_else(none, |kept| number(kept.1)));
        }
        let counted = |(name, _): &(String, String)| {
            arm.counts.iter().find(|(of, ..)| of == name).map_or_else(none, |(.., count)| number(*count))
        };
        cells.extend(counts.iter().map(counted));
        cells.extend(has_times.then(|| format!("{:.1}", arm.seconds)));
        cells
    };
    (headings, arms.iter().map(cells).collect())
}

/// Scores by item, the mean over draws; and how many items are left out.
fn items(arms: &Arms) -> (Vec<Item>, usize) {
    let mut order: Vec<&str> = Vec::new();
    let mut tasks: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for draw in arms.all.iter().flat_map(|arm| arm.draws.values()) {
        for (id, task) in draw.ids.iter().zip(&draw.tasks) {
            if !tasks.contains_key(&**id) {
                tasks.insert(id, task.as_deref());
                order.push(id);
            }
        }
    }
    let score = |arm: &comparison::Arm, metric: usize, id: &str| {
        let of = arm.draws.values().filter_map(|draw| draw.scores[metric][*draw.places.get(id)?]);
        let of: Vec<f64> = of.filter(|score| score.is_finite()).collect();
        (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
    };
    let item = |id: &&str| Item {
        id: (*id).to_owned(),
        task: tasks[*id].map(str::to_owned),
        scores: (0..arms.metrics.len())
            .map(|metric| arms.all.iter().take(MAPPED).map(|arm| score(arm, metric, id)).collect())
            .collect(),
    };
    let shown: Vec<Item> = order.iter().take(ITEMS).map(item).collect();
    (shown, order.len().saturating_sub(ITEMS))
}
