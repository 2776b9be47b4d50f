//! The whole page: what was compared, and what it stands on.

use std::{collections::BTreeSet, rc::Rc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use pipe_cache::{ArtifactKind, StoreError};
use pipe_engine::{
    execute::link_path,
    keys::{ResultRecord, SourceContent},
    kind::{Highlight, StageError},
    pipeline::NodeId,
};
use pipe_report::{Cell, Curve, Funnel, Made, Output, Report, Sharing, Stage};

use super::{
    Looked, Results, Study, StudyArm, arms,
    differing::set,
    lineage::{Keyed, Lineage},
    read,
    resembling::Resembling,
    samples, words,
};
use crate::comparison::{self, Arms, CompareParams, GoOn, Input};

/// Points that are kept of a curve.
const POINTS: usize = 300;
/// Curves that are drawn, and funnels that are listed.
const CURVES: usize = 60;
/// Variants in the sharing picture.
const VARIANTS: usize = 100;
/// Computations whose provenance is told.
const STAGES: usize = 300;

/// Everything that the page shows. `time` says a time in milliseconds since 1970 for people.
pub(super) fn report(
    looked: &Looked<'_>,
    results: &Results,
    made: Made,
    time: &dyn Fn(u64) -> String,
) -> Result<Report, StoreError> {
    let lineage = Lineage::new(looked);
    let (mut resembling, mut rows) = (Resembling::default(), samples::Rows::default());
    let mut studies = results.studies.clone();
    for study in &mut studies {
        samples::fill(&lineage, study, &mut resembling, &mut rows)?;
    }
    let (curves, funnels) = drawn(looked)?;
    Ok(Report {
        title: results.title.clone(),
        question: results.question.clone(),
        answer: words::answer(&results.studies),
        made: Some(made),
        failures: results.failures.clone(),
        comparisons: studies.into_iter().map(|study| study.comparison).collect(),
        curves,
        funnels,
        sharing: Some(sharing(looked)),
        stages: stages(looked, time)?,
        rows: rows.all,
    })
}

/// The page of a stage: arms of its inputs, held against each other. It depends on these alone.
pub(crate) fn page_of(
    title: String,
    question: Option<String>,
    params: &CompareParams,
    inputs: Vec<Input>,
    go_on: GoOn<'_>,
) -> Result<Report, StageError> {
    let arms = Arms::read(params, inputs.clone())?;
    let mut comparison = arms::plain(title.clone(), params, &arms);
    let mut study = Study::default();
    if arms.all.len() < 2 {
        study.not_compared = Some("there is one arm".to_owned());
    } else {
        let answers = comparison::answers(params, &arms, go_on)?;
        study.not_compared = read::fill(&mut comparison, &answers).err();
    }
    let draw = arms.all.iter().find_map(|arm| arm.draws.keys().next());
    let table = |arm: &comparison::Arm| {
        let digest = arm.draws.get(draw?)?.content;
        let input = inputs.iter().find(|input| input.name == arm.input)?;
        let content = input.pieces.iter().filter_map(|piece| piece.table.as_ref()).find(|of| of.digest == digest)?;
        Some(Rc::new(Keyed::new(content.rows.clone(), digest)))
    };
    let tables: Vec<Option<Rc<Keyed>>> = arms.all.iter().take(samples::ARMS).map(table).collect();
    samples::of_tables(&mut comparison, &tables);
    comparison.samples_draw = draw.filter(|draw| !draw.is_empty()).cloned();
    study.arms = vec![StudyArm::default(); arms.all.len()];
    study.comparison = comparison;
    let answer = words::answer(std::slice::from_ref(&study));
    Ok(Report { title, question, answer, comparisons: vec![study.comparison], ..Report::default() })
}

/// The variants of a node under one name of a stage.
fn variants(looked: &Looked<'_>, node: NodeId, stage: usize) -> Vec<String> {
    let placements = &looked.pipeline.graph[node].placements;
    let of_stage = placements.iter().filter(|(_, of)| *of as usize == stage);
    of_stage.map(|&(variant, _)| looked.pipeline.variants[variant as usize].name.clone()).collect()
}

/// Losses of trainings, and what became of rows.
fn drawn(looked: &Looked<'_>) -> Result<(Vec<Curve>, Vec<Funnel>), StoreError> {
    let (mut curves, mut funnels) = (Vec::new(), Vec::new());
    for id in looked.pipeline.graph.node_indices() {
        if looked.entry(id).is_none() {
            continue;
        }
        let stage = looked.stage_of(id);
        let (name, of) = (looked.pipeline.stages[stage].name.clone(), variants(looked, id, stage));
        let all = of.len() == looked.pipeline.variants.len();
        let arm = if all { "all variants".to_owned() } else { of.join(", ") };
        if curves.len() < CURVES
            && let Some(log) = looked.output(id, "log")?
            && let Some((loss, held_out)) = losses(&log)
        {
            curves.push(Curve { stage: name.clone(), arm: arm.clone(), draw: None, loss, held_out });
        }
        let node = &looked.pipeline.graph[id];
        for highlight in node.kind.highlights(&node.params) {
            let Highlight::Yield { port } = highlight else { continue };
            if funnels.len() < CURVES
                && let Some(table) = looked.output(id, port)?
            {
                funnels.push(Funnel { stage: name.clone(), arm: arm.clone(), outcomes: outcomes(&table) });
            }
        }
    }
    Ok((curves, funnels))
}

type Points = Vec<(f64, f64)>;

fn losses(log: &RecordBatch) -> Option<(Points, Points)> {
    let (steps, losses) = (numbers(log, "step")?, numbers(log, "loss")?);
    let held_out = numbers(log, "eval_loss").unwrap_or_default();
    let points = |values: &[Option<f64>]| {
        let points = steps.iter().zip(values).filter_map(|(step, value)| Some(((*step)?, (*value)?)));
        thinned(points.filter(|(_, value)| value.is_finite()).collect())
    };
    Some((points(&losses), points(&held_out)))
}

/// Every so many points, and the last.
fn thinned(points: Points) -> Points {
    let every = points.len().div_ceil(POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points.into_iter().enumerate().filter(|(place, _)| place % every == 0 || *place == last).map(|(_, p)| p).collect()
}

fn numbers(table: &RecordBatch, column: &str) -> Option<Vec<Option<f64>>> {
    let numbers = cast(table.column_by_name(column)?, &DataType::Float64).ok()?;
    Some(numbers.as_primitive::<Float64Type>().iter().collect())
}

fn outcomes(table: &RecordBatch) -> Vec<(String, u64)> {
    let names = table.column_by_name("outcome").and_then(|column| cast(column, &DataType::Utf8).ok());
    let (Some(names), Some(counts)) = (names, numbers(table, "count")) else { return Vec::new() };
    let names = names.as_string::<i32>();
    (0..names.len()).filter_map(|row| Some((names.value(row).to_owned(), counts[row]? as u64))).collect()
}

/// What variants share.
fn sharing(looked: &Looked<'_>) -> Sharing {
    let pipeline = looked.pipeline;
    let seconds = |node: NodeId| looked.entry(node).map_or(0.0, |entry| entry.seconds);
    let state = |node: NodeId| {
        let at = node.index();
        match looked.entry(node) {
            _ if looked.heard.has_failed(at) => "failed",
            None if looked.heard.was_skipped(at) => "skipped",
            None => "absent",
            Some(_) if looked.heard.paid.contains_key(&(at as u32)) => "computed",
            Some(_) => "reused",
        }
    };
    let cell = |node: NodeId| Cell {
        // What has no result has no key to be told: its number tells it from others.
        key: looked.entry(node).map_or_else(|| format!("node {}", node.index()), |entry| entry.key.short()),
        state: state(node).to_owned(),
        seconds: seconds(node),
    };
    let row =
        |variant: usize| (0..pipeline.stages.len()).map(|stage| pipeline.node(variant, stage).map(cell)).collect();
    let shown = pipeline.variants.len().min(VARIANTS);
    let distinct: BTreeSet<NodeId> = pipeline.placements().map(|(.., node)| node).collect();
    Sharing {
        stages: pipeline.stages.iter().map(|stage| stage.name.clone()).collect(),
        variants: pipeline.variants[..shown].iter().map(|variant| variant.name.clone()).collect(),
        cells: (0..shown).map(row).collect(),
        unshared_seconds: pipeline.placements().map(|(.., node)| seconds(node)).sum(),
        seconds: distinct.into_iter().map(seconds).sum(),
        // Of nothing, the sum is -0.
        run_seconds: looked.heard.paid.values().sum::<f64>() + 0.0,
        left_out: pipeline.variants.len() - shown,
    }
}

/// Where every computation comes from.
fn stages(looked: &Looked<'_>, time: &dyn Fn(u64) -> String) -> Result<Vec<Stage>, StoreError> {
    let pipeline = looked.pipeline;
    let mut found: Vec<(usize, Stage)> = Vec::new();
    for id in pipeline.graph.node_indices() {
        if found.len() >= STAGES {
            break;
        }
        let Some(entry) = looked.entry(id) else { continue };
        let provenance = looked.store.manifest(&entry.key)?.map(|manifest| manifest.provenance).unwrap_or_default();
        let record = serde_json::from_value::<ResultRecord>(provenance.record).ok();
        let (variant, stage) = pipeline.graph[id].placements[0];
        let name = pipeline.stages[stage as usize].name.clone();
        let outputs = entry.outputs.iter().enumerate().map(|(place, (port, artifact))| {
            let path = link_path(pipeline, variant as usize, &name, (place, port), artifact.kind);
            // The page stands in the pipeline's own folder.
            let path: Vec<String> = path.iter().skip(1).map(|part| part.to_string_lossy().into_owned()).collect();
            Output {
                name: port.clone(),
                rows: (artifact.kind == ArtifactKind::Table).then_some(artifact.rows),
                digest: artifact.digest.short(),
                path: Some(path.join("/")),
            }
        });
        let source = |content: &SourceContent| match content {
            SourceContent::Content(digest) => digest.short(),
            SourceContent::Files(files) => format!("{} files", files.len()),
            SourceContent::Value(value) => value.to_string(),
            SourceContent::Env(value) => set(value.as_deref()).to_owned(),
        };
        let key = record.as_ref().map(|record| &record.key);
        found.push((
            stage as usize,
            Stage {
                kind: format!("{} {}", pipeline.graph[id].kind.name(), pipeline.graph[id].kind.version()),
                variants: variants(looked, id, stage as usize),
                key: entry.key.to_string(),
                software: provenance.software,
                started: time(provenance.started_ms),
                seconds: entry.seconds,
                parameters: key
                    .map_or_else(String::new, |key| serde_json::to_string_pretty(&key.params).unwrap_or_default()),
                sources: key.map_or_else(Vec::new, |key| {
                    key.sources.iter().map(|of| (of.label.clone(), source(&of.content))).collect()
                }),
                outputs: outputs.collect(),
                name,
            },
        ));
    }
    found.sort_by_key(|(stage, _)| *stage);
    Ok(found.into_iter().map(|(_, stage)| stage).collect())
}
