//! The table of arms, gathered from the store when everything has ended.

use std::{
    collections::{BTreeMap, btree_map},
    sync::Arc,
};

use arrow::{array::RecordBatch, compute::concat_batches};
use pipe_cache::{Entry, ReadOptions, StoreError};

use super::coordinator::Coordinator;
use crate::{
    events::EventKind,
    highlights::{Arm, ArmCount, ArmScore, ArmYield, Highlight, find_row, number, read_yield},
    pipeline::NodeId,
    survey::topological,
};

/// What a node gives to the rows of those that stand on it.
#[derive(Default)]
struct Share {
    kept: Option<ArmYield>,
    /// Counter, heading and count.
    counts: Vec<(&'static str, &'static str, u64)>,
}

impl Coordinator<'_> {
    /// Says what the arms came to, if any stage has scores. What cannot be read is left out and warned of: the run itself is over.
    pub(super) fn tell_arms(&mut self) {
        let declared: Vec<Vec<Highlight>> = (self.pipeline.graph.node_weights())
            .zip(&self.nodes)
            .map(|(node, state)| match state.entry {
                Some(_) => node.kind.highlights(&node.params),
                None => Vec::new(),
            })
            .collect();
        let is_score = |highlight: &Highlight| matches!(highlight, Highlight::Score { .. });
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
        let order: Vec<usize> = topological(self.pipeline).into_iter().map(NodeId::index).collect();
        let mut shares: BTreeMap<usize, Share> = BTreeMap::new();
        let (mut arms, mut problems) = (Vec::new(), Vec::new());
        for node in scoring {
            let upstream = self.upstream(node, &order);
            for &n in &upstream {
                if let btree_map::Entry::Vacant(entry) = shares.entry(n) {
                    entry.insert(self.share(n, &declared[n]).unwrap_or_else(|error| {
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
    fn upstream(&self, node: usize, order: &[usize]) -> Vec<usize> {
        let mut wanted = vec![false; self.nodes.len()];
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut wanted[node], true) {
                let inputs = &self.pipeline.graph[NodeId::new(node)].inputs;
                stack.extend(inputs.iter().flat_map(|input| &input.edges).map(|edge| edge.node.index()));
            }
        }
        order.iter().copied().filter(|&n| wanted[n]).collect()
    }

    fn entry(&self, node: usize) -> &Arc<Entry> {
        self.nodes[node].entry.as_ref().expect("what a result stands on has a result")
    }

    fn share(&self, node: usize, declared: &[Highlight]) -> Result<Share, StoreError> {
        let mut share = Share::default();
        let mut counters: Option<BTreeMap<String, u64>> = None;
        for highlight in declared {
            match highlight {
                Highlight::Yield { port } => {
                    share.kept = self.read(node, port)?.as_ref().and_then(read_yield);
                }
                Highlight::Count { counter, heading } => {
                    if counters.is_none() {
                        let manifest = self.run.store.manifest(&self.entry(node).key)?;
                        counters = Some(manifest.map(|m| m.provenance.counters).unwrap_or_default());
                    }
                    let count = counters.as_ref().and_then(|c| c.get(*counter)).copied().unwrap_or_default();
                    share.counts.push((counter, heading, count));
                }
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
            seconds: upstream.iter().map(|&n| self.entry(n).seconds).sum(),
            stages: upstream.len(),
            reused: upstream.iter().filter(reused).count(),
        }
    }
}
