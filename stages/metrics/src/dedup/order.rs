//! The occurrences of words in texts, rarest first.

use std::collections::HashMap;

/// A word that no inserted text has; numbers below it stand for occurrences that none has.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// The n-th occurrence of a word in a text has a number, for good, and a rank among all of them: the rarer, the larger.
/// What is new has the largest, for it is rare at first; how rare all are is looked at again from time to time.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// word -> the number of its first occurrence
    first: Vec<u32>,
    /// (word, n) -> the number of a further one; that is rare
    further: HashMap<(u32, u32), u32>,
    /// number -> in how many kept texts it is
    texts: Vec<u32>,
    /// number -> rank
    ranks: Vec<u32>,
}

/// A text's words, replaced by what `number` says of the n-th occurrence of a word: each has another.
fn numbered(ids: &[u32], mut number: impl FnMut(u32, u32) -> u32) -> Vec<u32> {
    let mut all = ids.to_vec();
    all.sort_unstable();
    for same in all.chunk_by_mut(|a, b| a == b) {
        let word = same[0];
        for (it, nth) in same.iter_mut().zip(0..) {
            *it = number(word, nth);
        }
    }
    all
}

impl Order {
    /// How many occurrences there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    fn find(&self, word: u32, nth: u32) -> Option<u32> {
        match nth {
            0 => self.first.get(word as usize).copied().filter(|&number| number != UNKNOWN),
            _ => self.further.get(&(word, nth)).copied(),
        }
    }

    /// The numbers of a text's occurrences; those not met before get one.
    pub(super) fn numbers(&mut self, ids: &[u32]) -> Vec<u32> {
        numbered(ids, |word, nth| {
            self.find(word, nth).unwrap_or_else(|| {
                let next = self.texts.len() as u32;
                if nth > 0 {
                    self.further.insert((word, nth), next);
                } else {
                    self.first.resize(self.first.len().max(word as usize + 1), UNKNOWN);
                    self.first[word as usize] = next;
                }
                self.texts.push(0);
                self.ranks.push(next);
                next
            })
        })
    }

    /// The same of a text of which nothing is held.
    pub(super) fn known(&self, ids: &[u32]) -> Vec<u32> {
        let mut unknown = UNKNOWN;
        numbered(ids, |word, nth| {
            self.find(word, nth).unwrap_or_else(|| {
                unknown -= 1;
                unknown
            })
        })
    }

    /// The ranks of the occurrences of these numbers, rarest first.
    pub(super) fn rarest_first(&self, numbers: &[u32]) -> Vec<u32> {
        let rank = |&number: &u32| self.ranks.get(number as usize).copied().unwrap_or(number);
        let mut ranks: Vec<u32> = numbers.iter().map(rank).collect();
        ranks.sort_unstable_by(|a, b| b.cmp(a));
        ranks
    }

    /// Counts a text that is kept.
    pub(super) fn count(&mut self, numbers: &[u32]) {
        for &number in numbers {
            self.texts[number as usize] += 1;
        }
    }

    /// Ranks all occurrences by how many texts have them.
    pub(super) fn rank(&mut self) {
        let mut ranked: Vec<u32> = (0..self.texts.len() as u32).collect();
        ranked.sort_by_key(|&number| std::cmp::Reverse(self.texts[number as usize]));
        for (rank, number) in ranked.into_iter().enumerate() {
            self.ranks[number as usize] = rank as u32;
        }
    }
}
