//! Which stages are compared with each other, and what that came to.
//!
//! A stage `compare` says what its author wants compared, and how. Stages with scores that no such stage takes are
//! compared as it would by itself, those together that have items and metrics in common.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use arrow::array::{AsArray, RecordBatch};
use pipe_cache::{ArtifactKind, ArtifactRef, StoreError};
use pipe_engine::{kind::StageError, pipeline::NodeId};

use super::{Looked, Study, arms, read, study::From};
use crate::{
    comparison::{self, Answers, Arms, CompareParams, Content, Input, Piece},
    kinds::score,
};

/// Above so many pairs of arms and tasks, no questions are asked by task where nobody wants them.
const BY_TASK: usize = 2000;

/// What is to be compared.
struct Wanted {
    name: String,
    params: CompareParams,
    from: Vec<(From, Input)>,
    /// Inputs that say what metrics are.
    signatures: Vec<Input>,
    /// The stage `compare` that says the same, and may have its result.
    by: Option<NodeId>,
    /// Whether there are rows, and none of them can be told from the others.
    unfit: bool,
}

/// All studies: those of stages `compare` in the order of the file, then the others.
pub(super) fn studies(looked: &Looked<'_>) -> Result<Vec<Study>, StoreError> {
    let (mut wanted, mut covered) = (Vec::new(), BTreeSet::new());
    for stage in 0..looked.pipeline.stages.len() {
        let nodes: BTreeSet<NodeId> = looked.pipeline.stage_nodes(stage).collect();
        let of_kind = nodes.into_iter().filter(|&node| looked.pipeline.graph[node].kind.name() == comparison::KIND);
        for node in of_kind {
            wanted.push(asked_for(looked, stage, node, &mut covered)?);
        }
    }
    wanted.extend(others(looked, &covered)?);
    wanted.into_iter().map(|wanted| study(looked, wanted)).collect()
}

/// What a stage `compare` compares.
fn asked_for(
    looked: &Looked<'_>,
    stage: usize,
    node: NodeId,
    covered: &mut BTreeSet<usize>,
) -> Result<Wanted, StoreError> {
    let spec = &looked.pipeline.graph[node];
    let params = spec.params.downcast_ref::<CompareParams>().expect("a kind parses its own parameters").clone();
    let (mut from, mut signatures) = (Vec::new(), Vec::new());
    let mut inputs: Vec<_> = spec.inputs.iter().collect();
    inputs.sort_by(|a, b| a.port.cmp(&b.port));
    for input in inputs {
        let mut nodes: Vec<(Option<usize>, NodeId)> = Vec::new();
        let mut pieces: Vec<(usize, Piece)> = Vec::new();
        for edge in &input.edges {
            let artifact = looked.entry(edge.node).map(|entry| entry.outputs[edge.output].1);
            let table = artifact.map(|artifact| content(looked, &artifact)).transpose()?;
            if input.gather {
                for &variant in &edge.variants {
                    nodes.push((Some(variant), edge.node));
                    let from = Some(looked.pipeline.variants[variant].gathered());
                    pieces.push((variant, Piece { from, table: table.clone() }));
                }
            } else {
                nodes.push((None, edge.node));
                pieces.push((0, Piece { from: None, table }));
            }
        }
        pieces.sort_by_key(|(variant, _)| *variant);
        nodes.sort_by_key(|(variant, _)| *variant);
        let pieces: Vec<Piece> = pieces.into_iter().map(|(_, piece)| piece).collect();
        let read = Input { name: input.port.clone(), pieces, leads: false };
        if read.has_signatures(&params) {
            signatures.push(read);
        } else {
            covered.extend(nodes.iter().map(|&(_, node)| looked.stage_of(node)));
            from.push((From { input: input.port.clone(), nodes }, read));
        }
    }
    let name = looked.pipeline.stages[stage].name.clone();
    Ok(Wanted { name, params, from, signatures, by: Some(node), unfit: false })
}

/// A stage with scores that no stage `compare` takes.
struct Other {
    stage: usize,
    from: From,
    input: Input,
    metrics: Vec<String>,
    ids: BTreeSet<String>,
    arms: usize,
    unfit: bool,
}

/// Stages with scores that no stage `compare` takes, those together that have items and metrics in common.
fn others(looked: &Looked<'_>, covered: &BTreeSet<usize>) -> Result<Vec<Wanted>, StoreError> {
    let mut groups: Vec<Vec<Other>> = Vec::new();
    for stage in (0..looked.pipeline.stages.len()).filter(|stage| !covered.contains(stage)) {
        let Some(other) = scoring(looked, stage)? else { continue };
        let is_like = |of: &Other| {
            !of.unfit
                && !other.unfit
                && of.metrics.iter().any(|metric| other.metrics.contains(metric))
                && (of.ids.is_empty() || other.ids.is_empty() || !of.ids.is_disjoint(&other.ids))
        };
        match groups.iter_mut().find(|group| group.iter().all(is_like)) {
            Some(group) => group.push(other),
            None => groups.push(vec![other]),
        }
    }
    let names = |group: &[Other]| {
        group.iter().map(|of| looked.pipeline.stages[of.stage].name.clone()).collect::<Vec<_>>().join(", ")
    };
    let wanted = groups.into_iter().map(|mut group| {
        // The one that is ablated most is what the others are held against.
        group.sort_by_key(|other| std::cmp::Reverse(other.arms));
        let all = |metric: &&String| group.iter().all(|of| of.metrics.contains(metric));
        let mut metrics: Vec<String> = group[0].metrics.iter().filter(all).cloned().collect();
        if group.iter().map(|of| of.arms).sum::<usize>() > 1 {
            score::leave_out_what_bits_say(&mut metrics);
        }
        group[0].input.leads = true;
        let params = CompareParams { metrics, ..CompareParams::default() };
        let name = names(&group);
        let unfit = group[0].unfit;
        let from = group.into_iter().map(|other| (other.from, other.input)).collect();
        Wanted { name, params, from, signatures: Vec::new(), by: None, unfit }
    });
    Ok(wanted.collect())
}

/// The items of a stage with scores; `None` if it has none.
fn scoring(looked: &Looked<'_>, stage: usize) -> Result<Option<Other>, StoreError> {
    let placed: Vec<(usize, NodeId)> = (0..looked.pipeline.variants.len())
        .filter_map(|variant| Some((variant, looked.pipeline.node(variant, stage)?)))
        .collect();
    let Some(&(_, first)) = placed.first() else { return Ok(None) };
    let scores = looked.scores(first);
    if scores.is_empty() {
        return Ok(None);
    }
    let mut tables: BTreeMap<NodeId, Option<Content>> = BTreeMap::new();
    for &(_, node) in &placed {
        if let Entry::Vacant(place) = tables.entry(node) {
            place.insert(items(looked, node, &scores)?);
        }
    }
    let any = tables.values().flatten().next();
    let metrics = scores.iter().map(|(name, _)| name).filter(|name| {
        any.is_none_or(|table| table.rows.schema().field_with_name(name).is_ok_and(|f| f.data_type().is_numeric()))
    });
    let ids = any.and_then(|table| table.rows.column_by_name("id")?.as_string_opt::<i32>());
    let name = &looked.pipeline.stages[stage].name;
    let piece = |&(variant, node): &(usize, NodeId)| Piece {
        from: Some(looked.pipeline.variants[variant].gathered()),
        table: tables[&node].clone(),
    };
    Ok(Some(Other {
        stage,
        metrics: metrics.cloned().collect(),
        ids: ids.map(|ids| ids.iter().flatten().map(str::to_owned).collect()).unwrap_or_default(),
        arms: tables.len(),
        unfit: tables.iter().any(|(&node, table)| table.is_none() && looked.entry(node).is_some()),
        input: Input { name: name.clone(), pieces: placed.iter().map(piece).collect(), leads: false },
        from: From {
            input: name.clone(),
            nodes: placed.iter().map(|&(variant, node)| (Some(variant), node)).collect(),
        },
    }))
}

/// The first output with rows that have an `id` and a column of scores.
fn items(looked: &Looked<'_>, node: NodeId, scores: &[(String, String)]) -> Result<Option<Content>, StoreError> {
    let Some(entry) = looked.entry(node) else { return Ok(None) };
    for (_, artifact) in entry.outputs.iter().filter(|(_, artifact)| artifact.kind == ArtifactKind::Table) {
        let schema = looked.schema(artifact)?;
        let has = |name: &str| schema.field_with_name(name).is_ok();
        if has("id") && scores.iter().any(|(name, _)| has(name)) {
            return content(looked, artifact).map(Some);
        }
    }
    Ok(None)
}

fn content(looked: &Looked<'_>, artifact: &ArtifactRef) -> Result<Content, StoreError> {
    Ok(Content { rows: looked.table(artifact)?, digest: artifact.digest })
}

fn study(looked: &Looked<'_>, wanted: Wanted) -> Result<Study, StoreError> {
    let Wanted { name, params, from, signatures, by, unfit } = wanted;
    let (from, inputs): (Vec<From>, Vec<Input>) = from.into_iter().unzip();
    if unfit {
        let error = StageError::user("its rows have no `id` with a score beside it");
        return Ok(arms::uncompared(looked, name, &from, &error));
    }
    let mut arms = match Arms::read(&params, inputs.into_iter().chain(signatures).collect()) {
        Ok(arms) => arms,
        Err(error) => return Ok(arms::uncompared(looked, name, &from, &error)),
    };
    let tasks_left_out = by.is_none() && arms.tasks.len() * arms.all.len() > BY_TASK;
    if tasks_left_out {
        arms.tasks.clear();
    }
    let mut study = arms::described(looked, name, &params, &arms, &from)?;
    study.tasks_left_out = tasks_left_out;
    let kept = by.map(|node| kept(looked, node)).transpose()?.flatten();
    let answers = match kept {
        Some(answers) => Ok(answers),
        None if arms.all.iter().all(|arm| arm.draws.is_empty()) => {
            Err(StageError::user("none of its arms has a result yet"))
        }
        None if arms.all.len() < 2 => Err(StageError::user("there is one arm")),
        None => comparison::answers(&params, &arms, &|| Ok(())),
    };
    match answers {
        Ok(answers) => study.not_compared = read::fill(&mut study.comparison, &answers).err(),
        Err(error) => study.not_compared = Some(error.to_string()),
    }
    Ok(study)
}

/// What a stage `compare` has found, if it has a result.
fn kept(looked: &Looked<'_>, node: NodeId) -> Result<Option<Answers>, StoreError> {
    let table = |port: &str| -> Result<Option<RecordBatch>, StoreError> { looked.output(node, port) };
    let tables = (
        (table("effects")?, table("means")?, table("variance")?),
        (table("trends")?, table("contrasts")?, table("left_out")?),
    );
    let ((Some(effects), Some(means), Some(variance)), (Some(trends), Some(contrasts), Some(left_out))) = tables else {
        return Ok(None);
    };
    Ok(Some(Answers { effects, means, variance, trends, contrasts, left_out, warnings: Vec::new() }))
}
