//! From "inputs are done" to "a hit" or "ready to run", and from "done" to the consumers.

use std::{sync::Arc, time::Instant};

use pipe_cache::{Digest, Entry, Hasher};

use super::{
    coordinator::Coordinator,
    state::{Phase, Work},
    worker::Unhashed,
};
use crate::{
    context::{StageError, causes},
    events::{EventKind, SkipReason},
    keys::{Missing, Obstacle, SourceError, SourceRecord, Standing, View},
    kind::Source,
    pipeline::NodeId,
};

/// How often a node may wait for repairs upstream before its inputs are given up.
const REPAIRS: u32 = 3;

impl Coordinator<'_> {
    /// The node's inputs are done: key it, or have its sources hashed first.
    pub(super) fn settle(&mut self, node: u32) {
        if self.cancelled {
            return;
        }
        let spec = self.node(node);
        match spec.kind.sources(&spec.params) {
            Ok(sources) if sources.iter().all(|s| matches!(s, Source::Value { .. } | Source::Env { .. })) => {
                let records = self.run.hasher.records(&spec.folder, sources);
                self.sources_known(node, records);
            }
            Ok(sources) => {
                self.state(node).phase = Phase::Hashing;
                let folder = spec.folder.clone();
                self.unhashed.push(Unhashed { node, folder, sources });
            }
            Err(error) => self.sources_known(node, Err(SourceError::Kind(Box::new(error)))),
        }
    }

    /// Looks at the sources again: they have changed since they were hashed.
    pub(super) fn rehash(&mut self, node: u32) {
        self.run.hasher.forget();
        self.keyable.push_back(node);
    }

    /// The node's sources are known: a hit, or ready to run.
    pub(super) fn sources_known(&mut self, node: u32, records: Result<Vec<SourceRecord>, SourceError>) {
        self.state(node).looked_at = true;
        let forced = self.selected.force[node as usize] && !self.nodes[node as usize].announced;
        let entry = |id: NodeId| self.nodes[id.index()].entry.as_deref();
        // It is keyed when its producers are done, or have failed and can be done without.
        let failed = |id: NodeId| self.nodes[id.index()].phase == Phase::Over;
        let view = View { pipeline: self.pipeline, store: &self.run.store, entry: &entry, failed: &failed };
        match view.stand(NodeId::new(node as usize), records, forced) {
            Ok(Standing::Hit(entry)) => self.hit(node, &entry),
            Ok(Standing::Missing(missing)) => self.missing(node, *missing),
            Ok(Standing::Unreadable(error)) => self.fail(node, &error, None),
            Ok(Standing::Pending { .. } | Standing::Unseen) => unreachable!("a node is keyed when its inputs are done"),
            Err(error) => self.fail(node, &error.into(), None),
        }
    }

    /// The node's result is not in the store: run it, or wait for who runs the same key, if it is selected.
    pub(super) fn missing(&mut self, node: u32, missing: Missing) {
        let Some(missing) = self.ask_remote(node, missing) else { return };
        let Missing { key, recipe, record, obstacle } = missing;
        let warning = match obstacle {
            Some(Obstacle::Damaged(message)) => {
                self.emitter.emit(EventKind::Damaged { node: self.name(node), message });
                None
            }
            Some(Obstacle::Future(format)) => {
                Some(format!("its result was written by a newer version (format {format}); it is computed again"))
            }
            Some(Obstacle::Unhashable(problem)) => Some(format!("{problem}: its result is not cached")),
            Some(Obstacle::Forced) | None => None,
        };
        if !self.selected.run[node as usize] {
            // Not asked for, and not there: whoever needs it is skipped.
            self.state(node).phase = Phase::Over;
            return self.skip_consumers(node, &SkipReason::UpstreamNotSelected { upstream: self.name(node).label });
        }
        if self.options.pull_only {
            self.skip(node, SkipReason::NotOnRemote);
            return self.skip_consumers(node, &SkipReason::NotOnRemote);
        }
        if self.run.store.read_only() {
            let error = StageError::user_help(
                "its result is not in the store, and the store is read-only",
                "run with a store that can be written",
            );
            return self.fail(node, &error, None);
        }
        if let Some(message) = warning {
            self.emitter.emit(EventKind::Warning { node: Some(self.name(node)), message });
        }
        let uncached = key.is_none();
        let key = key.unwrap_or_else(|| Hasher::new("pipe.uncached").str(&self.run.run).u64(u64::from(node)).finish());
        self.state(node).work = Some(Box::new(Work {
            key,
            uncached,
            recipe,
            record,
            held: None,
            polls: 0,
            help_after: Some(Instant::now()),
        }));
        if let Some(followers) = self.in_flight.get_mut(&key) {
            followers.push(node);
            self.state(node).phase = Phase::Waiting;
            let on = "a stage of this run with the same key".to_owned();
            self.emitter.emit(EventKind::Waiting { node: self.name(node), key, on });
        } else {
            self.in_flight.insert(key, Vec::new());
            self.state(node).phase = Phase::Ready;
            self.ready.insert(node);
        }
    }

    /// The node's result was in the store.
    pub(super) fn hit(&mut self, node: u32, entry: &Arc<Entry>) {
        if self.selected.run[node as usize] && !self.nodes[node as usize].announced {
            self.state(node).hit = true;
            self.summary.hits += 1;
            self.summary.seconds_saved += entry.seconds;
            let (key, seconds_saved) = (entry.key, entry.seconds);
            self.emitter.emit(EventKind::Hit { node: self.name(node), key, seconds_saved });
        }
        self.done(node, entry);
    }

    /// The node has its result: tell those who need it, or wait for the same one.
    pub(super) fn done(&mut self, node: u32, entry: &Arc<Entry>) {
        let state = self.state(node);
        let announced = std::mem::replace(&mut state.announced, true);
        let work = state.work.take();
        state.phase = Phase::Done;
        state.entry = Some(Arc::clone(entry));
        self.unnoted.push(node);
        let waiting = if announced { self.repairs.remove(&node).unwrap_or_default() } else { Vec::new() };
        if announced {
            for consumer in waiting {
                self.input_done(consumer);
            }
        } else {
            let pipeline = self.pipeline;
            for consumer in pipeline.graph.neighbors(NodeId::new(node as usize)) {
                self.input_done(consumer.index() as u32);
            }
        }
        let followers = work.and_then(|work| self.in_flight.remove(&work.key)).unwrap_or_default();
        for follower in followers {
            if !self.nodes[follower as usize].is_final() {
                self.hit(follower, entry);
            }
        }
    }

    fn input_done(&mut self, consumer: u32) {
        let state = self.state(consumer);
        state.missing -= 1;
        if state.missing == 0 && state.phase == Phase::Blocked {
            self.keyable.push_back(consumer);
        }
    }

    /// Inputs of `node` turned out damaged when it read them: runs their producers again, each once per run, and `node`
    /// after them. `false` when that is not possible.
    pub(super) fn repair(&mut self, node: u32, damaged: &[Digest], error: &StageError) -> bool {
        let spec = self.node(node);
        let mut producers: Vec<u32> = Vec::new();
        for edge in spec.inputs.iter().flat_map(|input| &input.edges) {
            let entry = self.nodes[edge.node.index()].entry.as_ref();
            let producer = edge.node.index() as u32;
            if entry.is_some_and(|e| damaged.contains(&e.outputs[edge.output].1.object))
                && !producers.contains(&producer)
            {
                producers.push(producer);
            }
        }
        self.state(node).repairs += 1;
        let state = &self.nodes[node as usize];
        let possible = |&p: &u32| {
            let producer = &self.nodes[p as usize];
            self.selected.run[p as usize]
                && producer.phase != Phase::Over
                && (!producer.repaired || state.repairs < REPAIRS)
        };
        if producers.is_empty() || state.repairs > REPAIRS || !producers.iter().all(possible) {
            return false;
        }
        if let Some(followers) =
            state.work.as_ref().and_then(|work| self.in_flight.get_mut(&work.key)).map(std::mem::take)
        {
            // They would read the same damaged inputs; they are looked at again when those are repaired.
            self.in_flight.remove(&self.nodes[node as usize].work.as_ref().expect("it ran").key);
            for follower in followers {
                self.await_repair(follower, &producers);
            }
        }
        for &producer in &producers {
            if self.nodes[producer as usize].phase == Phase::Done {
                let message = causes(error).join(": ");
                self.emitter.emit(EventKind::Damaged { node: self.name(producer), message });
                let state = &mut self.nodes[producer as usize];
                if std::mem::take(&mut state.hit) {
                    self.summary.hits -= 1;
                    self.summary.seconds_saved -= state.entry.as_ref().map_or(0.0, |entry| entry.seconds);
                }
                state.repaired = true;
                state.phase = Phase::Blocked;
                self.keyable.push_back(producer);
            }
        }
        self.await_repair(node, &producers);
        true
    }

    fn await_repair(&mut self, node: u32, producers: &[u32]) {
        let state = self.state(node);
        state.phase = Phase::Blocked;
        state.work = None;
        state.attempts = 0;
        state.missing += producers.len() as u32;
        for &producer in producers {
            self.repairs.entry(producer).or_default().push(node);
        }
    }
}
