//! Stream memo: attempts 0..n of an endless deterministic sequence, per recipe; one row per attempt.
//!
//! A shard `<start>-<end>-<digest>.parquet` holds the attempts `start..end`. Several workers may write shards of one
//! recipe, each of the attempts that it has claimed; what lies behind a gap counts once the gap is filled.

use std::{collections::BTreeMap, ops::Range, path::PathBuf};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};

use super::{
    claims::{Claims, Lead},
    shard::{Pace, ShardDir},
    spans::Spans,
};
use crate::{
    disk::conform,
    error::StoreError,
    hash::{Digest, schema_digest},
    machine::LeaseOwner,
    store::Store,
};

const ACTION: &str = "keep attempts in the memo";
/// Opening a memo whose known prefix takes more shards than this merges them.
const MERGE_FROM: usize = 64;

/// The attempts computed so far. Writers may overlap: attempt `i` is the same whoever computes it.
pub struct StreamMemo {
    schema: SchemaRef,
    shards: ShardDir,
    /// What the shards hold, by start and then by end.
    files: Vec<(Range<u64>, PathBuf)>,
    /// Attempts that are not on disk yet, by start, without overlap.
    pending: BTreeMap<u64, RecordBatch>,
    /// Attempts in shards and pending ones.
    known: Spans,
    pace: Pace,
    claims: Claims,
}

/// What of a range of attempts nobody knows yet, and who sees to it.
#[derive(Debug, Clone, Default)]
pub struct AttemptClaim {
    /// Claimed now, in ascending order: the caller's to compute.
    pub mine: Vec<Range<u64>>,
    /// How many nobody has claimed.
    pub free: u64,
    /// How many others have claimed.
    pub others: u64,
    /// One of those others.
    pub owner: Option<LeaseOwner>,
}

super::shared_memo!(StreamMemo, "attempts");

impl Store {
    /// Opens the stream memo of a recipe whose attempts have that schema.
    pub fn stream_memo(&self, recipe: &Digest, schema: SchemaRef) -> Result<StreamMemo, StoreError> {
        let claims = Claims::new(self, recipe, &schema_digest(&schema)?);
        let shards = ShardDir::open(self, recipe)?;
        let (files, pending, known) = (Vec::new(), BTreeMap::new(), Spans::default());
        let mut memo = StreamMemo { schema, shards, files, pending, known, pace: Pace::default(), claims };
        memo.load()?;
        let files: Vec<PathBuf> = memo.cover().into_iter().map(|(_, path)| path).collect();
        if files.len() > MERGE_FROM || ShardDir::has_unbound(&files) {
            memo.merge()?;
        }
        Ok(memo)
    }
}

pub(super) fn span_of(path: &std::path::Path) -> Option<Range<u64>> {
    let mut parts = path.file_name()?.to_str()?.split('-');
    let (start, end) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (start < end).then_some(start..end)
}

/// The attempts of a batch that begins with `start`.
fn span(start: u64, batch: &RecordBatch) -> Range<u64> {
    start..start + batch.num_rows() as u64
}

impl StreamMemo {
    /// Attempts `0..len` are known.
    pub fn len(&self) -> u64 {
        self.known.reach()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes in what others have written to the memo since it was opened or last refreshed; returns how many attempts
    /// [`StreamMemo::len`] has gained. Costs a listing of the memo's directory.
    pub fn refresh(&mut self) -> Result<u64, StoreError> {
        let before = self.len();
        self.load()?;
        Ok(self.len().saturating_sub(before))
    }

    fn load(&mut self) -> Result<(), StoreError> {
        self.files = self.shards.list("")?.into_iter().filter_map(|p| Some((span_of(&p)?, p))).collect();
        self.files.sort_by_key(|(span, _)| (span.start, span.end));
        self.known = Spans::default();
        self.files.iter().for_each(|(span, _)| self.known.insert(span.clone()));
        // What is pending and written by somebody else by now need not be written again.
        let known = &self.known;
        self.pending.retain(|start, batch| !known.missing(span(*start, batch)).is_empty());
        for (start, batch) in &self.pending {
            self.known.insert(span(*start, batch));
        }
        Ok(())
    }

    /// The shards that cover the longest prefix: at each gap, the one that reaches farthest.
    fn cover(&self) -> Vec<(Range<u64>, PathBuf)> {
        let mut cover: Vec<(Range<u64>, PathBuf)> = Vec::new();
        let mut files = self.files.iter().peekable();
        let mut end = 0;
        loop {
            let mut best: Option<&(Range<u64>, PathBuf)> = None;
            while let Some(file) = files.next_if(|(span, _)| span.start <= end) {
                if file.0.end > best.map_or(end, |(span, _)| span.end) {
                    best = Some(file);
                }
            }
            let Some(best) = best else { return cover };
            end = best.0.end;
            cover.push(best.clone());
        }
    }

    /// The known part of a range of attempts: a prefix of it, shorter where [`StreamMemo::len`] ends or a shard was
    /// damaged (then `len` has shrunk).
    pub fn read(&mut self, range: Range<u64>) -> Result<RecordBatch, StoreError> {
        loop {
            if let Some(rows) = self.try_read(range.start, range.end.min(self.len()))? {
                return Ok(rows);
            }
            // A shard was merged away by another process, or damaged and is quarantined now: see what there is.
            self.load()?;
        }
    }

    fn try_read(&mut self, start: u64, end: u64) -> Result<Option<RecordBatch>, StoreError> {
        let mut pieces = Vec::new();
        let mut at = start;
        while at < end {
            let pending = self.pending.range(..=at).next_back();
            if let Some((first, batch)) = pending.filter(|(first, batch)| span(**first, batch).contains(&at)) {
                let to = span(*first, batch).end.min(end);
                pieces.push(batch.slice((at - first) as usize, (to - at) as usize));
                at = to;
                continue;
            }
            let there = self.files.iter().filter(|(span, _)| span.contains(&at)).max_by_key(|(span, _)| span.end);
            let Some((span, path)) = there.cloned() else { return Ok(None) };
            let Some(rows) = self.shards.read(&path)? else { return Ok(None) };
            if rows.num_rows() as u64 != span.end - span.start || conform(&rows, &self.schema).is_err() {
                self.shards.reject(&path, "its rows are not the attempts that its name says")?;
                return Ok(None);
            }
            let to = span.end.min(end);
            pieces.push(conform(&rows.slice((at - span.start) as usize, (to - at) as usize), &self.schema)?);
            at = to;
        }
        concat_batches(&self.schema, &pieces).map(Some).map_err(|e| StoreError::rows(ACTION, e))
    }

    /// Adds attempts `start..start + batch.num_rows()`. What is known already is left as it is. They are on disk after
    /// the next flush, which happens by itself after some thousand rows.
    pub fn append(&mut self, start: u64, batch: &RecordBatch) -> Result<(), StoreError> {
        let batch = conform(batch, &self.schema)?;
        let mut rows = 0;
        for new in self.known.missing(span(start, &batch)) {
            let length = (new.end - new.start) as usize;
            self.pending.insert(new.start, batch.slice((new.start - start) as usize, length));
            self.known.insert(new);
            rows += length;
        }
        if rows > 0 && self.pace.due(rows) { self.flush() } else { Ok(()) }
    }

    /// Writes down what was appended. Dropping the memo does it, too, without telling of errors.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut runs = Spans::default();
        self.pending.iter().for_each(|(start, batch)| runs.insert(span(*start, batch)));
        for (start, end) in Vec::from(runs) {
            let rows = concat_batches(&self.schema, self.pending.range(start..end).map(|(_, batch)| batch));
            let path = self.write(&(start..end), &rows.map_err(|e| StoreError::rows(ACTION, e))?)?;
            self.files.push((start..end, path));
        }
        self.files.sort_by_key(|(span, _)| (span.start, span.end));
        self.pending.clear();
        self.pace = Pace::default();
        self.claims.written();
        Ok(())
    }

    /// Forgets everything, on disk too.
    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.shards.remove(&self.shards.list("")?)?;
        self.pending.clear();
        self.load()
    }

    fn write(&mut self, span: &Range<u64>, rows: &RecordBatch) -> Result<PathBuf, StoreError> {
        self.shards.write(&format!("{:012}-{:012}-", span.start, span.end), rows)
    }

    /// Writes one shard instead of many.
    fn merge(&mut self) -> Result<(), StoreError> {
        let rows = self.read(0..self.len())?;
        let span = 0..rows.num_rows() as u64;
        if span.is_empty() {
            return Ok(());
        }
        let merged = self.write(&span, &rows)?;
        let old = self.shards.list("")?;
        let covered = |p: &PathBuf| *p != merged && span_of(p).is_some_and(|s| s.end <= span.end);
        let gone: Vec<_> = old.into_iter().filter(covered).collect();
        self.shards.merged(&gone, &[merged])?;
        self.load()
    }
}

/// Several workers on one recipe.
impl StreamMemo {
    /// Takes in what is known by now, and claims up to `most` attempts of `range`, the first that nobody knows or has
    /// claimed, as this memo's to compute. `None` when `cancelled` said so while another worker was deciding.
    ///
    /// # Errors
    /// [`StoreError::Builds`] when another build computes attempts of the recipe just now.
    pub fn claim(
        &mut self,
        range: Range<u64>,
        most: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<AttemptClaim>, StoreError> {
        let Some(_turn) = self.claims.turn(cancelled)? else { return Ok(None) };
        // In this order: what another gives up meanwhile, it has written down before.
        let others = self.claims.look()?;
        self.load()?;
        let mut taken = self.known.clone();
        taken.extend(self.claims.claimed().map(|own| &own.attempts));
        let unknown = length(&taken.missing(range.clone()));
        taken.extend(&others.attempts);
        let mut free = taken.missing(range);
        let others_have = unknown - length(&free);
        let mut claim = AttemptClaim { others: others_have, owner: others.owner, ..AttemptClaim::default() };
        for run in &mut free {
            let end = run.end.min(run.start + most - length(&claim.mine));
            if end > run.start {
                claim.mine.push(run.start..end);
                run.start = end;
            }
        }
        claim.free = length(&free);
        if !claim.mine.is_empty() {
            self.claims.add(|own| claim.mine.iter().for_each(|run| own.attempts.insert(run.clone())))?;
        }
        Ok(Some(claim))
    }

    /// The right to compute, which one memo of a recipe has in a process: the others follow. `None` when another has
    /// it.
    pub fn lead(&self) -> Option<Lead> {
        self.claims.lead()
    }

    /// Says that the attempts up to there are wanted; returns how far some memo of this process wants those of the
    /// recipe.
    pub fn want(&self, until: u64) -> u64 {
        self.claims.want(until)
    }
}

fn length(runs: &[Range<u64>]) -> u64 {
    runs.iter().map(|run| run.end - run.start).sum()
}
