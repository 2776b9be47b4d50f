//! Row-wise stages: only rows that no earlier run has answered are computed, and each is kept as soon as it is.

use std::{collections::HashSet, ops::Range, time::Instant};

use arrow::{array::RecordBatch, compute::interleave_record_batch, datatypes::SchemaRef};
use parking_lot::Mutex;
use pipe_cache::{Digest, RowMemo, row_digests};

use super::{FLUSH_EVERY, StageContext, StageError, TableInput, follow::Following};

/// Input rows whose output is fetched from the memo at a time, and so the size of an output batch (of 1:1 kinds).
const BATCH_ROWS: usize = 8192;
/// How often rows that turn out to be damaged on reading back are computed again before giving up.
const ROUNDS: usize = 3;

/// The input rows that still have to be computed, numbered from 0. Rows with equal content appear once.
pub struct PendingRows<'a> {
    batches: &'a [RecordBatch],
    /// Batch, and row in it.
    rows: Vec<(usize, usize)>,
}

impl PendingRows<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether everything is known already.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows of a range, as one batch.
    pub fn slice(&self, range: Range<usize>) -> Result<RecordBatch, StageError> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        interleave_record_batch(&batches, &self.rows[range])
            .map_err(|e| StageError::other("pick the pending rows out of a table", e))
    }

    /// All of them, as one batch.
    pub fn all(&self) -> Result<RecordBatch, StageError> {
        self.slice(0..self.len())
    }
}

/// Takes finished rows, in any order and from any thread, and keeps them.
pub struct RowSink<'a> {
    /// The digests of the pending rows.
    digests: &'a [Digest],
    schema: &'a SchemaRef,
    state: Mutex<SinkState<'a>>,
    cx: &'a StageContext,
}

struct SinkState<'a> {
    memo: &'a mut RowMemo,
    answered: Vec<bool>,
    done: u64,
    flushed: Instant,
}

impl RowSink<'_> {
    /// Hands over one output row per pending row: row `i` of `output` answers pending row `rows[i]`.
    ///
    /// Fails when the columns are not the declared ones, the numbers of rows differ, or a row was answered before:
    /// mistakes in the kind.
    pub fn emit(&self, rows: &[usize], output: &RecordBatch) -> Result<(), StageError> {
        self.emit_many(rows, &vec![1; rows.len()], output)
    }

    /// Hands over any number of output rows per pending row: the next `counts[i]` rows of `output` answer `rows[i]`.
    pub fn emit_many(&self, rows: &[usize], counts: &[u32], output: &RecordBatch) -> Result<(), StageError> {
        let output = conform(output, self.schema)?;
        let announced: usize = counts.iter().map(|&n| n as usize).sum();
        if rows.len() != counts.len() || announced != output.num_rows() {
            return Err(StageError::contract(format!(
                "{announced} rows for {} pending rows were announced, and {} emitted",
                rows.len(),
                output.num_rows()
            )));
        }
        let mut state = self.state.lock();
        if state.done == 0 {
            self.cx.check_sources()?;
        }
        let mut digests = Vec::with_capacity(rows.len());
        for &row in rows {
            match state.answered.get_mut(row) {
                Some(answered @ false) => *answered = true,
                Some(true) => return Err(StageError::contract(format!("pending row {row} was emitted twice"))),
                None => return Err(StageError::contract(format!("pending row {row} does not exist"))),
            }
            digests.push(self.digests[row]);
        }
        state.memo.insert(&digests, counts, &output)?;
        if state.flushed.elapsed() >= FLUSH_EVERY {
            state.memo.flush()?;
            state.flushed = Instant::now();
        }
        state.done += rows.len() as u64;
        self.cx.progress(state.done, Some(self.digests.len() as u64), "rows");
        Ok(())
    }
}

/// A kind's batch under the declared schema; metadata does not matter.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, StageError> {
    pipe_cache::conform(batch, schema).map_err(|e| StageError::contract(format!("emitted rows do not fit: {e}")))
}

/// The output of a row-wise stage, in the order of its input.
pub struct MappedRows {
    /// The output rows, in batches.
    pub batches: Vec<RecordBatch>,
    /// How many output rows each input row has.
    pub counts: Vec<u32>,
    /// Distinct rows that were computed now.
    pub computed: u64,
    /// Input rows that the memo knew, or that repeat another.
    pub reused: u64,
    /// Distinct rows that others computed meanwhile.
    pub waited: u64,
}

/// Distinct rows of a table in order of first appearance.
struct Distinct {
    digests: Vec<Digest>,
    /// Where each appears first: batch, and row in it.
    firsts: Vec<(usize, usize)>,
    /// Digest of every row of the table, repeated ones included.
    all: Vec<Digest>,
}

impl Distinct {
    fn of(batches: &[RecordBatch]) -> Result<Self, StageError> {
        let mut seen = HashSet::new();
        let mut this = Self { digests: Vec::new(), firsts: Vec::new(), all: Vec::new() };
        for (b, batch) in batches.iter().enumerate() {
            for (r, digest) in row_digests(batch)?.into_iter().enumerate() {
                this.all.push(digest);
                if seen.insert(digest) {
                    this.digests.push(digest);
                    this.firsts.push((b, r));
                }
            }
        }
        Ok(this)
    }
}

impl StageContext {
    /// Computes the output rows of each row of `table`, the primary input.
    ///
    /// `compute` is given the rows that no run of the same recipe has answered or is answering just now (each distinct
    /// row once) and a sink for their outputs; it is not called when there are none. What others are answering is
    /// waited for, and taken over where they give up: then `compute` is called again. What it emits is kept at once, so
    /// a killed or cancelled stage resumes where it stopped. An output may depend on its input row, the side inputs and
    /// the parameters, and on nothing else: not on its neighbours, its position or the batch size (I11).
    ///
    /// Input and output are held in memory.
    pub fn map_rows(
        &self,
        table: &TableInput,
        schema: &SchemaRef,
        mut compute: impl FnMut(&PendingRows<'_>, &RowSink<'_>) -> Result<(), StageError>,
    ) -> Result<MappedRows, StageError> {
        self.check_primary(table)?;
        let batches = table.rows()?;
        let rows = Distinct::of(batches)?;
        let mut memo = self.open_row_memo(schema)?;
        let changes = memo.changes();
        let mut following = Following::new(self);
        let (mut computed, mut rounds, mut missing) = (0, 0, None);
        loop {
            let seen = changes.count();
            let most = if following.is_seated() { usize::MAX } else { 0 };
            let claim = memo.claim(&rows.digests, most, &|| self.check_cancelled().is_err())?;
            let claim = claim.ok_or(StageError::Cancelled)?;
            missing.get_or_insert(claim.mine.len() + claim.free + claim.others);
            if !claim.mine.is_empty() {
                computed += claim.mine.len() as u64;
                let firsts = claim.mine.iter().map(|&i| rows.firsts[i]).collect();
                let digests: Vec<Digest> = claim.mine.iter().map(|&i| rows.digests[i]).collect();
                self.compute_rows(schema, &mut memo, &PendingRows { batches, rows: firsts }, &digests, &mut compute)?;
            } else if claim.free > 0 {
                following.sit()?;
            } else if claim.others > 0 {
                following.wait(&changes, seen, claim.owner.as_ref())?;
            } else if let Some((batches, counts)) = assemble(&mut memo, &rows.all)? {
                following.sit()?;
                let waited = (missing.unwrap_or(0) as u64).saturating_sub(computed);
                let reused = (rows.all.len() as u64).saturating_sub(computed + waited);
                self.count_rows(computed, reused, waited);
                return Ok(MappedRows { batches, counts, computed, reused, waited });
            } else {
                // A shard that turned out damaged has taken its rows out of the memo: they are computed again.
                rounds += 1;
                if rounds == ROUNDS {
                    let message = "rows read back from the memo were damaged, three times in a row";
                    return Err(StageError::transient(message));
                }
            }
        }
    }

    fn compute_rows(
        &self,
        schema: &SchemaRef,
        memo: &mut RowMemo,
        pending: &PendingRows<'_>,
        digests: &[Digest],
        compute: &mut impl FnMut(&PendingRows<'_>, &RowSink<'_>) -> Result<(), StageError>,
    ) -> Result<(), StageError> {
        let state = SinkState { memo, answered: vec![false; pending.len()], done: 0, flushed: Instant::now() };
        let sink = RowSink { digests, schema, state: Mutex::new(state), cx: self };
        self.progress(0, Some(digests.len() as u64), "rows");
        let result = compute(pending, &sink);
        let state = sink.state.into_inner();
        let released = state.memo.release();
        result?;
        released?;
        match state.answered.iter().filter(|answered| !**answered).count() {
            0 => Ok(()),
            n => Err(StageError::contract(format!("{n} pending rows were left without output"))),
        }
    }
}

type Assembled = (Vec<RecordBatch>, Vec<u32>);

/// The outputs of the given input rows, or `None` when some are damaged.
fn assemble(memo: &mut RowMemo, rows: &[Digest]) -> Result<Option<Assembled>, StageError> {
    let (mut batches, mut counts) = (Vec::new(), Vec::with_capacity(rows.len()));
    for chunk in rows.chunks(BATCH_ROWS) {
        let Some((batch, n)) = memo.get(chunk)? else { return Ok(None) };
        batches.push(batch);
        counts.extend(n);
    }
    Ok(Some((batches, counts)))
}
