//! How fast something goes, and when it will be done. Nothing is said before it is known.

use std::collections::VecDeque;

/// How far back the pace is measured, in seconds.
const WINDOW: f64 = 30.0;
/// A pace is known when it was watched for so long, and something has come in at least twice since.
const SPAN: f64 = 2.0;
/// When nothing has come in for so long, the pace falls with every further second.
const PATIENCE: f64 = 10.0;

/// A number that grows, with the times at which it was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace {
    seen: VecDeque<(f64, f64)>,
}

impl Pace {
    /// Takes note of the number at a time.
    pub(super) fn see(&mut self, at: f64, value: f64) {
        match self.seen.back() {
            // It begins anew: another attempt, another round.
            Some(&(_, last)) if value < last => self.seen.clear(),
            Some(&(_, last)) if value == last => return,
            _ => {}
        }
        self.seen.push_back((at, value));
        // One that is older stays: the window is to be full.
        while self.seen.get(1).is_some_and(|&(then, _)| then <= at - WINDOW) {
            self.seen.pop_front();
        }
    }

    /// How much comes in a second.
    pub(super) fn per_second(&self, now: f64) -> Option<f64> {
        let (&(begin, first), &(end, last)) = (self.seen.front()?, self.seen.back()?);
        let end = if now - end > PATIENCE { now } else { end };
        (self.seen.len() > 2 && end - begin >= SPAN).then(|| (last - first) / (end - begin))
    }

    /// Seconds until it is `total`.
    pub(super) fn left(&self, now: f64, total: f64) -> Option<f64> {
        let (per_second, &(end, last)) = (self.per_second(now)?, self.seen.back()?);
        let since = (now - end).clamp(0.0, PATIENCE);
        Some((((total - last) / per_second) - since).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_known_when_it_was_watched_for_some_seconds() {
        let mut pace = Pace::default();
        assert_eq!(pace.left(0.0, 100.0), None);
        pace.see(1.0, 10.0);
        pace.see(2.0, 20.0);
        assert_eq!(pace.left(2.0, 100.0), None, "one step says nothing");
        pace.see(3.0, 30.0);
        assert_eq!(pace.per_second(3.0), Some(10.0));
        assert_eq!(pace.left(3.0, 100.0), Some(7.0));
        assert_eq!(pace.left(5.0, 100.0), Some(5.0), "it goes on meanwhile");
        assert_eq!(pace.left(9.0, 40.0), Some(0.0));
    }

    #[test]
    fn it_follows_what_happens_and_forgets_what_was() {
        let mut pace = Pace::default();
        for second in 0..100u32 {
            // A tenth of the speed after the first minute.
            let value = if second < 60 { f64::from(second) * 100.0 } else { 6000.0 + f64::from(second - 60) * 10.0 };
            pace.see(f64::from(second), value);
        }
        assert_eq!(pace.per_second(99.0), Some(10.0));
        assert!(pace.per_second(130.0).unwrap() < 6.0, "nothing comes in any more");
        pace.see(131.0, 5.0);
        assert_eq!(pace.per_second(131.0), None, "begun anew");
    }
}
