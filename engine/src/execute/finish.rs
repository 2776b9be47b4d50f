//! The end of a run: what did not run, references, links, the last event.

use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use pipe_cache::{Digest, Hasher, Lease, LeaseAttempt, RefEntry, RefsChange, StoreError};

use super::{
    coordinator::Coordinator,
    kept::{Entries, Kept},
    links, rest,
    stamp::Stamp,
};
use crate::{
    arms::{Reached, arms},
    context::causes,
    events::{EventKind, Journal, RunEnd, RunSummary, SkipReason},
    pipeline::NodeId,
    views,
};

/// How long others are waited for that point at results, and how often they are asked for.
const TURN: Duration = Duration::from_mins(1);
const TURN_POLL: Duration = Duration::from_millis(25);

impl Coordinator<'_> {
    /// Settles what is left, points references and links at the results, and says how the run ended.
    pub(super) fn finish(mut self) -> Result<RunSummary, StoreError> {
        self.sharing.end_all();
        self.write_origins(true);
        let reason = if self.cancelled { SkipReason::Cancelled } else { SkipReason::RunFailed };
        let worker = self.options.worker.is_some();
        for node in 0..self.nodes.len() as u32 {
            match self.nodes[node as usize].is_final() {
                true => {}
                // It is not over: others will do it.
                false if worker => self.summary.skipped += usize::from(self.selected.run[node as usize]),
                false => self.skip(node, reason.clone()),
            }
        }
        // Who was told to end, or has too little time left, has more to do, whatever has failed: another one goes on.
        let is_told = if self.elsewhere.left { self.lacks_time() } else { self.cancelled };
        self.summary.outcome = if worker && is_told && self.summary.skipped > 0 {
            RunEnd::Cancelled
        } else if self.summary.failed > 0 {
            RunEnd::Failed
        } else if self.elsewhere.left {
            RunEnd::Left
        } else if self.cancelled && self.summary.skipped > 0 {
            RunEnd::Cancelled
        } else if self.summary.skipped > 0 {
            RunEnd::Failed
        } else {
            RunEnd::Succeeded
        };
        // What a worker has not seen done is not known to be undone.
        let is_whole = !worker || self.summary.outcome == RunEnd::Succeeded;
        let state = if self.run.store.read_only() {
            None
        } else if is_whole {
            self.publish_state()?
        } else {
            self.note_refs();
            self.run.store.flush()?;
            None
        };
        if !worker {
            self.tell_arms();
        }
        self.finish_pushing();
        self.summary.seconds = self.emitter.elapsed();
        self.emitter.emit(EventKind::RunFinished { summary: self.summary.clone(), state });
        Ok(self.summary)
    }

    /// Says what the arms came to, if any stage has scores. What cannot be read is left out and warned of: the run
    /// itself is over.
    fn tell_arms(&mut self) {
        let reached = |(n, node): (usize, &super::state::NodeState)| Reached {
            entry: node.entry.clone(),
            seconds_paid: self.seconds_paid.get(&(n as u32)).copied().unwrap_or_default(),
            reused: node.hit || !self.selected.run[n],
        };
        let nodes: Vec<Reached> = self.nodes.iter().enumerate().map(reached).collect();
        let (arms, problems) = arms(self.pipeline, &self.run.store, &nodes);
        for (node, error) in problems {
            let message = format!("it is left out of the table of arms: {error}");
            self.emitter.emit(EventKind::Warning { node: Some(self.name(node.index() as u32)), message });
        }
        if !arms.is_empty() {
            self.emitter.emit(EventKind::Arms { arms });
        }
    }

    fn publish_state(&mut self) -> Result<Option<Digest>, StoreError> {
        let _span = tracing::info_span!("references").entered();
        let entries: Entries = self.nodes.iter().map(|node| node.entry.clone()).collect();
        let reached = Kept { pipeline: self.pipeline, entries: &entries };
        let digest = reached.digest();
        self.point_at_results(digest, &reached)?;
        self.run.store.flush()?;
        match Journal::new(&self.run.store).keep_state(&digest, || reached.end_state()) {
            Ok(()) => Ok(Some(digest)),
            Err(error) => {
                self.emitter.emit(EventKind::Warning { node: None, message: error.to_string() });
                Ok(None)
            }
        }
    }

    /// Notes what the nodes stand at that are done, so that gc holds it although this run may be killed before it ends.
    pub(super) fn note_refs(&mut self) {
        let nodes = std::mem::take(&mut self.unnoted);
        if nodes.is_empty() || self.run.store.read_only() {
            return;
        }
        let stages = &self.pipeline.stages;
        let mut entries = Vec::new();
        for node in nodes {
            let id = NodeId::new(node as usize);
            for &(v, s) in &self.pipeline.graph[id].placements {
                let Some(entry) = &self.nodes[id.index()].entry else { continue };
                let (variant, stage) = (self.pipeline.kept_as(v as usize), stages[s as usize].name.clone());
                entries.push(RefEntry { variant, stage, key: entry.key });
            }
        }
        let noted = match &mut self.refs {
            Some(refs) => refs.set(entries),
            None => self.run.store.ref_log(&self.pipeline.name).and_then(|log| self.refs.insert(log).set(entries)),
        };
        if let Err(error) = noted {
            let message = format!("what this run has done is not held against gc until it ends: {error}");
            self.emitter.emit(EventKind::Warning { node: None, message });
        }
    }

    /// Makes the links of a result at once. What goes wrong is told at the end, when all links are looked at.
    pub(super) fn link_result(&mut self, node: u32) {
        let state = &self.nodes[node as usize];
        if let (Some(results), Some(entry), false) =
            (self.options.results.as_deref(), &state.entry, self.run.store.read_only())
        {
            let result = (NodeId::new(node as usize), &**entry);
            if let Err(error) = links::put_one(&self.run.store, results, self.pipeline, result, &mut self.unwritten) {
                tracing::debug!(%error, "a result has no link yet");
            }
        }
    }

    /// Says beside the links where results come from: all of them, if the run is over, else now and then.
    pub(super) fn write_origins(&mut self, is_over: bool) {
        let Some(results) = self.options.results.as_deref() else { return };
        let unwritten = &mut self.unwritten;
        if let Err(error) = if is_over { unwritten.write(results) } else { unwritten.write_if_due(results) } {
            tracing::debug!(%error, "it is not said yet where some results come from");
        }
    }

    /// Waits until no other process points at results of this pipeline, but not for ever: then nothing is held. Returns
    /// whether another one did.
    fn turn(&self) -> (Option<Lease>, bool) {
        let key = Hasher::new("pipe.results.v1").str(&self.pipeline.name).finish();
        let begun = Instant::now();
        loop {
            let waited = begun.elapsed();
            match self.run.store.try_lease(&key) {
                Ok(LeaseAttempt::Acquired(lease)) => return (Some(lease), waited >= TURN_POLL),
                Ok(LeaseAttempt::Held(_)) if waited < TURN && !self.options.cancel.is_abandoned() => sleep(TURN_POLL),
                _ => return (None, true),
            }
        }
    }

    /// References and links, unless the last run left them in this very state.
    fn point_at_results(&mut self, state: Digest, reached: &Kept<'_>) -> Result<(), StoreError> {
        let store = &self.run.store;
        let pipeline = self.pipeline;
        let results = self.options.results.as_deref();
        let file = links::results_folder(pipeline).join(views::FILE);
        let folders = (0..pipeline.variants.len()).map(|v| links::folder(pipeline, v));
        let looked_at: Vec<PathBuf> = folders.chain([file.clone()]).collect();
        let state = views::stamped(state, pipeline);
        let name = pipeline.trial.as_ref().map_or_else(|| pipeline.name.clone(), |t| format!("{}+{t}", pipeline.name));
        let stamp = || Stamp::now(store, &pipeline.name, state, results, &looked_at);
        if stamp().is_kept(store, &name) {
            return Ok(());
        }
        // Workers of one pipeline end at the same moment, and one of them is enough.
        let (_turn, has_waited) = self.turn();
        if has_waited && stamp().is_kept(store, &name) {
            return Ok(());
        }
        // What this run did not look at may still stand, and what it could not compute stands no more.
        let entries = rest::look(self, reached.entries)?;
        let kept = Kept { pipeline, entries: &entries };
        let superseded: Vec<(String, String)> = (pipeline.placements())
            .filter(|(_, _, node)| entries[node.index()].is_none())
            .map(|(v, s, _)| (pipeline.kept_as(v), pipeline.stages[s].name.clone()))
            .collect();
        store.change_refs(
            &pipeline.name,
            &RefsChange {
                current: &kept.refs(),
                superseded: &superseded,
                belongs: &|variant, stage| pipeline.may_keep(variant, stage),
            },
        )?;
        if let Some(results) = results {
            links::put(store, results, &kept)?;
            if let Err(error) = views::put(store, &results.join(file), pipeline) {
                let message = format!("the views for SQL are not up to date: {}", causes(&error).join(": "));
                self.emitter.emit(EventKind::Warning { node: None, message });
            }
        }
        stamp().keep(store, &name);
        Ok(())
    }
}
