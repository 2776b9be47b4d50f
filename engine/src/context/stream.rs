//! Stream stages: an endless deterministic sequence of attempts, of which each run adds only what is missing.
//!
//! Of the streams of one recipe in a process, one computes at a time; the others fold what it writes down, and one of
//! them goes on where it ends. Those of several processes each compute the attempts that they have claimed.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use parking_lot::Mutex;
use pipe_cache::{LeaseOwner, StreamMemo};

use super::{FLUSH_EVERY, StageContext, StageError, follow::Following, rows::conform};

/// Attempts read from the memo at a time.
const READ_ROWS: u64 = 4096;
/// Attempts claimed at a time, at first and at most: twice as many when the last claim lasted for less than a second.
const CLAIM: (u64, u64) = (16, 1024);
/// How often the attempts of others are looked for while this stage computes some itself.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The yield is estimated as if so many attempts had been made before the first, and all kept: one attempt that keeps
/// nothing is no sign that none will.
const TRUST: u64 = 8;

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

/// What a fold still wants. It has enough when one of them is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Rows to keep.
    pub rows: u64,
    /// Attempts to look at before it gives up, at most.
    pub attempts: u64,
}

impl Wanted {
    fn is_nothing(self) -> bool {
        self.rows == 0 || self.attempts == 0
    }

    /// How many attempts that may take, after `folded` of which `kept` were kept.
    fn look_ahead(self, folded: u64, kept: u64) -> u64 {
        let need = u128::from(self.rows) * u128::from(folded + TRUST);
        u64::try_from(need.div_ceil(u128::from(kept + TRUST))).unwrap_or(u64::MAX).min(self.attempts)
    }
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
    /// Attempts that the fold saw and others computed meanwhile.
    pub waited: u64,
}

type Fold<'a> = Box<dyn FnMut(Attempt<'_>) -> Result<Wanted, StageError> + Send + 'a>;

/// Hands out attempts to compute, and takes their outcomes in any order and from any thread.
pub struct AttemptSink<'a> {
    schema: &'a SchemaRef,
    state: Mutex<Stream<'a>>,
    cx: &'a StageContext,
}

struct Stream<'a> {
    memo: StreamMemo,
    fold: Fold<'a>,
    /// How many rows were wanted at first.
    asked: u64,
    wanted: Wanted,
    /// How many attempts the fold saw.
    folded: u64,
    /// Claimed, and not handed out yet.
    offers: VecDeque<Range<u64>>,
    /// Handed out, and not emitted yet.
    out: BTreeSet<u64>,
    /// Emitted here, and not folded yet.
    emitted: BTreeSet<u64>,
    /// How many attempts to claim next.
    portion: u64,
    /// Up to where attempts were looked for last, and when.
    looked: (u64, Option<Instant>),
    /// Of the attempts looked for, those that nobody and that others had claimed.
    free: u64,
    others: u64,
    owner: Option<LeaseOwner>,
    computed: u64,
    /// Attempts that the fold saw and this stage computed.
    own: u64,
    flushed: Instant,
}

impl Stream<'_> {
    fn is_done(&self) -> bool {
        self.wanted.is_nothing()
    }

    /// Gives the fold the attempts that are in line.
    fn advance(&mut self) -> Result<(), StageError> {
        while !self.is_done() && self.folded < self.memo.len() {
            let batch = self.memo.read(self.folded..self.memo.len().min(self.folded + READ_ROWS))?;
            for row in 0..batch.num_rows() {
                let index = self.folded;
                self.wanted = (self.fold)(Attempt { index, batch: &batch, row })?;
                self.folded += 1;
                self.own += u64::from(self.emitted.remove(&index));
                if self.is_done() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// How far attempts are wanted, by this stage or another of the process. Others hear of it.
    fn until(&self) -> u64 {
        if self.is_done() {
            return self.memo.want(0);
        }
        let ahead = self.wanted.look_ahead(self.folded, self.asked.saturating_sub(self.wanted.rows));
        self.memo.want(self.folded.saturating_add(ahead))
    }

    /// Claims attempts, up to `most` of those that will be wanted, and takes in what others have written down.
    fn claim(&mut self, cx: &StageContext, most: u64) -> Result<(), StageError> {
        let until = self.until();
        let fresh = self.looked.1.is_some_and(|at| at.elapsed() < LOOK_EVERY);
        if most > 0 && fresh && until <= self.looked.0 && self.free == 0 {
            return Ok(());
        }
        let claim = self.memo.claim(self.folded..until, most, &|| cx.check_cancelled().is_err())?;
        let claim = claim.ok_or(StageError::Cancelled)?;
        if self.looked.1.is_some_and(|at| at.elapsed() < Duration::from_secs(1)) && !claim.mine.is_empty() {
            self.portion = (self.portion * 2).min(CLAIM.1);
        }
        self.looked = (until, Some(Instant::now()));
        (self.free, self.others, self.owner) = (claim.free, claim.others, claim.owner);
        self.offers.extend(claim.mine);
        self.advance()
    }
}

impl AttemptSink<'_> {
    /// Up to `n` attempts that nobody has computed or is computing, in ascending order. None once the fold has enough,
    /// and none for now when as many are on their way as are likely to be wanted: then what is in flight is to be
    /// emitted, which may make more of them wanted.
    pub fn next_attempts(&self, n: usize) -> Result<Range<u64>, StageError> {
        self.cx.check_cancelled()?;
        let mut state = self.state.lock();
        if !state.is_done() && state.offers.is_empty() {
            let portion = state.portion.max(n as u64);
            state.claim(self.cx, portion)?;
        }
        let Some(run) = (!state.is_done()).then(|| state.offers.pop_front()).flatten() else { return Ok(0..0) };
        let handed = run.start..run.end.min(run.start.saturating_add(n as u64));
        if handed.end < run.end {
            state.offers.push_front(handed.end..run.end);
        }
        state.out.extend(handed.clone());
        Ok(handed)
    }

    /// Whether the fold has all it wants.
    pub fn is_done(&self) -> bool {
        self.state.lock().is_done()
    }

    /// Hands over outcomes: row `i` of `rows` is the outcome of attempt `attempts[i]`. Those that the fold no longer
    /// wants are kept, too, for a larger extent.
    ///
    /// Fails when the columns are not the declared ones, the numbers differ, or an attempt was emitted before or never
    /// handed out: mistakes in the kind.
    pub fn emit(&self, attempts: &[u64], rows: &RecordBatch) -> Result<(), StageError> {
        let rows = conform(rows, self.schema)?;
        if attempts.len() != rows.num_rows() {
            return Err(StageError::contract(format!(
                "{} attempts were announced and {} rows emitted",
                attempts.len(),
                rows.num_rows()
            )));
        }
        let mut state = self.state.lock();
        if state.computed == 0 {
            self.cx.check_sources()?;
        }
        for attempt in attempts {
            if !state.out.remove(attempt) {
                return Err(StageError::contract(format!("attempt {attempt} was emitted twice, or never handed out")));
            }
            state.emitted.insert(*attempt);
        }
        let mut first = 0;
        while first < attempts.len() {
            // The rows of attempts that follow each other are kept together; most batches arrive whole and in order.
            let run =
                attempts[first..].iter().zip(attempts[first]..).take_while(|(attempt, i)| **attempt == *i).count();
            state.memo.append(attempts[first], &rows.slice(first, run))?;
            first += run;
        }
        state.computed += attempts.len() as u64;
        state.advance()?;
        if state.flushed.elapsed() >= FLUSH_EVERY {
            state.memo.flush()?;
            state.flushed = Instant::now();
        }
        Ok(())
    }
}

impl StageContext {
    /// Walks the stage's sequence of attempts from 0 until `fold` wants no more; `wanted` is what it wants before the
    /// first.
    ///
    /// Attempt `i` must depend on the recipe and `i` alone. `fold` sees every attempt exactly once and in order, and
    /// says what it still wants; what it keeps of attempt `i` may depend on attempts before `i` but not on the extent,
    /// so that a smaller extent yields a prefix of a larger one. Attempts that an earlier run has made come from the
    /// memo, and so do those that another stage of the same recipe is making just now, in this process or another one.
    ///
    /// `compute` is called when that is not enough. It asks the sink which attempts are wanted, emits them in any
    /// order, and returns when it has emitted all and the sink hands out no more; it is called again when there is more
    /// to do. As many attempts are on their way at a time as will be looked at if the yield stays what it is: the rows
    /// still wanted, over the share that was kept so far. Emitted attempts are kept at once: a killed stage resumes
    /// there.
    ///
    /// A sequence that can run dry must end in the fold (which wants nothing after so many attempts).
    pub fn stream(
        &self,
        schema: &SchemaRef,
        wanted: Wanted,
        fold: impl FnMut(Attempt<'_>) -> Result<Wanted, StageError> + Send,
        mut compute: impl FnMut(&AttemptSink<'_>) -> Result<(), StageError>,
    ) -> Result<StreamCounts, StageError> {
        let mut state = Stream {
            memo: self.open_stream_memo(schema)?,
            fold: Box::new(fold),
            asked: wanted.rows,
            wanted,
            folded: 0,
            offers: VecDeque::new(),
            out: BTreeSet::new(),
            emitted: BTreeSet::new(),
            portion: CLAIM.0,
            looked: (0, None),
            free: 0,
            others: 0,
            owner: None,
            computed: 0,
            own: 0,
            flushed: Instant::now(),
        };
        self.recall(true);
        state.advance()?;
        self.recall(false);
        let reused = state.folded;
        let changes = state.memo.changes();
        let mut following = Following::new(self);
        loop {
            let seen = changes.count();
            state.memo.refresh()?;
            state.advance()?;
            state.until();
            if state.is_done() {
                break;
            }
            let Some(lead) = state.memo.lead() else {
                following.wait(&changes, seen, None)?;
                continue;
            };
            state.looked.1 = None;
            state.claim(self, if following.is_seated() { CLAIM.0 } else { 0 })?;
            if state.is_done() {
                state.memo.release()?;
            } else if !state.offers.is_empty() {
                state = self.make_attempts(schema, state, &mut compute)?;
            } else if state.free > 0 {
                drop(lead);
                following.sit()?;
            } else {
                drop(lead);
                following.wait(&changes, seen, state.owner.as_ref())?;
            }
        }
        if self.parts.helping {
            return Err(self.helped(state.computed));
        }
        following.sit()?;
        let waited = state.folded - reused - state.own;
        let counts = StreamCounts { folded: state.folded, computed: state.computed, reused, waited };
        self.count_rows(counts.computed, counts.reused, counts.waited);
        Ok(counts)
    }

    /// Computes what is claimed, and what is claimed meanwhile.
    fn make_attempts<'a>(
        &'a self,
        schema: &'a SchemaRef,
        state: Stream<'a>,
        compute: &mut impl FnMut(&AttemptSink<'_>) -> Result<(), StageError>,
    ) -> Result<Stream<'a>, StageError> {
        let before = state.computed;
        let sink = AttemptSink { schema, state: Mutex::new(state), cx: self };
        let result = compute(&sink);
        let mut state = sink.state.into_inner();
        let released = state.memo.release();
        result?;
        released?;
        if !state.is_done() && (!state.out.is_empty() || state.computed == before) {
            return Err(StageError::contract(format!(
                "it stopped at attempt {}, before it had made all it was given",
                state.folded
            )));
        }
        state.offers.clear();
        state.out.clear();
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn it_looks_ahead_as_far_as_the_yield_says() {
        let ahead = |rows, folded, kept| Wanted { rows, attempts: 1000 }.look_ahead(folded, kept);
        assert_eq!(ahead(20, 0, 0), 20, "at first as many as are wanted");
        assert_eq!(ahead(20, 1, 0), 23, "one without yield is no sign that none will have any");
        assert_eq!(ahead(10, 92, 42), 20);
        assert_eq!(ahead(1, 1000, 900), 2);
        assert_eq!(ahead(50, 992, 0), 1000, "not beyond where it gives up");
        assert_eq!(Wanted { rows: u64::MAX, attempts: u64::MAX }.look_ahead(7, 0), u64::MAX);
    }
}
