//! What could not be compared, every single one, and why.

use std::collections::HashSet;

use super::{
    arm::{Arm, Draw},
    arms::Arms,
    table::{Cells, TEXT},
};

/// How many there are of each.
#[derive(Debug, Default)]
struct Counts {
    draws: usize,
    items: usize,
    scores: usize,
}

/// Draws that an arm lacks, items that another arm has in the same draw, scores that are missing or no numbers.
pub(super) fn table(arms: &Arms) -> (Cells, Option<String>) {
    let mut cells = Cells::with(&[("metric", TEXT), ("arm", TEXT), ("draw", TEXT), ("id", TEXT), ("why", TEXT)]);
    let mut counts = Counts::default();
    let mut add = |metric: Option<&str>, arm: &str, draw: Option<&str>, id: Option<&str>, why: &str| {
        cells.text("metric", metric);
        cells.text("arm", Some(arm));
        cells.text("draw", draw.filter(|draw| !draw.is_empty()));
        cells.text("id", id);
        cells.text("why", Some(why));
    };
    for (arm, why) in &arms.folded {
        add(None, arm, None, None, why);
    }
    for name in arms.draws() {
        let in_draw = |arm: &'_ Arm| arm.draws.get(name).cloned();
        let mut seen: HashSet<&str> = HashSet::new();
        let having: Vec<&Draw> = arms.all.iter().filter_map(|arm| arm.draws.get(name).map(|draw| &**draw)).collect();
        let ids: Vec<&str> =
            having.iter().flat_map(|draw| &draw.ids).map(|id| &**id).filter(|id| seen.insert(id)).collect();
        for arm in &arms.all {
            let Some(draw) = in_draw(arm) else {
                counts.draws += 1;
                let is_missing = arm.missing.contains(name);
                let why = if is_missing { "its stage has no result" } else { "the arm has no item in this draw" };
                add(None, &arm.name, Some(name), None, why);
                continue;
            };
            for id in ids.iter().filter(|id| !draw.places.contains_key(**id)) {
                counts.items += 1;
                add(None, &arm.name, Some(name), Some(id), "the arm lacks the item");
            }
            for (metric, scores) in arms.metrics.iter().zip(&draw.scores) {
                for (id, score) in draw.ids.iter().zip(scores) {
                    let why = match score {
                        None => "no score",
                        Some(score) if score.is_finite() => continue,
                        Some(score) if score.is_nan() => "the score is NaN",
                        Some(_) => "the score is infinite",
                    };
                    counts.scores += 1;
                    add(Some(metric), &arm.name, Some(name), Some(id), why);
                }
            }
        }
    }
    let Counts { draws, items, scores } = counts;
    let warning = (draws + items + scores > 0).then(|| {
        format!(
            "not all can be compared: arms lack {draws} draws and {items} items that others have, and {scores} scores \
             are missing or no numbers: see the output `left_out`"
        )
    });
    (cells, warning)
}
