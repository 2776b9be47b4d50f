//! The table of arms, gathered from the store: a row for every computation with scores.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Float64Type, Int64Type},
};
use pipe_cache::{Entry, Provenance, ReadOptions, Store, StoreError};

use crate::{
    context::Increment,
    events::{Arm, ArmCount, ArmScore, ArmYield, Journal, Timings, Work},
    kind::Highlight,
    pipeline::{Node, NodeId, Pipeline},
};

/// What is known of one node.
#[derive(Debug, Clone, Default)]
pub struct Reached {
    /// Its result, where it has one.
    pub entry: Option<Arc<Entry>>,
    /// Seconds that this run took for it.
    pub seconds_paid: f64,
    /// Whether this run did not have to compute it.
    pub reused: bool,
}

/// What the arms came to, by stage and variant; and which nodes could not be read, and why.
pub fn arms(pipeline: &Pipeline, store: &Store, nodes: &[Reached]) -> (Vec<Arm>, Vec<(NodeId, StoreError)>) {
    Gather { pipeline, store, nodes }.arms()
}

/// What a node gives to the rows of those that stand on it.
#[derive(Default)]
struct Share {
    kept: Option<ArmYield>,
    /// Counter, heading and count.
    counts: Vec<(&'static str, &'static str, u64)>,
    /// What it takes from nothing.
    seconds: f64,
}

struct Gather<'a> {
    pipeline: &'a Pipeline,
    store: &'a Store,
    /// By node index.
    nodes: &'a [Reached],
}

impl Gather<'_> {
    fn arms(&self) -> (Vec<Arm>, Vec<(NodeId, StoreError)>) {
        let (mut arms, mut problems) = (Vec::new(), Vec::new());
        let declared: Vec<Vec<Highlight>> = (self.pipeline.graph.node_weights())
            .zip(self.nodes)
            .map(|(node, reached)| match reached.entry {
                Some(_) => node.kind.highlights(&node.params),
                None => Vec::new(),
            })
            .collect();
        let mut scoring: Vec<usize> = (0..declared.len()).filter(|&n| declared[n].iter().any(is_score)).collect();
        if scoring.is_empty() {
            return (arms, problems);
        }
        let _span = tracing::info_span!("arms").entered();
        let place = |&node: &usize| {
            let (variant, stage) = self.pipeline.graph[NodeId::new(node)].placements[0];
            (stage, variant)
        };
        scoring.sort_by_key(place);
        let timings = Timings::read(&Journal::new(self.store)).unwrap_or_default();
        let mut shares: BTreeMap<usize, Share> = BTreeMap::new();
        for node in scoring {
            let upstream = self.upstream(node);
            for &n in &upstream {
                if let btree_map::Entry::Vacant(entry) = shares.entry(n) {
                    entry.insert(self.share(n, &declared, &timings).unwrap_or_else(|error| {
                        problems.push((NodeId::new(n), error));
                        Share::default()
                    }));
                }
            }
            match self.scores(node, &declared[node]) {
                Ok(scores) => arms.push(self.arm(node, scores, &upstream, &shares)),
                Err(error) => problems.push((NodeId::new(node), error)),
            }
        }
        (arms, problems)
    }

    /// The node and everything it stands on, producers first; without what failed and was done without.
    fn upstream(&self, node: usize) -> Vec<usize> {
        let marked = self.pipeline.upstream([NodeId::new(node)]);
        (0..marked.len()).filter(|&n| marked[n] && self.nodes[n].entry.is_some()).collect()
    }

    fn entry(&self, node: usize) -> &Arc<Entry> {
        self.nodes[node].entry.as_ref().expect("only nodes with a result are asked")
    }

    fn share(&self, node: usize, all: &[Vec<Highlight>], timings: &Timings) -> Result<Share, StoreError> {
        let declared = &all[node];
        // Behind a stage with scores, rows are those of an exam, and no longer those that were made for the arm.
        let is_behind_scores = || self.upstream(node).iter().any(|&n| all[n].iter().any(is_score));
        let entry = self.entry(node);
        let mut share = Share { seconds: entry.seconds, ..Share::default() };
        let Node { kind, params, .. } = &self.pipeline.graph[NodeId::new(node)];
        let by_row = kind.increment(params) != Increment::Whole;
        let counted = declared.iter().any(|highlight| matches!(highlight, Highlight::Count { .. }));
        let provenance = if by_row || counted {
            self.store.manifest(&entry.key)?.map(|m| m.provenance).unwrap_or_default()
        } else {
            Provenance::default()
        };
        let count = |name: &str| provenance.counters.get(name).copied().unwrap_or_default();
        let (computed, reused) = (count("rows_computed"), count("rows_reused"));
        if reused > 0
            && let Some(per_row) = timings.per_row(kind.name(), provenance.recipe.as_ref(), Work::Rows)
        {
            share.seconds = share.seconds.max(per_row * (computed + reused) as f64);
        }
        for highlight in declared {
            match highlight {
                Highlight::Yield { .. } if is_behind_scores() => {}
                Highlight::Yield { port } => share.kept = self.read(node, port)?.as_ref().and_then(read_yield),
                Highlight::Count { counter, heading } => share.counts.push((counter, heading, count(counter))),
                Highlight::Score { .. } => {}
            }
        }
        Ok(share)
    }

    fn scores(&self, node: usize, declared: &[Highlight]) -> Result<Vec<ArmScore>, StoreError> {
        let mut tables: BTreeMap<&str, Option<RecordBatch>> = BTreeMap::new();
        let mut scores = Vec::new();
        for highlight in declared {
            let Highlight::Score { name, heading, port, row: (key, text), value, standard_error } = highlight else {
                continue;
            };
            if !tables.contains_key(port) {
                tables.insert(port, self.read(node, port)?);
            }
            let table = tables[port].as_ref();
            let row = table.and_then(|table| find_row(table, key, text));
            let cell = |column: &str| number(table?, row?, column);
            scores.push(ArmScore {
                name: name.to_string(),
                heading: heading.to_string(),
                value: cell(value),
                standard_error: standard_error.as_ref().and_then(|column| cell(column)),
            });
        }
        Ok(scores)
    }

    fn read(&self, node: usize, port: &str) -> Result<Option<RecordBatch>, StoreError> {
        let Some(artifact) = self.entry(node).output(port) else { return Ok(None) };
        let reader = self.store.open_table(artifact, &ReadOptions::default())?;
        let schema = Arc::clone(reader.schema());
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        Ok(concat_batches(&schema, &batches).ok())
    }

    fn arm(&self, node: usize, scores: Vec<ArmScore>, upstream: &[usize], shares: &BTreeMap<usize, Share>) -> Arm {
        let placements = &self.pipeline.graph[NodeId::new(node)].placements;
        let variants: Vec<_> = placements.iter().map(|&(v, _)| &self.pipeline.variants[v as usize]).collect();
        let mut factors = variants[0].factors.clone();
        factors.retain(|name, value| variants.iter().all(|v| v.factors.get(name) == Some(value)));
        let mut counts: Vec<ArmCount> = Vec::new();
        let mut kept: Option<ArmYield> = None;
        for share in upstream.iter().map(|n| &shares[n]) {
            if let Some(share) = share.kept {
                kept = Some(ArmYield { kept: share.kept, ..kept.unwrap_or(share) });
            }
            for &(name, heading, count) in &share.counts {
                match counts.iter_mut().find(|c| c.name == name) {
                    Some(sum) => sum.count += count,
                    None => counts.push(ArmCount { name: name.to_owned(), heading: heading.to_owned(), count }),
                }
            }
        }
        let reused = |&&n: &&usize| self.nodes[n].reused;
        Arm {
            stage: self.pipeline.stages[placements[0].1 as usize].name.clone(),
            variants: variants.iter().map(|v| v.name.clone()).collect(),
            factors,
            scores,
            kept,
            counts,
            seconds: upstream.iter().map(|n| shares[n].seconds).sum(),
            seconds_paid: upstream.iter().map(|&n| self.nodes[n].seconds_paid).sum(),
            stages: upstream.len(),
            reused: upstream.iter().filter(reused).count(),
        }
    }
}

fn is_score(highlight: &Highlight) -> bool {
    matches!(highlight, Highlight::Score { .. })
}

/// The first row that has `text` in the column `key`.
fn find_row(table: &RecordBatch, key: &str, text: &str) -> Option<usize> {
    let keys = table.column_by_name(key)?.as_string_opt::<i32>()?;
    (0..keys.len()).find(|&row| keys.is_valid(row) && keys.value(row) == text)
}

/// A number of any type; `None` where there is none.
fn number(table: &RecordBatch, row: usize, column: &str) -> Option<f64> {
    let numbers = cast(table.column_by_name(column)?, &DataType::Float64).ok()?;
    let numbers = numbers.as_primitive::<Float64Type>();
    numbers.is_valid(row).then(|| numbers.value(row))
}

/// The counts of the rows `attempted` and `kept`.
fn read_yield(table: &RecordBatch) -> Option<ArmYield> {
    let counts = cast(table.column_by_name("count")?, &DataType::Int64).ok()?;
    let counts = counts.as_primitive::<Int64Type>();
    let count = |outcome| find_row(table, "outcome", outcome).and_then(|row| u64::try_from(counts.value(row)).ok());
    Some(ArmYield { attempted: count("attempted")?, kept: count("kept")? })
}
