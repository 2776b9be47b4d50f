//! Sets of attempts, as ranges without overlap.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

/// A set of numbers that mostly come in runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub(crate) struct Spans {
    /// Start -> end; no two touch.
    runs: BTreeMap<u64, u64>,
}

impl Spans {
    /// Adds a range.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        let Range { mut start, mut end } = range;
        if start >= end {
            return;
        }
        while let Some((&s, &e)) = self.runs.range(..=end).next_back().filter(|&(_, &e)| e >= start) {
            self.runs.remove(&s);
            (start, end) = (start.min(s), end.max(e));
        }
        self.runs.insert(start, end);
    }

    /// Adds other sets.
    pub(crate) fn extend<'a>(&mut self, others: impl IntoIterator<Item = &'a Self>) {
        for other in others {
            other.runs.iter().for_each(|(&start, &end)| self.insert(start..end));
        }
    }

    /// The parts of a range that are not in the set, in ascending order.
    pub(crate) fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = range.start;
        let before = self.runs.range(..=range.start).next_back();
        for (&start, &end) in before.into_iter().chain(self.runs.range(range.start + 1..range.end.max(range.start + 1)))
        {
            if start > at {
                gaps.push(at..start);
            }
            at = at.max(end);
        }
        if at < range.end {
            gaps.push(at..range.end);
        }
        gaps
    }

    /// Where the run that begins with 0 ends.
    pub(crate) fn reach(&self) -> u64 {
        self.runs.get(&0).copied().unwrap_or(0)
    }
}

impl From<Vec<(u64, u64)>> for Spans {
    fn from(runs: Vec<(u64, u64)>) -> Self {
        let mut spans = Self::default();
        for (start, end) in runs {
            spans.insert(start..end);
        }
        spans
    }
}

impl From<Spans> for Vec<(u64, u64)> {
    fn from(spans: Spans) -> Self {
        spans.runs.into_iter().collect()
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges are what is tested")]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let mut spans = Spans::default();
        for range in [5..7, 0..2, 9..12, 2..5, 20..20] {
            spans.insert(range);
        }
        assert_eq!(Vec::from(spans.clone()), [(0, 7), (9, 12)]);
        assert_eq!(spans.reach(), 7);
        spans.insert(1..30);
        assert_eq!(Vec::from(spans), [(0, 30)]);
    }

    #[test]
    fn what_is_missing_comes_in_order() {
        let spans = Spans::from(vec![(2, 4), (6, 8)]);
        assert_eq!(spans.missing(0..10), [0..2, 4..6, 8..10]);
        assert_eq!(spans.missing(3..7), [4..6]);
        assert_eq!(spans.missing(2..4), []);
        assert_eq!(spans.missing(4..6), [4..6]);
        assert_eq!(spans.missing(9..9), []);
        assert_eq!(Spans::default().reach(), 0);
    }
}
