//! Log-probabilities of texts that are given: every token is read, and the probability of the next one noted.
//!
//! What the continuations of one context have in common is read once. Logits are made for a block of positions at a
//! time, and none for positions that nothing is asked of. How texts are tokenised and cut into windows is
//! lm-evaluation-harness's way, so that its numbers are ours.

use std::ops::{ControlFlow, Range};

use rayon::prelude::*;

use super::{GenerateError, Generator, ScoreRequest, Scored, sampling::Sampler, sequences::Row};
use crate::model::{CachedBatch, Session};

/// Takes scores.
pub trait ScoreSink {
    /// A row is done. `Break` ends the call.
    fn scored(&mut self, scored: Scored) -> ControlFlow<()>;

    /// Called between steps. `Break` ends the call now.
    fn between_steps(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(Scored) -> ControlFlow<()>> ScoreSink for F {
    fn scored(&mut self, scored: Scored) -> ControlFlow<()> {
        self(scored)
    }
}

/// Says how probable texts are.
pub trait Scorer: Send + Sync {
    /// Scores every request, handing each to `sink` (on the calling thread, in any order) as it is done.
    ///
    /// With the local model a row's scores depend on the model and its own texts alone: not on the rows around it, the
    /// number of slots, or threads. Servers promise less.
    ///
    /// # Errors
    /// What concerns all rows. What reached `sink` before stays good.
    fn score(
        &self,
        requests: &mut (dyn Iterator<Item = ScoreRequest> + Send),
        sink: &mut dyn ScoreSink,
    ) -> Result<(), GenerateError>;
}

/// Rows that are tokenised before the first of them is scored: out of so many, waves of like length are made.
const LOOK_AHEAD: usize = 256;
/// Positions of keys and values in flight, unless one text alone needs more.
const POSITIONS: usize = 8192;
/// Logits held at once: 64 MB.
const LOGITS: usize = 16 << 20;

/// Sequences of one row that are read together.
struct Job {
    row: usize,
    sequences: Range<usize>,
}

/// What of a sequence is to be read into a slot.
struct Feed {
    row: usize,
    sequence: usize,
    slot: usize,
    at: usize,
    end: usize,
}

impl Scorer for Generator {
    fn score(
        &self,
        requests: &mut (dyn Iterator<Item = ScoreRequest> + Send),
        sink: &mut dyn ScoreSink,
    ) -> Result<(), GenerateError> {
        let mut session: Option<Session> = None;
        loop {
            let mut rows = Vec::new();
            while rows.len() < LOOK_AHEAD
                && let Some(request) = requests.next()
            {
                match self.tokenized(request) {
                    Ok(row) => rows.push(row),
                    // One row that cannot be scored ends no other.
                    Err(error) => {
                        let done = error.into_completion()?;
                        let scored = Scored { id: done.id, found: Err((done.finish, done.text)) };
                        if sink.scored(scored).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
            if rows.is_empty() {
                return Ok(());
            }
            rows.sort_by_key(Row::longest);
            for wave in self.waves(&rows) {
                if self.read_wave(&wave, &mut rows, &mut session, sink)?.is_break() {
                    return Ok(());
                }
                for job in &wave {
                    let row = &mut rows[job.row];
                    row.left -= job.sequences.len();
                    if row.left == 0 && sink.scored(row.scored()).is_break() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

impl Generator {
    /// Positions that may be in flight.
    fn positions(&self) -> usize {
        (self.options().max_cache_bytes / self.model().bytes_per_position().max(1)).min(POSITIONS)
    }

    /// Which sequences are read together: as many as slots and memory allow.
    fn waves(&self, rows: &[Row]) -> Vec<Vec<Job>> {
        let (slots, positions) = (self.options().slots.max(1), self.positions());
        let (mut waves, mut wave, mut used, mut longest) = (Vec::new(), Vec::new(), 0, 0);
        for (row, of) in rows.iter().enumerate() {
            let need = of.longest().max(1);
            let most = slots.min(positions / need).max(1);
            let count = of.sequences.len();
            for first in (0..count).step_by(most) {
                let sequences = first..(first + most).min(count);
                let together = used + sequences.len();
                if !wave.is_empty() && (together > slots || together * need.max(longest) > positions) {
                    waves.push(std::mem::take(&mut wave));
                    (used, longest) = (0, 0);
                }
                (used, longest) = (used + sequences.len(), need.max(longest));
                wave.push(Job { row, sequences });
            }
        }
        waves.extend((!wave.is_empty()).then_some(wave));
        waves
    }

    fn read_wave(
        &self,
        wave: &[Job],
        rows: &mut [Row],
        session: &mut Option<Session>,
        sink: &mut dyn ScoreSink,
    ) -> Result<ControlFlow<()>, GenerateError> {
        let slots = wave.iter().map(|job| job.sequences.len()).sum();
        let capacity = wave.iter().map(|job| rows[job.row].longest()).max().unwrap_or(0).max(1);
        // Given back before another is asked for.
        session.take_if(|session| session.slots() < slots || session.capacity() < capacity);
        if session.is_none() {
            *session = Some(self.model().session(slots, capacity)?);
        }
        let Some(session) = session else { return Ok(ControlFlow::Continue(())) };
        let (mut shared, mut own, mut copies, mut slot) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for job in wave {
            let row = &rows[job.row];
            let prefix = if job.sequences.len() > 1 { row.prefix } else { 0 };
            let first = slot;
            for sequence in job.sequences.clone() {
                let feed = |at, end| Feed { row: job.row, sequence, slot, at, end };
                if prefix > 0 && slot == first {
                    shared.push(feed(0, prefix));
                } else if prefix > 0 {
                    copies.push((first, slot, prefix));
                }
                own.push(feed(prefix, row.sequences[sequence].read()));
                slot += 1;
            }
        }
        if self.read(shared, rows, session, sink)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        for (from, to, len) in copies {
            session.copy_prefix(from, to, len);
        }
        self.read(own, rows, session, sink)
    }

    /// Reads what is to be fed, and adds up what is wanted.
    fn read(
        &self,
        mut feeds: Vec<Feed>,
        rows: &mut [Row],
        session: &mut Session,
        sink: &mut dyn ScoreSink,
    ) -> Result<ControlFlow<()>, GenerateError> {
        let vocab = self.model().config().vocab_size;
        let most_wanted = (LOGITS / vocab).clamp(64, 1024);
        let most_tokens = self.options().prompt_tokens_per_step.max(1);
        let (mut batch, mut wanted, mut owners, mut next) = (CachedBatch::default(), Vec::new(), Vec::new(), 0);
        while next < feeds.len() {
            if sink.between_steps().is_break() {
                return Ok(ControlFlow::Break(()));
            }
            batch.clear();
            wanted.clear();
            owners.clear();
            while let Some(feed) = feeds.get_mut(next)
                && batch.tokens.len() < most_tokens
                && wanted.len() < most_wanted
            {
                let sequence = &rows[feed.row].sequences[feed.sequence];
                let mut stop = feed.end.min(feed.at + most_tokens - batch.tokens.len());
                let first = feed.at.max(sequence.first_wanted());
                stop = stop.min(first + most_wanted - wanted.len());
                let before = batch.tokens.len();
                batch.push(feed.slot, feed.at, &sequence.tokens[feed.at..stop]);
                for position in first..stop {
                    wanted.push(before + position - feed.at);
                    owners.push((feed.row, feed.sequence, position + 1));
                }
                feed.at = stop;
                if feed.at < feed.end {
                    break;
                }
                next += 1;
            }
            let logits = self.model().step(&batch, &wanted, self.adapter(), session)?;
            let found: Vec<Option<(f64, bool)>> = (logits.par_chunks_exact(vocab).zip(&owners))
                .with_min_len(4)
                .map_init(Sampler::default, |sampler, (logits, &(row, sequence, target))| {
                    sampler.logprob(logits, rows[row].sequences[sequence].tokens[target])
                })
                .collect();
            for (&(row, sequence, target), found) in owners.iter().zip(found) {
                let row = &mut rows[row];
                let Some((logprob, best)) = found else {
                    let error = GenerateError::NotFinite { row: row.id.clone(), position: target - 1 };
                    let done = error.into_completion()?;
                    row.failed.get_or_insert((done.finish, done.text));
                    continue;
                };
                row.add(sequence, (logprob, best));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
