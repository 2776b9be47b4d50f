//! Stream stages: an endless deterministic sequence of attempts, of which each run adds only what is missing.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use pipe_cache::StreamMemo;

use super::{FLUSH_EVERY, StageContext, rows::conform};
use crate::kind::StageError;

/// Attempts read from the memo at a time.
const READ_ROWS: u64 = 4096;

/// One attempt, as the fold sees it: row `row` of `batch`.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Its number, from 0.
    pub index: u64,
    /// A batch that holds it (with others).
    pub batch: &'a RecordBatch,
    /// Its row in the batch.
    pub row: usize,
}

/// What a fold wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next attempt.
    More,
    /// Nothing: the extent is reached.
    Enough,
}

/// How many attempts a stream stage went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCounts {
    /// Attempts that the fold saw.
    pub folded: u64,
    /// Attempts computed now, those that the fold no longer wanted included.
    pub computed: u64,
    /// Attempts that the fold saw and the memo knew.
    pub reused: u64,
}

type Fold<'a> = Box<dyn FnMut(Attempt<'_>) -> Result<Flow, StageError> + Send + 'a>;

/// Hands out attempts to compute, and takes their outcomes in any order and from any thread.
pub struct AttemptSink<'a> {
    schema: &'a SchemaRef,
    state: Mutex<State<'a>>,
    cx: &'a StageContext,
}

struct State<'a> {
    memo: StreamMemo,
    fold: Fold<'a>,
    /// Outcomes that wait for their predecessors: attempt -> batch, and row in it.
    waiting: BTreeMap<u64, (Arc<RecordBatch>, usize)>,
    /// The first attempt that is not in line yet.
    next: u64,
    /// The next attempt to hand out.
    offer: u64,
    /// How many attempts the fold saw.
    folded: u64,
    enough: bool,
    computed: u64,
    flushed: Instant,
}

impl State<'_> {
    /// Gives the fold the attempts that the memo knows.
    fn replay(&mut self) -> Result<(), StageError> {
        while !self.enough && self.next < self.memo.len() {
            let batch = self.memo.read(self.next..self.memo.len().min(self.next + READ_ROWS))?;
            self.fold_rows(&batch, 0..batch.num_rows())?;
            self.next += batch.num_rows() as u64;
        }
        Ok(())
    }

    /// The fold's part of rows that begin with attempt `self.next`.
    fn fold_rows(&mut self, batch: &RecordBatch, rows: Range<usize>) -> Result<(), StageError> {
        for row in rows {
            if self.enough {
                break;
            }
            self.enough = (self.fold)(Attempt { index: self.folded, batch, row })? == Flow::Enough;
            self.folded += 1;
        }
        Ok(())
    }

    /// Brings outcomes into line: keeps them, and gives them to the fold.
    fn advance(&mut self) -> Result<(), StageError> {
        while let Some((batch, first)) = self.waiting.remove(&self.next) {
            // Take along the rows of the same batch that follow; most batches arrive whole and in order.
            let mut end = first + 1;
            while (self.waiting.first_key_value()).is_some_and(|(a, (b, row))| {
                *a == self.next + (end - first) as u64 && *row == end && Arc::ptr_eq(b, &batch)
            }) {
                self.waiting.pop_first();
                end += 1;
            }
            self.memo.append(self.next, &batch.slice(first, end - first))?;
            self.next += (end - first) as u64;
            self.fold_rows(&batch, first..end)?;
        }
        if self.flushed.elapsed() >= FLUSH_EVERY {
            self.memo.flush()?;
            self.flushed = Instant::now();
        }
        Ok(())
    }
}

impl<'a> AttemptSink<'a> {
    /// Up to `n` attempts that nobody has computed yet, in ascending order; none once the fold has enough.
    ///
    /// Attempts in flight by then may be emitted (a later run with a larger extent finds them) or dropped.
    pub fn next_attempts(&self, n: usize) -> Result<Range<u64>, StageError> {
        self.cx.check_cancelled()?;
        let mut state = self.lock()?;
        let start = state.offer;
        if !state.enough {
            state.offer += n as u64;
        }
        Ok(start..state.offer)
    }

    /// Whether the fold has all it wants.
    pub fn is_done(&self) -> bool {
        self.state.lock().map_or(true, |state| state.enough)
    }

    /// Hands over outcomes: row `i` of `rows` is the outcome of attempt `attempts[i]`.
    ///
    /// Fails when the columns are not the declared ones, the numbers differ, or an attempt was emitted before or never
    /// handed out: mistakes in the kind.
    pub fn emit(&self, attempts: &[u64], rows: &RecordBatch) -> Result<(), StageError> {
        let rows = Arc::new(conform(rows, self.schema)?);
        if attempts.len() != rows.num_rows() {
            return Err(StageError::contract(format!(
                "{} attempts were announced and {} rows emitted",
                attempts.len(),
                rows.num_rows()
            )));
        }
        let mut state = self.lock()?;
        if state.computed == 0 {
            self.cx.check_sources()?;
        }
        for (row, &attempt) in attempts.iter().enumerate() {
            if attempt < state.next || state.waiting.insert(attempt, (Arc::clone(&rows), row)).is_some() {
                return Err(StageError::contract(format!("attempt {attempt} was emitted twice")));
            }
            if attempt >= state.offer {
                return Err(StageError::contract(format!("attempt {attempt} was emitted but never handed out")));
            }
        }
        state.computed += attempts.len() as u64;
        state.advance()
    }

    fn lock(&self) -> Result<MutexGuard<'_, State<'a>>, StageError> {
        self.state.lock().map_err(|_| StageError::contract("a thread panicked while it emitted attempts"))
    }
}

impl StageContext {
    /// Walks the stage's sequence of attempts from 0 until `fold` says [`Flow::Enough`].
    ///
    /// Attempt `i` must depend on the recipe and `i` alone. `fold` sees every attempt exactly once and in order; what it
    /// keeps of attempt `i` may depend on attempts before `i` but not on the extent, so that a smaller extent yields a
    /// prefix of a larger one. Attempts that an earlier run has made come from the memo; `compute` is called only when
    /// they are not enough, asks the sink which attempts are wanted, and emits them in any order until the sink hands out
    /// no more. Emitted attempts are kept as soon as they are in line: a killed stage resumes there.
    ///
    /// A sequence that can run dry must end in the fold (`Enough` after so many attempts); returning from `compute`
    /// before is an error.
    pub fn stream(
        &self,
        schema: &SchemaRef,
        fold: impl FnMut(Attempt<'_>) -> Result<Flow, StageError> + Send,
        compute: impl FnOnce(&AttemptSink<'_>) -> Result<(), StageError>,
    ) -> Result<StreamCounts, StageError> {
        let mut state = State {
            memo: self.open_stream_memo(schema)?,
            fold: Box::new(fold),
            waiting: BTreeMap::new(),
            next: 0,
            offer: 0,
            folded: 0,
            enough: false,
            computed: 0,
            flushed: Instant::now(),
        };
        state.replay()?;
        state.offer = state.next;
        let reused = state.folded;
        if !state.enough {
            let sink = AttemptSink { schema, state: Mutex::new(state), cx: self };
            let result = compute(&sink);
            state = sink.state.into_inner().map_err(|_| StageError::contract("a thread panicked in emit"))?;
            let flushed = state.memo.flush();
            result?;
            flushed?;
            if !state.enough {
                return Err(StageError::contract(format!(
                    "it stopped at attempt {}, before it had enough",
                    state.next
                )));
            }
        }
        let counts = StreamCounts { folded: state.folded, computed: state.computed, reused };
        self.count_rows(counts.computed, counts.reused);
        Ok(counts)
    }
}
