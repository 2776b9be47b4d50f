//! Starting nodes that are ready, as far as slots go.

use std::sync::Arc;

use super::{
    coordinator::Coordinator,
    pool::Executor,
    slots::Held,
    state::Phase,
    worker::{ComputeJob, Job},
};
use crate::{events::EventKind, pipeline::Resources};

/// Stages that hold no CPU slot may run beyond the pool up to this many.
const SLOTLESS: usize = 32;
/// How many ready nodes may be looked at, or started, in place of one that does not fit. Then the slots are kept for
/// it.
const BYPASS: usize = 64;

impl Coordinator<'_> {
    /// What a node wants of the machine, with what its kind estimates of memory where that is counted.
    pub(super) fn wish(&mut self, node: u32) -> Resources {
        let spec = self.node(node);
        self.wishes.of(node, spec, &self.run.hasher, self.options.memory > 0)
    }

    /// Starts ready nodes as far as slots go.
    pub(super) fn start_ready(&mut self, executor: &mut dyn Executor) {
        // First those that run already: nothing new takes the slots that they wait for.
        while let Some((node, grant)) = self.returning.pop_front() {
            let wish = self.wish(node);
            let Some(held) = self.slots.take(&wish) else {
                self.returning.push_front((node, grant));
                return;
            };
            // One that was cancelled meanwhile gives them back when it ends.
            let _ = grant.send(());
            self.state(node).work.as_mut().expect("a running node has been keyed").held = Some(held);
            self.elsewhere.following -= 1;
        }
        let (mut from, mut round) = (self.elsewhere.first, self.elsewhere.first == 0);
        let mut passed = 0;
        while !self.stopping && !self.cancelled && self.running < self.options.jobs.max(1) as usize + SLOTLESS {
            let Some(node) = self.next_ready(&mut from, &mut round) else { break };
            let wish = self.wish(node);
            if self.is_for_others(node, &wish) {
                continue;
            }
            let Some(held) = self.slots.take(&wish) else {
                if self.elsewhere.looks_around && self.is_done_elsewhere(node) {
                    continue;
                }
                if passed == 0 && self.overtaken.0 != node {
                    self.overtaken = (node, 0);
                }
                passed += 1;
                if passed > BYPASS || self.overtaken.1 > BYPASS {
                    break;
                }
                from = node + 1;
                continue;
            };
            // A look costs more than all before it, and is made of what can be started.
            if self.is_done_elsewhere(node) {
                self.slots.give(held);
                continue;
            }
            if passed > 0 {
                self.overtaken.1 += 1;
            }
            self.ready.remove(&node);
            self.start(node, held, executor);
        }
        self.elsewhere.looks_around = false;
    }

    fn start(&mut self, node: u32, held: Held, executor: &mut dyn Executor) {
        let force = self.selected.force[node as usize] && !self.nodes[node as usize].announced;
        let label = self.name(node).label;
        let help = self.may_help(node) && !force;
        self.elsewhere.waiting.remove(&node);
        if help {
            self.elsewhere.helping.insert(node);
        }
        let in_the_way = self.in_the_way(node);
        let state = self.state(node);
        state.phase = Phase::Running;
        state.attempts += 1;
        let attempt = state.attempts;
        let work = state.work.as_mut().expect("a ready node has been keyed");
        work.held = Some(held);
        let (key, uncached, recipe, record) = (work.key, work.uncached, work.recipe, Arc::clone(&work.record));
        let first_poll = work.polls == 0;
        let spec = self.node(node);
        let job = ComputeJob {
            node,
            label,
            variant: self.pipeline.kept_as(spec.placements[0].0 as usize),
            stage: self.pipeline.stages[spec.placements[0].1 as usize].name.clone(),
            attempt,
            kind: Arc::clone(&spec.kind),
            params: Arc::clone(&spec.params),
            folder: spec.folder.clone(),
            outputs: spec.outputs.clone(),
            key,
            uncached,
            force,
            help,
            record,
            recipe,
            timeout: spec.timeout,
            threads: held.cpu().max(1),
            memory: held.memory(),
            in_the_way,
            shared: self.sharing.shared.clone(),
            run: Arc::clone(&self.run),
            messages: self.sender.clone(),
        };
        if first_poll {
            self.emitter.emit(EventKind::Started { node: self.name(node), key: (!uncached).then_some(key), attempt });
        }
        // What was found so far is part of this run, too.
        self.note_refs();
        self.running += 1;
        executor.submit(Job::Compute(Box::new(job)));
    }
}
