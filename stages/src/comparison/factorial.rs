//! Main effects and interactions, where all combinations of the levels of several factors are arms.

use std::collections::BTreeMap;

use pipe_engine::kind::StageError;
use pipe_statistics::{Contrast, Verdict, contrasts, over_differences};
use rayon::prelude::*;

use super::{
    GoOn,
    arm::{Arm, Draw},
    arms::Arms,
    asked::{self, Asked},
    pairing::{self, invalid},
    params::CompareParams,
    table::{Cells, FLAG, NUMBER, NUMERAL, TEXT},
};

/// A full factorial design: the arms of one input.
struct Design<'a> {
    factors: Vec<&'a String>,
    /// Of each factor, the baseline's first.
    levels: Vec<Vec<&'a String>>,
    /// In the order in which the last factor changes fastest.
    cells: Vec<&'a Arm>,
}

/// A draw that all cells have, with a row of scores for every item that all of them have, and its cluster.
type WholeDraw<'a> = (&'a String, Vec<Vec<f64>>, Vec<usize>);

/// One contrast in the table.
struct Row {
    metric: usize,
    is_main: bool,
    factor: String,
    level: String,
    against: String,
    draw: Option<String>,
    draws: usize,
    items: usize,
    asked: Asked,
}

impl<'a> Design<'a> {
    /// Of the arms of one input, the baseline first; `None` unless there are several factors and all combinations.
    fn new(arms: &[&'a Arm]) -> Option<Self> {
        let first = arms.first()?;
        let (mut factors, mut levels) = (Vec::new(), Vec::new());
        for factor in first.factors.keys() {
            let mut of: Vec<&String> = Vec::new();
            for arm in arms {
                let level = arm.factors.get(factor)?;
                if !of.contains(&level) {
                    of.push(level);
                }
            }
            if of.len() > 1 {
                factors.push(factor);
                levels.push(of);
            }
        }
        let size = levels.iter().try_fold(1_usize, |size, of| size.checked_mul(of.len()))?;
        if factors.len() < 2 || size != arms.len() {
            return None;
        }
        let mut cells = vec![None; size];
        for arm in arms {
            let mut place = 0;
            for (factor, of) in factors.iter().zip(&levels) {
                place = place * of.len() + of.iter().position(|level| arm.factors.get(*factor) == Some(*level))?;
            }
            cells[place] = Some(*arm);
        }
        Some(Self { factors, levels, cells: cells.into_iter().collect::<Option<_>>()? })
    }

    /// What stands for a contrast: its factors, its levels, and those that they are held against.
    fn names(&self, contrast: &Contrast) -> [String; 3] {
        let join =
            |name: &dyn Fn(&(usize, usize)) -> &'a str| contrast.of.iter().map(name).collect::<Vec<_>>().join(" × ");
        [
            join(&|(factor, _)| self.factors[*factor]),
            join(&|(factor, level)| self.levels[*factor][*level]),
            join(&|(factor, _)| self.levels[*factor][0]),
        ]
    }

    /// Of every draw that all cells have: the scores of the items that all cells have.
    fn draws(&self, metric: usize) -> Vec<WholeDraw<'a>> {
        let whole = self.cells[0].draws.keys().filter_map(|name| {
            let draws: Vec<&Draw> =
                self.cells.iter().map(|arm| arm.draws.get(name).map(|d| &**d)).collect::<Option<_>>()?;
            let (rows, clusters) = pairing::common(&draws, metric);
            Some((name, rows, clusters))
        });
        whole.collect()
    }

    fn asked(&self, params: &CompareParams, arms: &Arms, metric: usize) -> Result<Vec<Row>, StageError> {
        let (name, draws, all) = (&arms.metrics[metric], self.draws(metric), self.levels.iter().map(Vec::len));
        let of_cells = contrasts(&all.collect::<Vec<_>>());
        let of_one = |contrast: &Contrast| -> Result<Vec<Row>, StageError> {
            let [factor, level, against] = self.names(contrast);
            let row = |draw: Option<&str>, draws, items, asked| Row {
                metric,
                is_main: contrast.of.len() == 1,
                factor: factor.clone(),
                level: level.clone(),
                against: against.clone(),
                draw: draw.map(str::to_owned),
                draws,
                items,
                asked,
            };
            let of_draw = |rows: &[Vec<f64>]| contrast.over(&pairing::column_means(rows, self.cells.len()));
            let differences: Vec<f64> = draws.iter().filter_map(|(_, rows, _)| of_draw(rows)).collect();
            let test = over_differences(&differences, 1.0 - params.alpha).map_err(invalid)?;
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            let mean = Some(mean).filter(|mean| mean.is_finite());
            let asked = Asked::of_draws(params, name, test, mean, "t over draws' contrasts")?;
            let most = draws.iter().map(|(_, rows, _)| rows.len()).max().unwrap_or(0);
            let mut found = vec![row(None, differences.len(), most, asked)];
            for (draw, rows, clusters) in &draws {
                let of_item = |scores: &Vec<f64>| {
                    contrast.weights.iter().zip(scores).map(|(weight, score)| weight * score).sum::<f64>()
                };
                let differences: Vec<f64> = rows.iter().map(of_item).collect();
                let clusters = params.cluster.is_some().then_some(&**clusters);
                let random = ["contrast", name, &*factor, &*level, draw.as_str()].join("\n");
                let (asked, _) = Asked::of_items(params, name, &differences, clusters, &random)?;
                found.push(row(Some(draw), 1, rows.len(), asked));
            }
            Ok(found)
        };
        let found = of_cells.par_iter().map(of_one).collect::<Result<Vec<_>, StageError>>()?;
        Ok(found.into_iter().flatten().collect())
    }
}

/// Main effects and two-way interactions.
pub(super) fn table(params: &CompareParams, arms: &Arms, go_on: GoOn<'_>) -> Result<Cells, StageError> {
    let mut cells = Cells::with(&[
        ("metric", TEXT),
        ("question", TEXT),
        ("contrast", TEXT),
        ("factor", TEXT),
        ("level", TEXT),
        ("baseline_level", TEXT),
        ("draw", TEXT),
        ("draws", NUMERAL),
        ("items", NUMERAL),
        ("difference", NUMBER),
        ("low", NUMBER),
        ("high", NUMBER),
        ("df", NUMBER),
        ("p", NUMBER),
        ("p_holm", NUMBER),
        ("p_same", NUMBER),
        ("verdict", TEXT),
        ("weak", FLAG),
        ("smallest", NUMBER),
        ("needed", NUMERAL),
        ("computed", TEXT),
    ]);
    let mut inputs: Vec<&String> = Vec::new();
    for arm in arms.all.iter().filter(|arm| !arm.factors.is_empty()) {
        if !inputs.contains(&&arm.input) {
            inputs.push(&arm.input);
        }
    }
    for input in &inputs {
        let of: Vec<&Arm> = arms.all.iter().filter(|arm| arm.input == **input).collect();
        let Some(design) = Design::new(&of) else { continue };
        for metric in 0..arms.metrics.len() {
            go_on()?;
            let mut rows = design.asked(params, arms, metric)?;
            let mut families: BTreeMap<(String, Option<String>), Vec<&mut Asked>> = BTreeMap::new();
            for row in &mut rows {
                families.entry((row.factor.clone(), row.draw.clone())).or_default().push(&mut row.asked);
            }
            for family in families.into_values() {
                asked::correct(family);
            }
            let input = (inputs.len() > 1).then_some(input);
            for row in &rows {
                fill(&mut cells, params, arms, input, row);
            }
        }
    }
    Ok(cells)
}

fn fill(cells: &mut Cells, params: &CompareParams, arms: &Arms, input: Option<&&String>, row: &Row) {
    let metric = &arms.metrics[row.metric];
    let factor = input.map_or_else(|| row.factor.clone(), |input| format!("{input}: {}", row.factor));
    let more = row.asked.difference.is_some_and(|difference| difference > 0.0);
    // Whether that is good is for the two effects to say: by itself, an interaction is neither.
    let verdict = match row.asked.verdict(params, metric) {
        Verdict::Better | Verdict::Worse if !row.is_main => {
            if more { "above the sum" } else { "below the sum" }.to_owned()
        }
        verdict => verdict.to_string(),
    };
    cells.text("metric", Some(metric));
    cells.text("question", Some(if row.draw.is_some() { "items" } else { "draws" }));
    cells.text("contrast", Some(if row.is_main { "main effect" } else { "interaction" }));
    cells.text("factor", Some(&factor));
    cells.text("level", Some(&row.level));
    cells.text("baseline_level", Some(&row.against));
    cells.text("draw", row.draw.as_deref().filter(|draw| !draw.is_empty()));
    cells.count("draws", Some(row.draws));
    cells.count("items", Some(row.items));
    row.asked.fill(cells, &verdict);
}
