//! Two arms side by side: the same draw, then the same items.

use std::collections::{BTreeSet, HashMap};

use pipe_engine::kind::StageError;
use pipe_statistics::{DrawMeans, Pairs};

use super::arms::{Arm, Draw};

/// The items of a draw that both arms have, and which those are.
pub(super) struct Paired {
    pub pairs: Pairs,
    /// Of every item that either arm has, in the order of the baseline's: its id.
    pub ids: Vec<String>,
    /// The cluster of every pair.
    pub clusters: Vec<usize>,
}

/// The scores of `metric` in one draw of both arms, of one task or of all.
pub(super) fn pair(arm: &Draw, baseline: &Draw, metric: usize, task: Option<&str>) -> Result<Paired, StageError> {
    let in_task = |draw: &Draw, place: usize| task.is_none_or(|task| draw.tasks[place].as_deref() == Some(task));
    let of_baseline =
        (0..baseline.ids.len()).filter(|&place| in_task(baseline, place)).map(|place| &baseline.ids[place]);
    let only_arm = (0..arm.ids.len())
        .filter(|&place| in_task(arm, place) && !baseline.places.contains_key(&arm.ids[place]))
        .map(|place| &arm.ids[place]);
    let ids: Vec<String> = of_baseline.chain(only_arm).cloned().collect();
    let scores =
        |draw: &Draw| -> Vec<Option<f64>> { ids.iter().map(|id| draw.scores[metric][*draw.places.get(id)?]).collect() };
    let pairs = Pairs::new(&scores(arm), &scores(baseline)).map_err(invalid)?;
    let mut names: HashMap<&str, usize> = HashMap::new();
    let clusters = pairs.places.iter().map(|&place| {
        let id = ids[place].as_str();
        let name = baseline.places.get(id).and_then(|&place| baseline.clusters[place].as_deref()).unwrap_or(id);
        let next = names.len();
        *names.entry(name).or_insert(next)
    });
    let clusters = clusters.collect();
    Ok(Paired { pairs, ids, clusters })
}

/// What each draw says of two arms: every draw that either has.
pub(super) fn draws(
    arm: &Arm,
    baseline: &Arm,
    metric: usize,
    task: Option<&str>,
) -> Result<Vec<(String, DrawMeans)>, StageError> {
    let names: BTreeSet<&String> = arm.draws.keys().chain(baseline.draws.keys()).collect();
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let means = match (arm.draws.get(name), baseline.draws.get(name)) {
            (Some(a), Some(b)) => {
                let paired = pair(a, b, metric, task)?.pairs;
                let means = paired.means();
                DrawMeans { arm: means.map(|m| m.0), baseline: means.map(|m| m.1), items: paired.len() }
            }
            (Some(a), None) => {
                let (mean, items) = mean(a, metric, task);
                DrawMeans { arm: mean, baseline: None, items }
            }
            (None, Some(b)) => {
                let (mean, items) = mean(b, metric, task);
                DrawMeans { arm: None, baseline: mean, items }
            }
            (None, None) => DrawMeans::default(),
        };
        found.push((name.clone(), means));
    }
    Ok(found)
}

/// The mean of a draw's items that have a score, and how many these are.
pub(super) fn mean(draw: &Draw, metric: usize, task: Option<&str>) -> (Option<f64>, usize) {
    let in_task = |place: usize| task.is_none_or(|task| draw.tasks[place].as_deref() == Some(task));
    let scores = (0..draw.ids.len()).filter(|&place| in_task(place)).filter_map(|place| draw.scores[metric][place]);
    let scores: Vec<f64> = scores.filter(|score| score.is_finite()).collect();
    let mean = (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
    (mean, scores.len())
}

/// Statistics are given what fits together; that they refuse is our mistake.
pub(super) fn invalid(error: pipe_statistics::Invalid) -> StageError {
    StageError::contract(format!("the statistics refused: {error}"))
}
