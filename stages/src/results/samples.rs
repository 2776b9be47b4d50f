//! Items with what the arms answered, and where that may come from.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use pipe_cache::{Digest, StoreError};
use pipe_engine::pipeline::NodeId;
use pipe_report::{Answer, Comparison, Passage, Row, Sample};
use serde_json::{Map, Value};

use super::{
    Study, StudyArm,
    lineage::{Found, Keyed, Lineage, Origin},
    resembling::Resembling,
    study::STAGE,
};

/// Items that are shown.
const SHOWN: usize = 60;
/// Arms whose answers are.
pub(super) const ARMS: usize = 12;
/// Training rows that are named for each answer.
const RESEMBLING: usize = 2;
/// Characters that are kept of a text.
const TEXT: usize = 600;

/// Rows that samples refer to, each once.
#[derive(Default)]
pub(super) struct Rows {
    pub all: Vec<Row>,
    places: BTreeMap<(Digest, String), usize>,
}

impl Rows {
    /// A row, and all that it comes from.
    fn add(&mut self, lineage: &Lineage<'_, '_>, found: &Found, what: &str) -> Result<usize, StoreError> {
        let columns = found.table.row(found.place);
        let id = text(&columns, "id");
        let key = (found.table.digest, id.clone());
        if let Some(&place) = self.places.get(&key) {
            return Ok(place);
        }
        let place = self.all.len();
        self.places.insert(key, place);
        let stage = &lineage.looked.pipeline.stages[lineage.looked.stage_of(found.node)].name;
        self.all.push(Row {
            id: id.clone(),
            what: what.to_owned(),
            stage: stage.clone(),
            fields: fields(&columns),
            from: Vec::new(),
        });
        let mut from = Vec::new();
        for origin in lineage.origins(found.node, &id)? {
            if let Some(place) = self.origin(lineage, &origin)? {
                from.push((origin.how, place));
            }
        }
        // Whose rows come from none are given: people wrote them, or a table has them.
        if from.is_empty() && what == "training row" {
            "seed".clone_into(&mut self.all[place].what);
        }
        self.all[place].from = from;
        Ok(place)
    }

    fn origin(&mut self, lineage: &Lineage<'_, '_>, origin: &Origin) -> Result<Option<usize>, StoreError> {
        let what = if origin.how == "passage" { "passage" } else { "seed" };
        if let Some(found) = &origin.found {
            return self.add(lineage, found, what).map(Some);
        }
        let Some(passage) = &origin.text else { return Ok(None) };
        self.all.push(Row {
            id: origin.id.clone(),
            what: what.to_owned(),
            fields: vec![("text".to_owned(), short(passage))],
            ..Row::default()
        });
        Ok(Some(self.all.len() - 1))
    }
}

/// Fills the samples of a study: of its first draw, with the rows that arms were trained on.
pub(super) fn fill(
    lineage: &Lineage<'_, '_>,
    study: &mut Study,
    resembling: &mut Resembling,
    rows: &mut Rows,
) -> Result<(), StoreError> {
    let Some(draw) = study.arms.iter().find_map(|arm| arm.nodes.first()).map(|(draw, _)| draw.clone()) else {
        return Ok(());
    };
    let node =
        |arm: &StudyArm| arm.nodes.iter().find(|(of, _)| *of == draw).map(|&(_, node)| NodeId::new(node as usize));
    let nodes: Vec<Option<NodeId>> = study.arms.iter().take(ARMS).map(node).collect();
    let table = |node: &Option<NodeId>| match node {
        Some(node) => lineage.scored(*node, &study.comparison),
        None => Ok(None),
    };
    let tables = nodes.iter().map(table).collect::<Result<Vec<_>, _>>()?;
    of_tables(&mut study.comparison, &tables);
    for sample in &mut study.comparison.samples {
        for answer in &mut sample.answers {
            let Some(node) = nodes[answer.arm] else { continue };
            for (found, _) in resembling.rows(lineage, node, &sample.instruction, RESEMBLING)?.unwrap_or_default() {
                answer.resembling.push(rows.add(lineage, &found, "training row")?);
            }
        }
    }
    study.comparison.samples_draw = Some(draw).filter(|draw| !draw.is_empty());
    Ok(())
}

/// Fills samples from the tables of arms: the items whose scores they change most, and then those that all get wrong.
pub(super) fn of_tables(comparison: &mut Comparison, tables: &[Option<Rc<Keyed>>]) {
    let mut samples = Vec::new();
    for id in chosen(comparison, tables) {
        let mut sample = Sample { id: id.clone(), ..Sample::default() };
        let mut before: Vec<Option<f64>> = Vec::new();
        for (arm, table) in tables.iter().enumerate() {
            let Some(table) = table else { continue };
            let Some(&place) = table.places.get(&id) else { continue };
            let columns = table.row(place);
            if sample.answers.is_empty() {
                ask(&mut sample, &columns);
            }
            let scores: Vec<Option<f64>> =
                (comparison.metrics.iter()).map(|metric| columns.get(&metric.name).and_then(Value::as_f64)).collect();
            if arm == 0 {
                before.clone_from(&scores);
            }
            sample.answers.push(Answer {
                arm,
                prediction: short(&text(&columns, "prediction")),
                finish_reason: columns.get("finish_reason").and_then(Value::as_str).map(str::to_owned),
                flip: flip(comparison, &before, &scores).filter(|_| arm > 0),
                scores,
                resembling: Vec::new(),
            });
        }
        samples.push(sample);
    }
    comparison.samples = samples;
}

/// Which items are shown: a third of them regressed, a third improved, the largest changes first; then the worst
/// first.
fn chosen(comparison: &Comparison, tables: &[Option<Rc<Keyed>>]) -> Vec<String> {
    let Some(metric) = comparison.metrics.first() else { return Vec::new() };
    let sign = if metric.lower_is_better { -1.0 } else { 1.0 };
    let scores: Vec<Option<Vec<f64>>> = tables
        .iter()
        .map(|table| {
            let texts = table.as_ref()?.texts(&metric.name)?;
            Some(texts.iter().map(|score| sign * score.parse().unwrap_or(f64::NAN)).collect())
        })
        .collect();
    let Some(first) = tables.iter().flatten().next() else { return Vec::new() };
    let Some(ids) = first.texts("id") else { return Vec::new() };
    let of = |arm: usize, id: &str| -> Option<f64> {
        let place = *tables[arm].as_ref()?.places.get(id)?;
        Some(scores[arm].as_ref()?[place]).filter(|score| score.is_finite())
    };
    // Of arms that are levels beside the baseline, not of another stage beside them, if there are any.
    let stage = |arm: usize| comparison.arms[arm].factors.iter().find(|(name, _)| name == STAGE);
    let (own, others): (Vec<usize>, Vec<usize>) = (1..tables.len()).partition(|&arm| stage(arm) == stage(0));
    let meant = if own.is_empty() { others } else { own };
    let changes = |id: &String| -> (f64, f64, f64) {
        let before = of(0, id).unwrap_or(0.0);
        let others = || meant.iter().filter_map(|&arm| of(arm, id));
        let best = others().fold(0.0_f64, |most, score| most.max(score - before));
        let worst = others().fold(0.0_f64, |most, score| most.max(before - score));
        (best, worst, others().chain([before]).sum())
    };
    let told: Vec<(f64, f64, f64)> = ids.iter().map(changes).collect();
    let most = |by: &dyn Fn(&(f64, f64, f64)) -> f64| {
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by(|&a, &b| by(&told[b]).total_cmp(&by(&told[a])));
        order.into_iter()
    };
    let regressed = most(&|told| told.1).filter(|&place| told[place].1 > 0.0).take(SHOWN / 3);
    let improved = most(&|told| told.0).filter(|&place| told[place].0 > 0.0).take(SHOWN / 3);
    let mut seen = BTreeSet::new();
    let all = regressed.chain(improved).chain(most(&|told| -told.2)).filter(|&place| seen.insert(place));
    all.take(SHOWN).map(|place| ids[place].clone()).collect()
}

/// What was asked.
fn ask(sample: &mut Sample, columns: &Map<String, Value>) {
    let list = |name: &str| columns.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    sample.task = columns.get("task").and_then(Value::as_str).map(str::to_owned);
    sample.instruction = short(&text(columns, "instruction"));
    sample.input = short(&text(columns, "input"));
    sample.references = list("references").iter().filter_map(Value::as_str).map(short).collect();
    let passage = |passage: &Value| {
        let of = |name: &str| passage.get(name).and_then(Value::as_str).unwrap_or_default();
        Passage { id: of("id").to_owned(), text: short(of("text")) }
    };
    sample.passages = list("passages").iter().map(passage).collect();
}

fn flip(comparison: &Comparison, before: &[Option<f64>], now: &[Option<f64>]) -> Option<String> {
    let metric = comparison.metrics.first()?;
    let difference = (*now.first()?)? - (*before.first()?)?;
    let is_better = (difference > 0.0) != metric.lower_is_better;
    (difference != 0.0).then(|| if is_better { "improved" } else { "regressed" }.to_owned())
}

fn text(columns: &Map<String, Value>, name: &str) -> String {
    match columns.get(name) {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Columns that are read, without what stands elsewhere.
fn fields(columns: &Map<String, Value>) -> Vec<(String, String)> {
    let elsewhere = ["id", "demonstrations", "passages"];
    let shown = columns.iter().filter(|(name, _)| !elsewhere.contains(&name.as_str()));
    shown.map(|(name, _)| (name.clone(), short(&text(columns, name)))).filter(|(_, text)| !text.is_empty()).collect()
}

/// The beginning of a text.
fn short(text: &str) -> String {
    if text.chars().count() <= TEXT {
        return text.to_owned();
    }
    text.chars().take(TEXT).chain("…".chars()).collect()
}
