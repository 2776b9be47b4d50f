//! Beside the effects: means by draw, items that changed, where the spread is from, and trends.

use std::collections::BTreeSet;

use pipe_engine::kind::StageError;
use pipe_statistics::{Component, Scale, trend, variance};

use super::{
    arm::{Arm, Draw},
    arms::{Arms, differing, shown},
    pairing::{self, invalid},
    params::CompareParams,
    table::{Cells, FLAG, NUMBER, NUMERAL, TEXT},
};

/// The mean of every arm in every draw: what a plot shows.
pub(super) fn means(arms: &Arms) -> Cells {
    let mut cells = Cells::with(&[
        ("metric", TEXT),
        ("task", TEXT),
        ("factor", TEXT),
        ("level", TEXT),
        ("arm", TEXT),
        ("draw", TEXT),
        ("items", NUMERAL),
        ("mean", NUMBER),
        ("signature", TEXT),
    ]);
    for (metric, name) in arms.metrics.iter().enumerate() {
        for arm in &arms.all {
            let (factor, level) = differing(arm, &arms.all[0]);
            for (draw, of) in &arm.draws {
                for task in std::iter::once(None).chain(arms.tasks.iter().map(Some)) {
                    let (mean, items) = pairing::mean(of, metric, task.map(String::as_str));
                    cells.text("metric", Some(name));
                    cells.text("task", Some(&shown(task.map(String::as_str))));
                    cells.text("factor", Some(&factor));
                    cells.text("level", Some(&level));
                    cells.text("arm", Some(&arm.name));
                    cells.text("draw", Some(draw).filter(|draw| !draw.is_empty()).map(String::as_str));
                    cells.count("items", Some(items));
                    cells.number("mean", mean);
                    cells.text("signature", arms.signatures[metric].as_deref());
                }
            }
        }
    }
    cells
}

/// Items whose score another arm changes, the largest changes first.
pub(super) fn flips(params: &CompareParams, arms: &Arms) -> Result<Cells, StageError> {
    let mut cells = Cells::with(&[
        ("metric", TEXT),
        ("arm", TEXT),
        ("baseline", TEXT),
        ("draw", TEXT),
        ("id", TEXT),
        ("task", TEXT),
        ("baseline_score", NUMBER),
        ("score", NUMBER),
        ("difference", NUMBER),
        ("flip", TEXT),
    ]);
    let baseline = &arms.all[0];
    for (metric, name) in arms.metrics.iter().enumerate() {
        for arm in &arms.all[1..] {
            for (draw, of) in &arm.draws {
                let Some(before) = baseline.draws.get(draw) else { continue };
                let paired = pairing::pair(of, before, metric, None)?;
                let differences = paired.pairs.differences();
                let mut order: Vec<usize> = (0..differences.len()).filter(|&i| differences[i] != 0.0).collect();
                order.sort_by(|&a, &b| differences[b].abs().total_cmp(&differences[a].abs()));
                for i in order {
                    let id = paired.ids[paired.pairs.places[i]];
                    let lower = params.less_is_better(name);
                    cells.text("metric", Some(name));
                    cells.text("arm", Some(&arm.name));
                    cells.text("baseline", Some(&baseline.name));
                    cells.text("draw", Some(draw).filter(|draw| !draw.is_empty()).map(String::as_str));
                    cells.text("id", Some(id));
                    cells.text("task", before.places.get(id).and_then(|&place| before.tasks[place].as_deref()));
                    cells.number("baseline_score", Some(paired.pairs.baseline[i]));
                    cells.number("score", Some(paired.pairs.arm[i]));
                    cells.number("difference", Some(differences[i]));
                    cells.text("flip", Some(if (differences[i] < 0.0) == lower { "improved" } else { "regressed" }));
                }
            }
        }
    }
    Ok(cells)
}

/// Where the spread of single scores is from.
pub(super) fn spread(arms: &Arms) -> Result<Cells, StageError> {
    let mut cells = Cells::default();
    let draws = arms.draws();
    let all = arms.all.iter().flat_map(|arm| arm.draws.values());
    let ids: BTreeSet<&str> = all.flat_map(|draw| &draw.ids).map(|id| &**id).collect();
    for (metric, name) in arms.metrics.iter().enumerate() {
        let of_draw = |arm: &Arm, draw: &&String| -> Vec<Option<f64>> {
            let Some(draw) = arm.draws.get(*draw) else { return Vec::new() };
            ids.iter().map(|id| draw.scores[metric][*draw.places.get(*id)?]).collect()
        };
        let scores: Vec<Vec<Vec<Option<f64>>>> =
            arms.all.iter().map(|arm| draws.iter().map(|draw| of_draw(arm, draw)).collect()).collect();
        let found = variance(&scores).map_err(invalid)?;
        let asked = found.as_ref().ok();
        let shares = asked.and_then(pipe_statistics::Variance::shares);
        let component = |of: Option<Component>| of.map(|component| component.variance);
        cells.text("metric", Some(name));
        cells.text("not_asked", found.as_ref().err().map(ToString::to_string).as_deref());
        cells.count("draws", asked.map(|v| v.draws));
        cells.count("items", asked.map(|v| v.items));
        cells.count("draws_left_out", asked.map(|v| v.draws_left_out));
        cells.count("items_left_out", asked.map(|v| v.items_left_out));
        cells.number("share_draws", shares.map(|s| s.0));
        cells.number("share_items", shares.map(|s| s.1));
        cells.number("share_sampling", shares.map(|s| s.2));
        cells.number("draw", component(asked.map(|v| v.draw)));
        cells.number("arm_draw", component(asked.and_then(|v| v.arm_draw)));
        cells.number("item", component(asked.map(|v| v.item)));
        cells.number("arm_item", component(asked.and_then(|v| v.arm_item)));
        cells.number("sampling", component(asked.map(|v| v.sampling)));
    }
    Ok(cells)
}

/// How scores follow numeric factors.
pub(super) fn trends(params: &CompareParams, arms: &Arms) -> Result<Cells, StageError> {
    let mut cells = Cells::with(&[
        ("metric", TEXT),
        ("factor", TEXT),
        ("per", TEXT),
        ("levels", NUMERAL),
        ("items", NUMERAL),
        ("draws", NUMERAL),
        ("draws_left_out", NUMERAL),
        ("slope", NUMBER),
        ("low", NUMBER),
        ("high", NUMBER),
        ("df", NUMBER),
        ("p", NUMBER),
        ("verdict", TEXT),
        ("weak", FLAG),
    ]);
    let baseline = &arms.all[0];
    for factor in baseline.factors.keys() {
        // Arms that differ from the baseline by this factor alone.
        let along = arms.all.iter().filter(|arm| {
            arm.input == baseline.input
                && arm.factors.iter().all(|(name, level)| name == factor || baseline.factors.get(name) == Some(level))
        });
        let along: Vec<(f64, &Arm)> = along.filter_map(|arm| Some((number(arm.factors.get(factor)?)?, arm))).collect();
        // Of two levels, the slope is their difference.
        if along.len() < 3 {
            continue;
        }
        let levels: Vec<f64> = along.iter().map(|(level, _)| *level).collect();
        let draws: BTreeSet<&String> = along.iter().flat_map(|(_, arm)| arm.draws.keys()).collect();
        for (metric, name) in arms.metrics.iter().enumerate() {
            // Levels are compared on the items that all of them have.
            let mut items = 0;
            let mut means = |draw: &String| {
                let of = |(_, arm): &(f64, &'_ Arm)| arm.draws.get(draw).cloned();
                let Some(of) = along.iter().map(of).collect::<Option<Vec<_>>>() else { return vec![None; along.len()] };
                let (rows, _) = pairing::common(&of.iter().map(|draw| &**draw).collect::<Vec<&Draw>>(), metric);
                items = items.max(rows.len());
                pairing::column_means(&rows, along.len())
            };
            let table: Vec<Vec<Option<f64>>> = draws.iter().map(|draw| means(draw)).collect();
            let found = trend(&levels, &table, 1.0 - params.alpha).map_err(invalid)?;
            let test = found.test.ok();
            let slope = || {
                let n = found.slopes.len();
                (n > 0).then(|| found.slopes.iter().sum::<f64>() / n as f64)
            };
            let verdict = match found.test {
                Err(reason) => format!("not asked: {reason}"),
                Ok(test) if test.p >= params.alpha => "not shown".to_owned(),
                Ok(test) => if test.difference > 0.0 { "rises" } else { "falls" }.to_owned(),
            };
            cells.text("metric", Some(name));
            cells.text("factor", Some(factor));
            cells.text("per", Some(if found.scale == Scale::Doubling { "doubling" } else { "unit" }));
            cells.count("levels", Some(levels.len()));
            cells.count("items", Some(items));
            cells.count("draws", Some(found.slopes.len()));
            cells.count("draws_left_out", Some(found.left_out));
            cells.number("slope", test.map(|test| test.difference).or_else(slope));
            cells.number("low", test.map(|test| test.low));
            cells.number("high", test.map(|test| test.high));
            cells.number("df", test.map(|test| test.df));
            cells.number("p", test.map(|test| test.p));
            cells.text("verdict", Some(&verdict));
            cells.flag("weak", test.is_some_and(|test| test.is_weak()));
        }
    }
    Ok(cells)
}

/// A level that is a number.
fn number(level: &str) -> Option<f64> {
    level.parse().ok().filter(|level: &f64| level.is_finite())
}
