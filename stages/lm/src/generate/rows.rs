//! Rows in flight: which slot each holds, what it shares with others, and what goes into the next step.

use crate::model::{CachedBatch, Session};
use pipe_random::RowRandom;

/// Prefixes shorter than this are computed anew; copying them saves nothing.
const SHORTEST_SHARED: usize = 8;

/// One row being completed.
#[derive(Debug)]
pub(super) struct Row {
    pub id: String,
    /// Prompt and continuation so far.
    pub tokens: Vec<u32>,
    /// How many of them are the prompt.
    pub prompt: usize,
    /// Log-probability of each generated token, if asked for.
    pub logprobs: Vec<f32>,
    /// Distinct tokens so far, kept only for a repetition penalty.
    pub seen: Vec<u32>,
    pub random: RowRandom,
}

impl Row {
    /// The tokens generated so far.
    pub(crate) fn generated(&self) -> &[u32] {
        &self.tokens[self.prompt..]
    }
}

/// A place in the key/value cache.
#[derive(Debug, Default)]
struct Slot {
    /// Tokens whose keys and values are there. Those of a finished row stay until the slot is taken.
    cached: Vec<u32>,
    row: Option<Row>,
    /// The row waits until slot `.0` holds `.1` positions, to take them over.
    donor: Option<(usize, usize)>,
}

/// All slots of a session.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    share_prefixes: bool,
}

impl Slots {
    pub(crate) fn new(count: usize, share_prefixes: bool) -> Self {
        Self { slots: (0..count).map(|_| Slot::default()).collect(), share_prefixes }
    }

    pub(crate) fn has_free(&self) -> bool {
        self.slots.iter().any(|slot| slot.row.is_none())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.slots.iter().all(|slot| slot.row.is_none())
    }

    /// Gives a row a free slot, and decides whose prefix it takes over.
    ///
    /// # Panics
    /// If no slot is free.
    pub(crate) fn admit(&mut self, row: Row) {
        let last = row.tokens.len() - 1; // the last prompt token is always computed: its logits are needed
        let shared: Vec<usize> = self
            .slots
            .iter()
            .map(|slot| {
                let there = slot.row.as_ref().map_or(&slot.cached, |other| &other.tokens);
                let reach = if slot.row.is_some() { slot.prompt_end() } else { there.len() };
                if self.share_prefixes { common_prefix(&there[..reach], &row.tokens[..last]) } else { 0 }
            })
            .collect();
        // Nobody waits for a free slot: its contents are complete, and `take_over` runs after every admission.
        let free = (0..self.slots.len()).filter(|&i| self.slots[i].row.is_none());
        let Some(own) = free.max_by_key(|&i| (shared[i], usize::MAX - i)) else { panic!("no slot is free") };
        let best = (0..self.slots.len()).max_by_key(|&i| (shared[i], usize::MAX - i)).unwrap_or(own);
        let slot = &mut self.slots[own];
        slot.cached.truncate(shared[own]);
        slot.donor = (shared[best] >= shared[own] + SHORTEST_SHARED).then_some((best, shared[best]));
        slot.row = Some(row);
    }

    /// Copies shared prefixes that are ready to the rows that wait for them.
    pub(crate) fn take_over(&mut self, session: &mut Session) {
        for to in 0..self.slots.len() {
            let Some((from, len)) = self.slots[to].donor else { continue };
            if self.slots[from].cached.len() < len {
                continue;
            }
            session.copy_prefix(from, to, len);
            let prefix = self.slots[from].cached[..len].to_vec();
            self.slots[to].cached = prefix;
            self.slots[to].donor = None;
        }
    }

    /// Fills `batch` with what is to be computed next: the new token of every row that is generating, then prompts, up
    /// to `budget` tokens of them. `wanted` gets the tokens whose logits choose a next token, `owners` their slots.
    pub(crate) fn next_batch(
        &mut self,
        budget: usize,
        batch: &mut CachedBatch,
        wanted: &mut Vec<usize>,
        owners: &mut Vec<usize>,
    ) {
        batch.clear();
        wanted.clear();
        owners.clear();
        let mut left = budget;
        for generating in [true, false] {
            for (index, slot) in self.slots.iter_mut().enumerate() {
                let Some(row) = slot.row.as_ref().filter(|_| slot.donor.is_none()) else { continue };
                if (row.tokens.len() > row.prompt) != generating {
                    continue;
                }
                let start = slot.cached.len();
                let missing = row.tokens.len() - start;
                let count = if generating { missing } else { missing.min(left) };
                if count == 0 {
                    continue;
                }
                if !generating {
                    left -= count;
                }
                batch.push(index, start, &row.tokens[start..start + count]);
                slot.cached.extend_from_slice(&row.tokens[start..start + count]);
                if count == missing {
                    wanted.push(batch.tokens.len() - 1);
                    owners.push(index);
                }
            }
        }
    }

    /// The rows of `owners` (ascending within prompts and within generating rows), to be changed in parallel.
    pub(crate) fn rows_mut(&mut self, owners: &[usize]) -> Vec<&mut Row> {
        let mut by_slot: Vec<Option<&mut Row>> = self.slots.iter_mut().map(|slot| slot.row.as_mut()).collect();
        owners.iter().filter_map(|&slot| by_slot[slot].take()).collect()
    }

    /// Frees a slot. Its contents stay, for rows that share a prefix with it.
    pub(crate) fn release(&mut self, slot: usize) {
        self.slots[slot].row = None;
    }
}

impl Slot {
    /// How far the row's tokens are known to end up in the cache: the whole prompt.
    fn prompt_end(&self) -> usize {
        self.row.as_ref().map_or(0, |row| row.prompt)
    }
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}
