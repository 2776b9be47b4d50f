//! What each arm differs by from the baseline, and how surely.

use std::collections::{BTreeMap, HashMap};

use pipe_engine::kind::StageError;
use pipe_statistics::{DrawMeans, Method, mcnemar, over_draws};
use rayon::prelude::*;

use super::{
    GoOn,
    arms::{Arms, differing, shown},
    asked::{self, Asked},
    pairing::{self, invalid},
    params::CompareParams,
    table::Cells,
};

/// One question.
#[derive(Debug, Clone)]
struct Question<'a> {
    metric: usize,
    arm: usize,
    task: Option<&'a str>,
    /// For a question over items: the draw that is asked, and how many draws have these very rows.
    draw: Option<(&'a str, usize)>,
}

/// One answer.
#[derive(Debug, Clone)]
pub(super) struct Effect<'a> {
    question: Question<'a>,
    items: usize,
    draws: usize,
    unpaired: usize,
    means: (Option<f64>, Option<f64>),
    asked: Asked,
    /// Where a draw lacks an arm: difference and p value of the mixed model, which has a use for it.
    mixed: Option<(f64, f64)>,
    /// Items with a better score, and with a worse one.
    flips: Option<(usize, usize)>,
}

/// All answers: by metric, arm and task, over draws first.
pub(super) fn effects<'a>(
    params: &CompareParams,
    arms: &'a Arms,
    go_on: GoOn<'_>,
) -> Result<Vec<Effect<'a>>, StageError> {
    let tasks = tasks(arms);
    let mut questions = Vec::new();
    for metric in 0..arms.metrics.len() {
        for arm in 1..arms.all.len() {
            let draws = distinct_draws(arms, arm);
            for task in &tasks {
                let task = *task;
                let over_draws = std::iter::once(None);
                let over_items = draws.iter().copied().map(Some);
                questions.extend(over_draws.chain(over_items).map(|draw| Question { metric, arm, task, draw }));
            }
        }
    }
    // Each question has random numbers of its own, and answers stand in the order of questions.
    let ask = |question: Question<'a>| {
        go_on()?;
        match question.draw {
            None => draws(params, arms, question),
            Some(_) => items(params, arms, question),
        }
    };
    let mut found = questions.into_par_iter().map(ask).collect::<Result<Vec<_>, StageError>>()?;
    correct(arms, &mut found);
    Ok(found)
}

/// All items, then those of each task.
fn tasks(arms: &Arms) -> Vec<Option<&str>> {
    std::iter::once(None).chain(arms.tasks.iter().map(|task| Some(&**task))).collect()
}

/// The draws that both have, each once: what does not depend on draws has the same rows in all of them.
fn distinct_draws(arms: &Arms, arm: usize) -> Vec<(&str, usize)> {
    let mut found: Vec<(&str, usize)> = Vec::new();
    let mut places = HashMap::new();
    for (name, before) in &arms.all[0].draws {
        let Some(of) = arms.all[arm].draws.get(name) else { continue };
        let place = *places.entry((of.content, before.content)).or_insert_with(|| {
            found.push((name, 0));
            found.len() - 1
        });
        found[place].1 += 1;
    }
    found
}

/// The test over draws. Where a draw lacks an arm it is that of the draws which have both, and the mixed model stands
/// beside it: of few draws it sees differences that are none in up to 8 % of studies at a nominal 5 %, and a verdict
/// shall not be wrong more often than it says.
fn draws<'a>(params: &CompareParams, arms: &'a Arms, question: Question<'a>) -> Result<Effect<'a>, StageError> {
    let Question { metric, arm, task, .. } = question;
    let means = pairing::draws(&arms.all[arm], &arms.all[0], metric, task)?;
    let over = over_draws(&means, 1.0 - params.alpha).map_err(invalid)?;
    let mixed = over.test.ok().filter(|test| test.method == Method::Mixed);
    let test = if mixed.is_some() { over.complete } else { over.test };
    let is_whole = |draw: &&DrawMeans| draw.arm.is_some() && draw.baseline.is_some();
    let is_apart = over.paired == 0 || test.is_ok_and(|test| test.method == Method::Welch);
    let of: Vec<&DrawMeans> = means.iter().filter(|draw| is_apart || is_whole(draw)).collect();
    let mean = |value: fn(&DrawMeans) -> Option<f64>| {
        let values: Vec<f64> = of.iter().filter_map(|draw| value(draw)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let means_of = (mean(|draw| draw.arm), mean(|draw| draw.baseline));
    let difference = test.ok().map(|test| test.difference).or_else(|| Some(means_of.0? - means_of.1?));
    let computed = if is_apart { "Welch's t over draws" } else { "t over paired draws" };
    Ok(Effect {
        items: of.iter().map(|draw| draw.items).max().unwrap_or(0),
        draws: over.paired,
        unpaired: means.len() - over.paired,
        means: means_of,
        asked: Asked::of_draws(params, &arms.metrics[metric], test, difference, computed)?,
        mixed: mixed.map(|test| (test.difference, test.p)),
        flips: None,
        question,
    })
}

fn items<'a>(params: &CompareParams, arms: &'a Arms, question: Question<'a>) -> Result<Effect<'a>, StageError> {
    let Question { metric, arm, task, draw } = question;
    let (draw, draws) = draw.unwrap_or_default();
    let (of, baseline, name) = (&arms.all[arm], &arms.all[0], &arms.metrics[metric]);
    let paired = pairing::pair(&of.draws[draw], &baseline.draws[draw], metric, task)?;
    let pairs = &paired.pairs;
    let random = [name, &*of.name, task.unwrap_or_default(), draw].join("\n");
    let clusters = params.cluster.is_some().then_some(&*paired.clusters);
    let (mut asked, over) = Asked::of_items(params, name, &pairs.differences(), clusters, &random)?;
    // Of scores that are right or wrong, McNemar's test is exact. Clustered ones are no tosses of a coin.
    let exact = if clusters.is_none() { mcnemar(&pairs.arm, &pairs.baseline).map_err(invalid)? } else { None };
    if let (Some(exact), Some(p)) = (exact, asked.p.as_mut()) {
        *p = exact.exact;
        asked.computed = "McNemar, exact".into();
    }
    Ok(Effect {
        items: pairs.len(),
        draws,
        unpaired: pairs.only_arm + pairs.only_baseline + pairs.neither + pairs.not_a_number,
        means: (pairs.means().map(|m| m.0), pairs.means().map(|m| m.1)),
        asked,
        mixed: None,
        flips: over.map(|over| {
            if params.less_is_better(name) { (over.regressed, over.improved) } else { (over.improved, over.regressed) }
        }),
        question,
    })
}

/// Corrects p values within each family: a metric, a factor, a question and its draw; all items apart from tasks.
fn correct(arms: &Arms, effects: &mut [Effect<'_>]) {
    let factors: Vec<String> = arms.all.iter().map(|arm| differing(arm, &arms.all[0]).0).collect();
    let mut families: BTreeMap<_, Vec<&mut Asked>> = BTreeMap::new();
    for Effect { question, asked, .. } in effects {
        let family = (question.metric, &factors[question.arm], question.draw, question.task.is_some());
        families.entry(family).or_default().push(asked);
    }
    for family in families.into_values() {
        asked::correct(family);
    }
}

/// The table `effects`.
pub(super) fn table(params: &CompareParams, arms: &Arms, effects: &[Effect<'_>]) -> Cells {
    let mut cells = Cells::default();
    let differing: Vec<(String, String)> = arms.all.iter().map(|arm| differing(arm, &arms.all[0])).collect();
    for Effect { question, items, draws, unpaired, means, asked, mixed, flips } in effects {
        let (metric, (factor, level)) = (&arms.metrics[question.metric], &differing[question.arm]);
        let draw = question.draw.map(|(draw, _)| draw).filter(|draw| !draw.is_empty());
        cells.text("metric", Some(metric));
        cells.text("question", Some(if question.draw.is_some() { "items" } else { "draws" }));
        cells.text("task", Some(&shown(question.task)));
        cells.text("factor", Some(factor));
        cells.text("level", Some(level));
        cells.text("arm", Some(&arms.all[question.arm].name));
        cells.text("baseline", Some(&arms.all[0].name));
        cells.text("draw", draw);
        cells.count("draws", Some(*draws));
        cells.count("items", Some(*items));
        cells.count("unpaired", Some(*unpaired));
        cells.number("baseline_mean", means.1);
        cells.number("mean", means.0);
        asked.fill(&mut cells, &asked.verdict(params, metric).to_string());
        cells.number("mixed_difference", mixed.map(|of| of.0));
        cells.number("mixed_p", mixed.map(|of| of.1));
        cells.count("improved", flips.map(|of| of.0));
        cells.count("regressed", flips.map(|of| of.1));
        cells.text("signature", arms.signatures[question.metric].as_deref());
    }
    cells
}
