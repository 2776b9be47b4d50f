//! Row-wise stages: only rows that no earlier run has answered are computed, and each is kept as soon as it is.

use std::{
    collections::HashSet,
    ops::Range,
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, compute::interleave_record_batch, datatypes::SchemaRef};
use parking_lot::Mutex;
use pipe_cache::{Digest, RowMemo, row_digests};

use super::{FLUSH_EVERY, StageContext, StageError, TableInput, follow::Following};

/// Input rows whose output is fetched from the memo at a time, and so the size of an output batch (of 1:1 kinds).
const BATCH_ROWS: usize = 8192;
/// How often it is looked whether another worker asks for rows.
const SHARE_EVERY: Duration = Duration::from_millis(200);
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
    /// Those that the stage has begun, and those that are left to other workers.
    begun: Vec<bool>,
    given: Vec<bool>,
    /// How many are left to others.
    left: u64,
    /// When it was looked whether somebody asks for rows.
    looked: Instant,
    done: u64,
    flushed: Instant,
}

impl SinkState<'_> {
    /// Leaves half of the rows that are not begun to a worker that asks for some. Whatever goes wrong with that costs
    /// only help.
    fn share(&mut self, digests: &[Digest]) {
        if self.looked.elapsed() < SHARE_EVERY {
            return;
        }
        self.looked = Instant::now();
        let open = |&row: &usize| !self.begun[row] && !self.given[row] && !self.answered[row];
        let open: Vec<usize> = (0..digests.len()).filter(open).collect();
        if open.is_empty() || !self.memo.is_asked().unwrap_or(false) {
            return;
        }
        // The last ones, so that what is handed out in order stays in one piece.
        let rows = &open[open.len() / 2..];
        match self.memo.give(&rows.iter().map(|&row| digests[row]).collect()) {
            Ok(()) => {
                for &row in rows {
                    self.given[row] = true;
                }
                self.left += rows.len() as u64;
            }
            Err(error) => tracing::debug!(%error, "no rows were given to another worker"),
        }
    }
}

impl RowSink<'_> {
    /// Says that a row is begun. `false` when it has been left to another worker that had nothing to do: then it is not
    /// to be computed. A stage that takes long asks before each row, or portion of rows; one that does not ask computes
    /// all it was given.
    pub fn begin(&self, row: usize) -> bool {
        !self.begin_range(row..row + 1).is_empty()
    }

    /// [`RowSink::begin`] for a range of rows: the first of them, as many as are still this stage's.
    pub fn begin_range(&self, rows: Range<usize>) -> Range<usize> {
        let mut state = self.state.lock();
        state.share(self.digests);
        let end = rows.clone().find(|&row| state.given.get(row) == Some(&true)).unwrap_or(rows.end);
        let begun = rows.start..end;
        for row in begun.clone() {
            if let Some(begun) = state.begun.get_mut(row) {
                *begun = true;
            }
        }
        begun
    }

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
        self.cx.progress(state.done, Some(self.digests.len() as u64 - state.left), "rows");
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
    /// a killed or cancelled stage resumes where it stopped. Rows that are not begun ([`RowSink::begin`]) may be left
    /// to another worker meanwhile. An output may depend on its input row, the side inputs and
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
                let firsts = claim.mine.iter().map(|&i| rows.firsts[i]).collect();
                let digests: Vec<Digest> = claim.mine.iter().map(|&i| rows.digests[i]).collect();
                let pending = PendingRows { batches, rows: firsts };
                computed += self.compute_rows(schema, &mut memo, &pending, &digests, &mut compute)?;
            } else if claim.free > 0 {
                following.sit()?;
            } else if claim.others > 0 {
                if let Some(worker) = claim.most {
                    memo.ask(worker)?;
                }
                following.wait(&changes, seen, claim.owner.as_ref())?;
            } else if self.parts.helping {
                return Err(self.helped(computed));
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
    ) -> Result<u64, StageError> {
        let none = vec![false; pending.len()];
        let (now, answered, begun) = (Instant::now(), none.clone(), none.clone());
        let state = SinkState { memo, answered, begun, given: none, left: 0, looked: now, done: 0, flushed: now };
        let sink = RowSink { digests, schema, state: Mutex::new(state), cx: self };
        self.progress(0, Some(digests.len() as u64), "rows");
        let result = compute(pending, &sink);
        let state = sink.state.into_inner();
        let released = state.memo.release();
        result?;
        released?;
        let unanswered = state.answered.iter().zip(&state.given).filter(|(answered, given)| !**answered && !**given);
        match unanswered.count() {
            0 => Ok(state.done),
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
