//! How long will it take? From recorded times only: no history, no number.

use super::{memo::Remembered, survey::Survey};
use crate::{
    context::Increment,
    events::{Timings, Work},
    keys::Standing,
    pipeline::{NodeId, Pipeline},
};

/// Estimates nodes in the order of the graph, from what computations of their kind took in any pipeline: by the row,
/// where the number of rows can be told beforehand.
pub(super) struct Estimator<'a> {
    pipeline: &'a Pipeline,
    survey: &'a Survey,
    timings: Timings,
    /// By node index: rows that the first output has, or will have at most.
    rows: Vec<Option<u64>>,
}

impl<'a> Estimator<'a> {
    pub(super) fn new(pipeline: &'a Pipeline, survey: &'a Survey, timings: Timings) -> Self {
        let mut estimator = Self { pipeline, survey, timings, rows: vec![None; pipeline.graph.node_count()] };
        for id in pipeline.graph.node_indices() {
            estimator.rows[id.index()] = match survey.entry(id) {
                Some(entry) => entry.outputs.first().map(|(_, artifact)| artifact.rows),
                None => match estimator.amount(id) {
                    (Work::Rows, rows) => rows,
                    (Work::Inputs, _) => None,
                },
            };
        }
        estimator
    }

    /// How many rows the node works on, where that is known: those it makes, for a stream, and else those it is given.
    pub(super) fn rows(&self, id: NodeId) -> Option<u64> {
        self.amount(id).1
    }

    /// Seconds that the node would take, or `None` when nothing like it was ever timed. Rows that are `remembered` need
    /// not be computed; of attempts it is not known how many gave a row.
    pub(super) fn estimate(&self, id: NodeId, remembered: Option<Remembered>) -> Option<f64> {
        let (work, rows) = self.amount(id);
        let there = remembered.filter(|there| there.of.is_some()).map_or(0, |there| there.rows);
        let rows = rows.map(|rows| rows.saturating_sub(there));
        let recipe = match &self.survey.nodes[id.index()] {
            Standing::Missing(missing) => Some(&missing.recipe),
            _ => None,
        };
        self.timings.estimate(self.pipeline.graph[id].kind.name(), recipe, work, rows)
    }

    /// What the node's work is measured by, and how much of it there is at most, where that can be told.
    fn amount(&self, id: NodeId) -> (Work, Option<u64>) {
        let node = &self.pipeline.graph[id];
        let connected = |port: Option<&str>| {
            let inputs = node.inputs.iter().filter(|input| port.is_none_or(|port| input.port == port));
            inputs.flat_map(|input| &input.edges).map(|edge| self.given(edge.node, edge.output)).sum::<Option<u64>>()
        };
        match node.kind.increment(&node.params) {
            Increment::Stream { extent } => {
                (Work::Rows, node.params_json.get(extent).and_then(serde_json::Value::as_u64))
            }
            Increment::RowWise { primary } => (Work::Rows, connected(Some(primary))),
            Increment::Whole => (Work::Inputs, connected(None).filter(|rows| *rows > 0)),
        }
    }

    /// Rows that an output of a producer has or will have; files are no rows.
    fn given(&self, producer: NodeId, output: usize) -> Option<u64> {
        match self.survey.entry(producer) {
            Some(entry) => Some(match entry.outputs[output].1 {
                artifact if artifact.kind == pipe_cache::ArtifactKind::Table => artifact.rows,
                _ => 0,
            }),
            None if output == 0 => self.rows[producer.index()],
            None => None,
        }
    }
}
