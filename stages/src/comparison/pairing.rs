//! Arms side by side: the same draw, then the same items.

use std::{collections::BTreeSet, sync::Arc};

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
    let clusters = baseline.numbered(pairs.places.iter().map(|&place| ids[place]));
    Ok(Paired { pairs, ids, clusters })
}

/// Says where arms do not agree on which cluster, or task, an item is of: the baseline's word is taken.
pub(super) fn apart(arms: &[Arm]) -> Vec<String> {
    type Of = fn(&Draw) -> &[Option<Arc<str>>];
    let kinds: [(&str, Of); 2] = [("cluster", |draw| &draw.clusters), ("task", |draw| &draw.tasks)];
    let [baseline, others @ ..] = arms else { return Vec::new() };
    kinds.iter().filter_map(|(what, of)| disagreement(baseline, others, what, *of)).collect()
}

fn disagreement(baseline: &Arm, others: &[Arm], what: &str, of: fn(&Draw) -> &[Option<Arc<str>>]) -> Option<String> {
    let (mut items, mut first) = (BTreeSet::new(), None);
    for arm in others {
        for (name, draw) in &arm.draws {
            let Some(before) = baseline.draws.get(name).filter(|before| before.content != draw.content) else {
                continue;
            };
            for (id, here) in draw.ids.iter().zip(of(draw)) {
                let there = before.places.get(id).and_then(|&place| of(before)[place].as_ref());
                if let (Some(here), Some(there)) = (here, there)
                    && here != there
                {
                    items.insert(id);
                    first.get_or_insert((id, there, here, &arm.name));
                }
            }
        }
    }
    let (id, there, here, arm) = first?;
    Some(format!(
        "arms do not agree on the {what} of {} items: that of `{id}` is `{there}` in `{}` and `{here}` in `{arm}`; \
         they are counted where `{}` has them",
        items.len(),
        baseline.name,
        baseline.name
    ))
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
    (rows, first.numbered(ids.into_iter()))
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
