//! The end of a run: what did not run, references, links, the last event.

use std::path::{Path, PathBuf};

use pipe_cache::{ArtifactKind, Digest, Hasher, RefEntry, ResultLink, StoreError};

use super::{coordinator::Coordinator, stamp::Stamp};
use crate::{
    events::{EventKind, Outcome, RunSummary, SkipReason},
    journal::{Journal, State},
    pipeline::NodeId,
};

impl Coordinator<'_> {
    /// Settles what is left, points references and links at the results, and says how the run ended.
    pub(super) fn finish(mut self) -> Result<RunSummary, StoreError> {
        let reason = if self.cancelled { SkipReason::Cancelled } else { SkipReason::RunFailed };
        for node in 0..self.nodes.len() as u32 {
            if !self.nodes[node as usize].is_final() {
                self.skip(node, reason.clone());
            }
        }
        self.summary.outcome = if self.summary.failed > 0 {
            Outcome::Failed
        } else if self.cancelled && self.summary.skipped > 0 {
            Outcome::Cancelled
        } else if self.summary.skipped > 0 {
            Outcome::Failed
        } else {
            Outcome::Succeeded
        };
        let state = if self.run.store.read_only() { None } else { self.publish_state()? };
        self.tell_arms();
        self.summary.seconds = self.emitter.elapsed();
        self.emitter.emit(EventKind::RunFinished { summary: self.summary.clone(), state });
        Ok(self.summary)
    }

    /// Every (variant, stage) that has a result, with the node that computed it.
    fn placements(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let stages = self.pipeline.stages.len();
        (self.pipeline.node_of.iter().enumerate())
            .filter_map(move |(at, node)| Some((at / stages, at % stages, (*node)?.index())))
            .filter(|&(_, _, node)| self.nodes[node].entry.is_some())
    }

    fn key_of(&self, node: usize) -> Digest {
        self.nodes[node].entry.as_ref().expect("only nodes with results are asked").key
    }

    fn publish_state(&mut self) -> Result<Option<Digest>, StoreError> {
        let _span = tracing::info_span!("references").entered();
        let (variants, stages) = (&self.pipeline.variants, &self.pipeline.stages);
        let mut h = Hasher::new("pipe.state.v1");
        for (v, s, node) in self.placements() {
            h.str(&variants[v].name).str(&stages[s].name).digest(&self.key_of(node));
        }
        let digest = h.finish();
        self.point_at_results(digest)?;
        self.run.store.flush()?;
        let state = || {
            let mut state = State::new();
            for (v, s, node) in self.placements() {
                let key = self.key_of(node);
                state.entry(variants[v].name.clone()).or_default().insert(stages[s].name.clone(), key);
            }
            state
        };
        match Journal::new(&self.run.store).keep_state(&digest, state) {
            Ok(()) => Ok(Some(digest)),
            Err(error) => {
                self.emitter.emit(EventKind::Warning { node: None, message: error.to_string() });
                Ok(None)
            }
        }
    }

    /// References and links, unless the last run left them in this very state.
    fn point_at_results(&self, state: Digest) -> Result<(), StoreError> {
        let (store, pipeline) = (&self.run.store, &self.pipeline.name);
        let (variants, stages) = (&self.pipeline.variants, &self.pipeline.stages);
        let results = self.options.results.as_deref();
        let folders: Vec<PathBuf> = (0..variants.len()).map(|v| self.folder(v)).collect();
        let stamp = || Stamp::now(store, pipeline, state, results, &folders);
        if stamp().is_kept(store, pipeline) {
            return Ok(());
        }
        let mut refs = Vec::new();
        let mut links = Vec::new();
        for (v, s, node) in self.placements() {
            let (variant, stage) = (variants[v].name.clone(), stages[s].name.clone());
            refs.push(RefEntry { variant, stage, key: self.key_of(node) });
            self.links(v, s, NodeId::new(node), &mut links);
        }
        store.set_refs(pipeline, &refs)?;
        if let Some(results) = results {
            store.link_results(results, &links)?;
        }
        stamp().keep(store, pipeline);
        Ok(())
    }

    /// Where the links of a variant lie, below the results folder.
    fn folder(&self, variant: usize) -> PathBuf {
        Path::new(&file_name(&self.pipeline.name)).join(file_name(&self.pipeline.variants[variant].name))
    }

    /// The links of one stage of one variant: `<pipeline>/<variant>/<stage>.parquet` for the first output,
    /// `<stage>.<port>.parquet` for the others; directories have no extension.
    fn links(&self, variant: usize, stage: usize, node: NodeId, links: &mut Vec<ResultLink>) {
        let stage = &self.pipeline.stages[stage].name;
        let entry = self.nodes[node.index()].entry.as_ref().expect("only nodes with results are asked");
        let dir = self.folder(variant);
        for (i, (port, artifact)) in entry.outputs.iter().enumerate() {
            let mut name = if i == 0 { stage.clone() } else { format!("{stage}.{port}") };
            if artifact.kind == ArtifactKind::Table {
                name.push_str(".parquet");
            }
            links.push(ResultLink { path: dir.join(file_name(&name)), artifact: *artifact });
        }
    }
}

/// A name as one component of a path.
fn file_name(name: &str) -> String {
    let name: String = name.chars().map(|c| if c == '/' || c == '\\' || c.is_control() { '_' } else { c }).collect();
    if name == "." || name == ".." || name.is_empty() { format!("_{name}") } else { name }
}
