//! How long will it take? From recorded times only: no history, no number.

use std::collections::HashMap;

use pipe_cache::StoreError;

use crate::{
    kind::Increment,
    pipeline::{NodeId, Pipeline},
    survey::Survey,
    why::History,
};

/// The earlier results of a stage that are looked at, at most.
const SAMPLES: usize = 8;

/// What earlier computations of one stage took.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// Median seconds of a whole computation.
    seconds: f64,
    /// Median seconds per row computed, where rows were counted.
    per_row: Option<f64>,
}

/// Estimates from the recorded times of the same stage (any variant), or else of the stages of the same kind in the same
/// pipeline. Row-wise and stream kinds are estimated by the row where the number of rows is known.
#[derive(Default)]
pub struct Estimator {
    stages: HashMap<u32, Option<Timing>>,
}

impl Estimator {
    /// Seconds that the node would take, or `None` when nothing like it was ever timed.
    pub fn estimate(
        &mut self,
        pipeline: &Pipeline,
        history: &mut History<'_>,
        survey: &Survey,
        id: NodeId,
    ) -> Result<Option<f64>, StoreError> {
        let stage = pipeline.graph[id].placements[0].1;
        let mut timing = self.stage(pipeline, history, stage)?;
        if timing.is_none() {
            let kind = &pipeline.stages[stage as usize].kind;
            for other in (0..pipeline.stages.len() as u32).filter(|&s| pipeline.stages[s as usize].kind == *kind) {
                timing = timing.or(self.stage(pipeline, history, other)?);
            }
        }
        Ok(timing.map(|timing| match (timing.per_row, rows(pipeline, survey, id)) {
            (Some(per_row), Some(rows)) => per_row * rows as f64,
            _ => timing.seconds,
        }))
    }

    fn stage(
        &mut self,
        pipeline: &Pipeline,
        history: &mut History<'_>,
        stage: u32,
    ) -> Result<Option<Timing>, StoreError> {
        if let Some(timing) = self.stages.get(&stage) {
            return Ok(*timing);
        }
        let (mut seconds, mut per_row) = (Vec::new(), Vec::new());
        for key in history.stage_keys(&pipeline.stages[stage as usize].name).into_iter().take(SAMPLES) {
            let Some(found) = history.manifest(&key)? else { continue };
            let provenance = &found.0.provenance;
            seconds.push(provenance.seconds);
            if let Some(&rows) = provenance.counters.get("rows_computed")
                && rows > 0
            {
                per_row.push(provenance.seconds / rows as f64);
            }
        }
        let timing = median(seconds).map(|seconds| Timing { seconds, per_row: median(per_row) });
        self.stages.insert(stage, timing);
        Ok(timing)
    }
}

/// How many rows the node has to compute at most, where that can be told beforehand.
fn rows(pipeline: &Pipeline, survey: &Survey, id: NodeId) -> Option<u64> {
    let node = &pipeline.graph[id];
    match node.kind.increment() {
        Increment::Whole => None,
        Increment::Stream { extent } => node.params_json.get(extent)?.as_u64(),
        Increment::RowWise { primary } => {
            let input = node.inputs.iter().find(|input| input.port == primary)?;
            input.edges.iter().map(|e| survey.entry(e.node).map(|entry| entry.outputs[e.output].1.rows)).sum()
        }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        n if n % 2 == 1 => Some(values[n / 2]),
        n => Some(f64::midpoint(values[n / 2 - 1], values[n / 2])),
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
