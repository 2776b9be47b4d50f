//! Arms side by side: the same draw, then the same items.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use pipe_engine::kind::StageError;
use pipe_statistics::{DrawMeans, Pairs};

use super::arm::{Arm, Draw};

/// The items of a draw that two arms have, and which those are.
pub(super) struct Paired<'a> {
    pub pairs: Pairs,
    /// Of every item that either arm has, in the order of the baseline's: its id.
    pub ids: Vec<&'a str>,
    /// The cluster of every pair.
    pub clusters: Vec<usize>,
}

/// The scores of `metric` in one draw of both arms, of one task or of all.
pub(super) fn pair<'a>(
    arm: &'a Draw,
    baseline: &'a Draw,
    metric: usize,
    task: Option<&str>,
) -> Result<Paired<'a>, StageError> {
    let of_baseline = baseline.places_of(task).map(|place| &*baseline.ids[place]);
    let of_arm = arm.places_of(task).map(|place| &*arm.ids[place]);
    let only_arm = of_arm.filter(|id| !baseline.places.contains_key(*id));
    let ids: Vec<&str> = of_baseline.chain(only_arm).collect();
    let scores = |draw: &Draw| -> Vec<Option<f64>> {
        ids.iter().map(|id| draw.scores[metric][*draw.places.get(*id)?]).collect()
    };
    let pairs = Pairs::new(&scores(arm), &scores(baseline)).map_err(invalid)?;
    let clusters = clusters(baseline, pairs.places.iter().map(|&place| ids[place]));
    Ok(Paired { pairs, ids, clusters })
}

/// Numbers the clusters of items; one without a cluster is alone.
fn clusters<'a>(draw: &'a Draw, ids: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut names: HashMap<(bool, &str), usize> = HashMap::new();
    let number = |id: &'a str| {
        let cluster = draw.places.get(id).and_then(|&place| draw.clusters[place].as_deref());
        let next = names.len();
        *names.entry((cluster.is_some(), cluster.unwrap_or(id))).or_insert(next)
    };
    ids.map(number).collect()
}

/// Items for which several arms have a score in one draw, in the order of the first arm: a row of scores for each item,
/// and its cluster.
pub(super) fn common(draws: &[&Draw], metric: usize) -> (Vec<Vec<f64>>, Vec<usize>) {
    let Some(first) = draws.first() else { return (Vec::new(), Vec::new()) };
    let score = |draw: &Draw, id: &str| draw.scores[metric][*draw.places.get(id)?].filter(|score| score.is_finite());
    let (mut ids, mut rows) = (Vec::new(), Vec::new());
    for id in &first.ids {
        if let Some(row) = draws.iter().map(|draw| score(draw, id)).collect::<Option<Vec<f64>>>() {
            ids.push(&**id);
            rows.push(row);
        }
    }
    (rows, clusters(first, ids.into_iter()))
}

/// The mean of each column of a table; `None` without rows.
pub(super) fn column_means(rows: &[Vec<f64>], columns: usize) -> Vec<Option<f64>> {
    let mean = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64;
    (0..columns).map(|column| (!rows.is_empty()).then(|| mean(column))).collect()
}

/// What each draw says of two arms: every draw that either has.
pub(super) fn draws(
    arm: &Arm,
    baseline: &Arm,
    metric: usize,
    task: Option<&str>,
) -> Result<Vec<DrawMeans>, StageError> {
    let names: BTreeSet<&String> = arm.draws.keys().chain(baseline.draws.keys()).collect();
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let alone = |draw: Option<&Arc<Draw>>| draw.map_or((None, 0), |draw| mean(draw, metric, task));
        if let (Some(a), Some(b)) = (arm.draws.get(name), baseline.draws.get(name)) {
            let paired = pair(a, b, metric, task)?.pairs;
            if let Some((arm, baseline)) = paired.means() {
                found.push(DrawMeans { arm: Some(arm), baseline: Some(baseline), items: paired.len() });
                continue;
            }
        }
        found.push(match (alone(arm.draws.get(name)), alone(baseline.draws.get(name))) {
            // Means of other items say nothing of each other.
            ((Some(_), _), (Some(_), _)) => DrawMeans::default(),
            ((arm, of_arm), (baseline, of_baseline)) => DrawMeans { arm, baseline, items: of_arm.max(of_baseline) },
        });
    }
    Ok(found)
}

/// The mean of a draw's items that have a score, and how many these are.
pub(super) fn mean(draw: &Draw, metric: usize, task: Option<&str>) -> (Option<f64>, usize) {
    let scores = draw.places_of(task).filter_map(|place| draw.scores[metric][place]);
    let scores: Vec<f64> = scores.filter(|score| score.is_finite()).collect();
    let mean = (!scores.is_empty()).then(|| scores.iter().sum::<f64>() / scores.len() as f64);
    (mean, scores.len())
}

/// Statistics are given what fits together; that they refuse is our mistake.
pub(super) fn invalid(error: pipe_statistics::Invalid) -> StageError {
    StageError::contract(format!("the statistics refused: {error}"))
}
