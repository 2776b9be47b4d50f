//! Stream memo: attempts 0..n of an endless deterministic sequence, per recipe; one row per attempt.
//!
//! A shard `<start>-<end>-<digest>.parquet` holds the attempts `start..end`.

use std::{ops::Range, path::PathBuf};

use arrow::{array::RecordBatch, compute::concat_batches, datatypes::SchemaRef};

use super::shard::{Pace, ShardDir};
use crate::{Digest, Store, StoreError, table_writer::conform};

const ACTION: &str = "keep attempts in the memo";
/// Opening a memo of more shards than this merges them.
const MERGE_FROM: usize = 64;

/// The attempts computed so far. Writers may overlap: attempt `i` is the same whoever computes it.
pub struct StreamMemo {
    schema: SchemaRef,
    shards: ShardDir,
    /// What the shards hold, sorted by start, so that the known prefix is covered without a gap.
    spans: Vec<(Range<u64>, PathBuf)>,
    /// Attempts on disk without a gap.
    flushed: u64,
    /// Attempts from `flushed` on.
    pending: Vec<RecordBatch>,
    pace: Pace,
}

impl Store {
    /// Opens the stream memo of a recipe whose attempts have that schema.
    pub fn stream_memo(&self, recipe: &Digest, schema: SchemaRef) -> Result<StreamMemo, StoreError> {
        let shards = ShardDir::open(self, recipe)?;
        let (spans, pending) = (Vec::new(), Vec::new());
        let mut memo = StreamMemo { schema, shards, spans, flushed: 0, pending, pace: Pace::new() };
        memo.load()?;
        if memo.spans.len() > MERGE_FROM {
            memo.merge()?;
        }
        Ok(memo)
    }
}

fn span_of(path: &std::path::Path) -> Option<Range<u64>> {
    let mut parts = path.file_name()?.to_str()?.split('-');
    let (start, end) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (start < end).then_some(start..end)
}

impl StreamMemo {
    /// The schema of attempts.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Attempts `0..len` are known.
    pub fn len(&self) -> u64 {
        self.flushed + self.pending.iter().map(|b| b.num_rows() as u64).sum::<u64>()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lists the shards, and chooses those that cover the longest prefix: at each gap, the one that reaches farthest.
    fn load(&mut self) -> Result<(), StoreError> {
        let mut all: Vec<_> = self.shards.list("")?.into_iter().filter_map(|p| Some((span_of(&p)?, p))).collect();
        all.sort_by_key(|(span, _)| (span.start, span.end));
        self.spans.clear();
        let mut end = 0;
        let mut next = 0;
        loop {
            let mut best: Option<(Range<u64>, PathBuf)> = None;
            while let Some((span, path)) = all.get(next).filter(|(span, _)| span.start <= end) {
                if span.end > best.as_ref().map_or(end, |(b, _)| b.end) {
                    best = Some((span.clone(), path.clone()));
                }
                next += 1;
            }
            let Some(best) = best else { break };
            end = best.0.end;
            self.spans.push(best);
        }
        // What is pending goes on from where the shards ended before; what they hold by now need not be written again.
        let pending = std::mem::take(&mut self.pending);
        let mut start = std::mem::replace(&mut self.flushed, end);
        for batch in pending {
            let rows = batch.num_rows() as u64;
            let known = end.saturating_sub(start).min(rows);
            // A damaged shard leaves a gap before what is pending, which then is of no use.
            if start + known == self.len() && known < rows {
                self.pending.push(batch.slice(known as usize, (rows - known) as usize));
            }
            start += rows;
        }
        Ok(())
    }

    /// The known part of a range of attempts: a prefix of it, shorter where [`StreamMemo::len`] ends or a shard was damaged
    /// (then `len` has shrunk).
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
        for (span, path) in self.spans.clone() {
            if at >= end || span.end <= at {
                continue;
            }
            let Some(rows) = self.shards.read(&path)? else { return Ok(None) };
            if rows.num_rows() as u64 != span.end - span.start || conform(&rows, &self.schema).is_err() {
                self.shards.reject(&path, "its rows are not the attempts that its name says")?;
                return Ok(None);
            }
            let to = span.end.min(end);
            pieces.push(conform(&rows.slice((at - span.start) as usize, (to - at) as usize), &self.schema)?);
            at = to;
        }
        let mut from = self.flushed;
        for batch in &self.pending {
            let to = from + batch.num_rows() as u64;
            if at < end && at < to {
                let until = to.min(end);
                pieces.push(batch.slice((at - from) as usize, (until - at) as usize));
                at = until;
            }
            from = to;
        }
        concat_batches(&self.schema, &pieces).map(Some).map_err(|e| StoreError::rows(ACTION, e))
    }

    /// Adds attempts `start..start + batch.num_rows()`; `start` may not lie beyond `len`. What is known already is left as
    /// it is. They are on disk after the next flush, which happens by itself every few seconds or thousand rows.
    pub fn append(&mut self, start: u64, batch: &RecordBatch) -> Result<(), StoreError> {
        let batch = conform(batch, &self.schema)?;
        let len = self.len();
        if start > len {
            let message = format!("attempt {start} cannot be kept while attempt {len} is not known");
            return Err(StoreError::rows(ACTION, message));
        }
        let known = ((len - start) as usize).min(batch.num_rows());
        let rows = batch.num_rows() - known;
        if rows == 0 {
            return Ok(());
        }
        self.pending.push(batch.slice(known, rows));
        if self.pace.due(rows) { self.flush() } else { Ok(()) }
    }

    /// Writes down what was appended. Dropping the memo does it, too, without telling of errors.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let rows = concat_batches(&self.schema, &self.pending).map_err(|e| StoreError::rows(ACTION, e))?;
        let span = self.flushed..self.len();
        let path = self.write(&span, &rows)?;
        self.flushed = span.end;
        self.spans.push((span, path));
        self.pending.clear();
        self.pace = Pace::new();
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
        let rows = self.read(0..self.flushed)?;
        let span = 0..rows.num_rows() as u64;
        if span.is_empty() {
            return Ok(());
        }
        let merged = self.write(&span, &rows)?;
        let old = self.shards.list("")?;
        let covered = |p: &PathBuf| *p != merged && span_of(p).is_some_and(|s| s.end <= span.end);
        self.shards.remove(&old.into_iter().filter(covered).collect::<Vec<_>>())?;
        self.load()
    }
}

impl Drop for StreamMemo {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "attempts were computed but not kept");
        }
    }
}
