//! Row-wise stages: only rows that no earlier run has answered are computed, and each is kept as soon as it is.

use std::{
    collections::HashSet,
    ops::Range,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use arrow::{array::RecordBatch, compute::interleave_record_batch, datatypes::SchemaRef};
use pipe_cache::{Digest, RowMemo, row_digests};

use super::{FLUSH_EVERY, StageContext};
use crate::kind::StageError;

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

impl<'a> RowSink<'a> {
    /// Hands over one output row per pending row: row `i` of `output` answers pending row `rows[i]`.
    ///
    /// Fails when the columns are not the declared ones, the numbers of rows differ, or a row was answered before: mistakes
    /// in the kind.
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
        let mut state = self.lock()?;
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

    fn lock(&self) -> Result<MutexGuard<'_, SinkState<'a>>, StageError> {
        self.state.lock().map_err(|_| StageError::contract("a thread panicked while it emitted rows"))
    }
}

/// Checks that a kind's batch has the declared columns; metadata does not matter.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, StageError> {
    let names = |schema: &SchemaRef| schema.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    if names(&batch.schema()) != names(schema) {
        return Err(StageError::contract(format!(
            "emitted columns {:?} where {:?} were declared",
            names(&batch.schema()),
            names(schema)
        )));
    }
    RecordBatch::try_new(SchemaRef::clone(schema), batch.columns().to_vec())
        .map_err(|e| StageError::contract(format!("emitted rows do not fit the declared columns: {e}")))
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
    /// Computes the output rows of each row of the primary input.
    ///
    /// `compute` is given the rows that no earlier run of the same recipe has answered (each distinct row once) and a
    /// sink for their outputs; it is not called when there are none. What it emits is kept at once, so a killed or
    /// cancelled stage resumes where it stopped. An output may depend on its input row, the side inputs and the
    /// parameters, and on nothing else: not on its neighbours, its position or the batch size (I11).
    ///
    /// Input and output are held in memory.
    pub fn map_rows(
        &self,
        schema: &SchemaRef,
        mut compute: impl FnMut(&PendingRows<'_>, &RowSink<'_>) -> Result<(), StageError>,
    ) -> Result<MappedRows, StageError> {
        let batches = self.primary_input()?.batches().collect::<Result<Vec<_>, _>>()?;
        let rows = Distinct::of(&batches)?;
        let mut memo = self.open_row_memo(schema)?;
        let mut computed = 0;
        for _ in 0..ROUNDS {
            let unknown: Vec<usize> = (0..rows.digests.len()).filter(|&i| !memo.contains(&rows.digests[i])).collect();
            if !unknown.is_empty() {
                computed += unknown.len() as u64;
                let pending =
                    PendingRows { batches: &batches, rows: unknown.iter().map(|&i| rows.firsts[i]).collect() };
                let digests: Vec<Digest> = unknown.iter().map(|&i| rows.digests[i]).collect();
                self.compute_rows(schema, &mut memo, &pending, &digests, &mut compute)?;
            }
            // A shard that turns out damaged takes its rows out of the memo: then the round starts over for those.
            if let Some((batches, counts)) = assemble(&mut memo, &rows.all)? {
                let reused = (rows.all.len() as u64).saturating_sub(computed);
                self.count_rows(computed, reused);
                return Ok(MappedRows { batches, counts, computed, reused });
            }
        }
        Err(StageError::transient("rows read back from the memo were damaged, three times in a row"))
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
        let state = sink.state.into_inner().map_err(|_| StageError::contract("a thread panicked in emit"))?;
        let flushed = state.memo.flush();
        result?;
        flushed?;
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
