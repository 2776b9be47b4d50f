//! Nodes that will have no result: what failed, what cannot run because of it, and what does without.

use petgraph::Direction;

use super::{coordinator::Coordinator, retry, state::Phase};
use crate::{
    context::{StageError, causes},
    events::{EventKind, SkipReason},
    pipeline::{NodeId, NodeInput, Pipeline},
};

impl Coordinator<'_> {
    /// A node failed for good, and with it what waits for the same key or needs it.
    pub(super) fn fail(&mut self, node: u32, error: &StageError, log: Option<std::path::PathBuf>) {
        self.stopping |= !self.options.keep_going;
        let key = self.nodes[node as usize].work.as_ref().map(|work| work.key);
        let followers = key.and_then(|key| self.in_flight.remove(&key)).unwrap_or_default();
        let log = log.map(|path| path.display().to_string());
        for node in [node].into_iter().chain(followers) {
            self.summary.failed += 1;
            self.state(node).phase = Phase::Over;
            self.state(node).work = None;
            self.emitter.emit(EventKind::Failed {
                node: self.name(node),
                error: causes(error),
                help: retry::help(error),
                log: log.clone(),
            });
            self.skip_consumers(node, &SkipReason::UpstreamFailed { upstream: self.name(node).label });
        }
    }

    /// A node will not run.
    pub(super) fn skip(&mut self, node: u32, reason: SkipReason) {
        let state = self.state(node);
        state.phase = Phase::Over;
        state.work = None;
        self.elsewhere.waiting.remove(&node);
        if self.selected.run[node as usize] {
            self.summary.skipped += 1;
            self.emitter.emit(EventKind::Skipped { node: self.name(node), reason });
        }
    }

    /// Everything downstream of a node without a result is over, too; but for what gathers it among others and can do
    /// without one that failed.
    pub(super) fn skip_consumers(&mut self, node: u32, reason: &SkipReason) {
        let (pipeline, node) = (self.pipeline, NodeId::new(node as usize));
        let is_failure = matches!(reason, SkipReason::UpstreamFailed { .. });
        let mut over = vec![node];
        pipeline.walk(pipeline.graph.neighbors(node), Direction::Outgoing, |consumer| {
            let state = &self.nodes[consumer.index()];
            // A consumer that runs already (its producer failed in a repair) ends by itself.
            let waits = !state.is_final() && state.phase != Phase::Running;
            if !waits || is_failure && over.iter().all(|&producer| does_without(pipeline, consumer, producer)) {
                return false;
            }
            over.push(consumer);
            let consumer = consumer.index() as u32;
            self.ready.remove(&consumer);
            self.skip(consumer, reason.clone());
            true
        });
        if is_failure {
            for producer in over {
                self.do_without(producer, reason);
            }
        }
    }

    /// Those that can do without a node that has no result no longer wait for it. One that is left with nothing is
    /// skipped.
    fn do_without(&mut self, producer: NodeId, reason: &SkipReason) {
        let pipeline = self.pipeline;
        for consumer in pipeline.graph.neighbors(producer) {
            if self.nodes[consumer.index()].phase != Phase::Blocked || !does_without(pipeline, consumer, producer) {
                continue;
            }
            let state = self.state(consumer.index() as u32);
            state.missing -= 1;
            if state.missing > 0 {
                continue;
            }
            let mut inputs = pipeline.graph[consumer].inputs.iter();
            let has_any =
                |input: &NodeInput| input.edges.iter().any(|edge| self.nodes[edge.node.index()].entry.is_some());
            let consumer = consumer.index() as u32;
            if inputs.all(has_any) {
                self.keyable.push_back(consumer);
            } else {
                self.skip(consumer, reason.clone());
                self.skip_consumers(consumer, reason);
            }
        }
    }
}

/// Whether a node gathers what a producer gives, and can do without it.
fn does_without(pipeline: &Pipeline, consumer: NodeId, producer: NodeId) -> bool {
    let node = &pipeline.graph[consumer];
    let of = |input: &&NodeInput| input.edges.iter().any(|edge| edge.node == producer);
    node.kind.gathers_what_there_is() && node.inputs.iter().filter(of).all(|input| input.gather)
}
