//! The table of arms, gathered from the store when everything has ended.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::{cast, concat_batches},
    datatypes::{DataType, Float64Type, Int64Type},
};
use pipe_cache::{Entry, Provenance, ReadOptions, StoreError};

use super::coordinator::Coordinator;
use crate::{
    context::Increment,
    events::{Arm, ArmCount, ArmScore, ArmYield, EventKind, Journal, Timings, Work},
    kind::Highlight,
    pipeline::{Node, NodeId},
};

/// What a node gives to the rows of those that stand on it.
#[derive(Default)]
struct Share {
    kept: Option<ArmYield>,
    /// Counter, heading and count.
    counts: Vec<(&'static str, &'static str, u64)>,
    /// What it takes from nothing.
    seconds: f64,
}

impl Coordinator<'_> {
    /// Says what the arms came to, if any stage has scores. What cannot be read is left out and warned of: the run
    /// itself is over.
    pub(super) fn tell_arms(&mut self) {
        let declared: Vec<Vec<Highlight>> = (self.pipeline.graph.node_weights())
            .zip(&self.nodes)
            .map(|(node, state)| match state.entry {
                Some(_) => node.kind.highlights(&node.params),
                None => Vec::new(),
            })
            .collect();
        let mut scoring: Vec<usize> = (0..declared.len()).filter(|&n| declared[n].iter().any(is_score)).collect();
        if scoring.is_empty() {
            return;
        }
        let _span = tracing::info_span!("arms").entered();
        let place = |&node: &usize| {
            let (variant, stage) = self.pipeline.graph[NodeId::new(node)].placements[0];
            (stage, variant)
        };
        scoring.sort_by_key(place);
        let timings = Timings::read(&Journal::new(&self.run.store)).unwrap_or_default();
        let mut shares: BTreeMap<usize, Share> = BTreeMap::new();
        let (mut arms, mut problems) = (Vec::new(), Vec::new());
        for node in scoring {
            let upstream = self.upstream(node);
            for &n in &upstream {
                if let btree_map::Entry::Vacant(entry) = shares.entry(n) {
                    entry.insert(self.share(n, &declared, &timings).unwrap_or_else(|error| {
                        problems.push((n, error));
                        Share::default()
                    }));
                }
            }
            match self.scores(node, &declared[node]) {
                Ok(scores) => arms.push(self.arm(node, scores, &upstream, &shares)),
                Err(error) => problems.push((node, error)),
            }
        }
        for (node, error) in problems {
            let message = format!("it is left out of the table of arms: {error}");
            self.emitter.emit(EventKind::Warning { node: Some(self.name(node as u32)), message });
        }
        self.emitter.emit(EventKind::Arms { arms });
    }

    /// The node and everything it stands on, producers first.
    fn upstream(&self, node: usize) -> Vec<usize> {
        let marked = self.pipeline.upstream([NodeId::new(node)]);
        (0..marked.len()).filter(|&n| marked[n]).collect()
    }

    fn entry(&self, node: usize) -> &Arc<Entry> {
        self.nodes[node].entry.as_ref().expect("what a result stands on has a result")
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
            self.run.store.manifest(&entry.key)?.map(|m| m.provenance).unwrap_or_default()
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
        let reader = self.run.store.open_table(artifact, &ReadOptions::default())?;
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
        let reused = |&&n: &&usize| self.nodes[n].hit || !self.selected.run[n];
        Arm {
            stage: self.pipeline.stages[placements[0].1 as usize].name.clone(),
            variants: variants.iter().map(|v| v.name.clone()).collect(),
            factors,
            scores,
            kept,
            counts,
            seconds: upstream.iter().map(|n| shares[n].seconds).sum(),
            seconds_paid: upstream.iter().filter_map(|&n| self.seconds_paid.get(&(n as u32))).sum(),
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
