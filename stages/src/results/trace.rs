//! From an answer to its seeds, and from a row to everything it influenced.

use std::collections::{BTreeSet, HashMap};

use pipe_cache::{Digest, StoreError};
use pipe_engine::pipeline::NodeId;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    Gathered, Study,
    lineage::{Found, Keyed, Lineage},
    resembling::Resembling,
};
use crate::rows::columns;

/// Training rows that are shown for an answer.
const RESEMBLING: usize = 3;

/// What is known of an id.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Trace {
    /// The id.
    pub id: String,
    /// Where it is an item: what the arms answered.
    pub answers: Vec<TracedAnswer>,
    /// Where it is another row: the row in every stage that has another one of it, and what that comes from.
    pub rows: Vec<TracedRow>,
    /// What it influenced, by arm and draw.
    pub influence: Vec<Influence>,
}

/// An answer to an item.
#[derive(Debug, Clone, Serialize)]
pub struct TracedAnswer {
    /// The arm.
    pub arm: String,
    /// The draw; empty where there is one without a name.
    pub draw: String,
    /// The row of the stage with the scores.
    pub columns: Map<String, Value>,
    /// The metrics among the columns.
    pub metrics: Vec<String>,
    /// What the model was trained on that resembles the question, best first, by BM25 over instructions.
    pub resembling: Vec<(f32, TracedRow)>,
    /// Whether it was trained on anything.
    pub is_trained: bool,
}

/// A row, and what it comes from.
#[derive(Debug, Clone, Serialize)]
pub struct TracedRow {
    /// The stage that made it.
    pub stage: String,
    /// Variants in which it did.
    pub variants: Vec<String>,
    /// Its columns.
    pub columns: Map<String, Value>,
    /// How, the id, and the columns of what it comes from; these are empty where no table has it.
    pub from: Vec<(String, String, Map<String, Value>)>,
}

/// What a row influenced in an arm.
#[derive(Debug, Clone, Serialize)]
pub struct Influence {
    /// The arm.
    pub arm: String,
    /// The draw.
    pub draw: String,
    /// How many rows of each stage were made from it.
    pub rows: Vec<(String, usize)>,
    /// How many of the rows that the model was trained on are such a row, or it itself.
    pub trained_on: usize,
    /// How many rows the model was trained on.
    pub training_rows: usize,
}

impl Gathered<'_> {
    /// What is known of an id: an item, a seed, a row that a model wrote, a passage. Nothing, where no table has it.
    ///
    /// # Errors
    /// The store breaks down.
    pub fn trace(&self, id: &str, arm: Option<&str>) -> Result<Trace, StoreError> {
        let lineage = Lineage::new(&self.looked);
        let mut trace = Trace { id: id.to_owned(), ..Trace::default() };
        let mut resembling = Resembling::default();
        for (study, of, draw, node) in &self.examined(arm) {
            answer(&lineage, study, of, (draw, *node), id, &mut resembling, &mut trace.answers)?;
        }
        if trace.answers.is_empty() {
            trace.rows = rows(&lineage, id)?;
        }
        if trace.answers.is_empty() && !trace.rows.is_empty() {
            let mut known = HashMap::new();
            for (_, of, draw, node) in &self.examined(arm) {
                influence(&lineage, of, (draw, *node), id, &mut known, &mut trace.influence)?;
            }
        }
        Ok(trace)
    }

    /// Arms and draws with their nodes, each once: several studies may hold the same against each other.
    fn examined(&self, arm: Option<&str>) -> Vec<(&Study, &str, &str, NodeId)> {
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for study in &self.results.studies {
            let named =
                study.comparison.arms.iter().zip(&study.arms).filter(|(of, _)| arm.is_none_or(|a| a == of.name));
            for (of, told) in named {
                for (draw, node) in told.nodes.iter().filter(|(_, node)| seen.insert(*node)) {
                    all.push((study, &*of.name, &**draw, NodeId::new(*node as usize)));
                }
            }
        }
        all
    }

    /// Ids that are like a word, for who has mistyped one: those of items and of what models were trained on.
    ///
    /// # Errors
    /// The store breaks down.
    pub fn ids(&self) -> Result<BTreeSet<String>, StoreError> {
        let lineage = Lineage::new(&self.looked);
        let mut ids = BTreeSet::new();
        for id in self.looked.pipeline.graph.node_indices() {
            for table in lineage.made(id)? {
                ids.extend(table.places.keys().cloned());
            }
        }
        Ok(ids)
    }
}

/// The answer to an item of one arm in one draw.
fn answer(
    lineage: &Lineage<'_, '_>,
    study: &Study,
    arm: &str,
    (draw, node): (&str, NodeId),
    id: &str,
    resembling: &mut Resembling,
    found: &mut Vec<TracedAnswer>,
) -> Result<(), StoreError> {
    let Some(table) = lineage.scored(node, &study.comparison)? else { return Ok(()) };
    let Some(&place) = table.places.get(id) else { return Ok(()) };
    let columns = table.row(place);
    let question = columns.get("instruction").and_then(Value::as_str).unwrap_or_default();
    let like = resembling.rows(lineage, node, question, RESEMBLING)?;
    let is_trained = like.is_some();
    let like = like.unwrap_or_default().into_iter().map(|(row, score)| Ok((score, traced(lineage, &row)?)));
    found.push(TracedAnswer {
        arm: arm.to_owned(),
        draw: draw.to_owned(),
        metrics: study.comparison.metrics.iter().map(|metric| metric.name.clone()).collect(),
        resembling: like.collect::<Result<_, StoreError>>()?,
        is_trained,
        columns,
    });
    Ok(())
}

/// The row in every table that has another one of it.
fn rows(lineage: &Lineage<'_, '_>, id: &str) -> Result<Vec<TracedRow>, StoreError> {
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    let mut rows: Vec<TracedRow> = Vec::new();
    for node in lineage.looked.pipeline.graph.node_indices() {
        for table in lineage.made(node)? {
            let Some(&place) = table.places.get(id) else { continue };
            if !seen.insert(table.digest) {
                continue;
            }
            let row = traced(lineage, &Found { node, table, place })?;
            // Nested tables have the same row.
            match rows.iter_mut().find(|known| known.stage == row.stage && known.columns == row.columns) {
                Some(known) => known.variants.extend(row.variants),
                None => rows.push(row),
            }
        }
    }
    Ok(rows)
}

fn traced(lineage: &Lineage<'_, '_>, found: &Found) -> Result<TracedRow, StoreError> {
    let pipeline = lineage.looked.pipeline;
    let columns = found.table.row(found.place);
    let id = columns.get("id").and_then(Value::as_str).unwrap_or_default();
    let from = lineage.origins(found.node, id)?.into_iter().map(|origin| {
        let columns = match (&origin.found, origin.text) {
            (Some(found), _) => found.table.row(found.place),
            (None, Some(text)) => [("text".to_owned(), Value::from(text))].into_iter().collect(),
            (None, None) => Map::new(),
        };
        (origin.how, origin.id, columns)
    });
    let placements = &pipeline.graph[found.node].placements;
    Ok(TracedRow {
        stage: pipeline.stages[lineage.looked.stage_of(found.node)].name.clone(),
        variants: placements.iter().map(|&(v, _)| pipeline.variants[v as usize].name.clone()).collect(),
        from: from.collect(),
        columns,
    })
}

/// What an id influenced in one arm and draw. `known` are the rows made from it, by table.
fn influence(
    lineage: &Lineage<'_, '_>,
    arm: &str,
    (draw, node): (&str, NodeId),
    id: &str,
    known: &mut HashMap<Digest, BTreeSet<String>>,
    found: &mut Vec<Influence>,
) -> Result<(), StoreError> {
    let pipeline = lineage.looked.pipeline;
    let Some((_, examples)) = lineage.trained_on(node)? else { return Ok(()) };
    let upstream = pipeline.upstream([node]);
    let (mut all, mut by_stage) = (BTreeSet::new(), Vec::new());
    for of in (0..upstream.len()).filter(|&of| upstream[of] && of != node.index()).map(NodeId::new) {
        // Who only carries a column along was not given what it names.
        if !lineage.given(of)?.iter().any(|(_, table)| table.places.contains_key(id)) {
            continue;
        }
        let mut of_stage = BTreeSet::new();
        for table in lineage.made(of)? {
            of_stage.extend(known.entry(table.digest).or_insert_with(|| made_from(&table, id)).iter().cloned());
        }
        if !of_stage.is_empty() {
            by_stage.push((pipeline.stages[lineage.looked.stage_of(of)].name.clone(), of_stage.len()));
            all.extend(of_stage);
        }
    }
    all.insert(id.to_owned());
    found.push(Influence {
        arm: arm.to_owned(),
        draw: draw.to_owned(),
        rows: by_stage,
        trained_on: all.iter().filter(|row| examples.places.contains_key(*row)).count(),
        training_rows: examples.places.len(),
    });
    Ok(())
}

/// The ids of rows that name an id among their demonstrations or passages.
fn made_from(table: &Keyed, id: &str) -> BTreeSet<String> {
    let demonstrations = columns::text_lists(&table.rows, "", "demonstrations").ok().flatten();
    let passages = columns::passages(&table.rows, "", columns::Shown::default()).ok().flatten();
    let names = |row: usize| {
        demonstrations.as_ref().is_some_and(|all| all[row].iter().any(|of| of == id))
            || passages.as_ref().is_some_and(|all| all[row].iter().any(|passage| passage.id == id))
    };
    table.places.iter().filter(|&(_, &row)| names(row)).map(|(id, _)| id.clone()).collect()
}
