//! What computations took, whatever pipeline they belonged to: read from the journals of past runs, newest first.

use std::collections::HashMap;

use pipe_cache::Digest;

use super::{EventKind, Journal, JournalError, NodeStats};

/// Runs that are looked at, at most.
const RUNS: usize = 200;
/// No further run is looked at after so many events.
const EVENTS: usize = 50_000;
/// Computations of a kind that are looked at, at most.
const SAMPLES: usize = 64;

/// The work that a computation is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Rows (or attempts) computed.
    Rows,
    /// Rows of the inputs, for kinds that compute their result as a whole.
    Inputs,
}

/// One computation.
#[derive(Debug, Clone, Copy)]
struct Sample {
    recipe: Option<Digest>,
    seconds: f64,
    computed: u64,
    inputs: u64,
}

impl Sample {
    fn amount(&self, work: Work) -> u64 {
        match work {
            Work::Rows => self.computed,
            Work::Inputs => self.inputs,
        }
    }
}

/// Times of past computations by kind.
#[derive(Debug, Default)]
pub struct Timings {
    kinds: HashMap<String, Vec<Sample>>,
}

impl Timings {
    /// Reads what the journals say.
    pub fn read(journal: &Journal) -> Result<Self, JournalError> {
        let mut timings = Self::default();
        let mut seen = 0;
        for run in journal.runs()?.into_iter().take(RUNS) {
            let events = journal.events(&run)?;
            seen += events.len();
            for event in events.into_iter().rev() {
                if let EventKind::Finished { kind, recipe, stats, .. } = event.kind {
                    timings.add(&kind, recipe, &stats);
                }
            }
            if seen > EVENTS {
                break;
            }
        }
        Ok(timings)
    }

    /// Notes a computation; those noted first count first.
    pub fn add(&mut self, kind: &str, recipe: Option<Digest>, stats: &NodeStats) {
        let samples = self.kinds.entry(kind.to_owned()).or_default();
        if samples.len() < SAMPLES {
            let (computed, inputs) = (stats.rows_computed, stats.rows_in);
            samples.push(Sample { recipe, seconds: stats.seconds, computed, inputs });
        }
    }

    /// Seconds that a computation of this kind takes: by the row, where the rows are known, from those of the same
    /// recipe if there are any; else what others of the kind took. `None` where the kind was never timed.
    pub fn estimate(&self, kind: &str, recipe: Option<&Digest>, work: Work, rows: Option<u64>) -> Option<f64> {
        if let Some(rows) = rows
            && let Some(per_row) = self.per_row(kind, recipe, work)
        {
            return Some(per_row * rows as f64);
        }
        let samples = self.kinds.get(kind)?;
        let same = samples.iter().filter(|sample| recipe.is_some() && sample.recipe.as_ref() == recipe);
        median(same.map(|sample| sample.seconds).collect())
            .or_else(|| median(samples.iter().map(|sample| sample.seconds).collect()))
    }

    /// Seconds per row, of the same recipe if that was ever timed, else of the kind.
    pub fn per_row(&self, kind: &str, recipe: Option<&Digest>, work: Work) -> Option<f64> {
        let samples = || self.kinds.get(kind).into_iter().flatten().filter(|sample| sample.amount(work) > 0);
        let rate = |sample: &Sample| sample.seconds / sample.amount(work) as f64;
        let same = samples().filter(|sample| recipe.is_some() && sample.recipe.as_ref() == recipe);
        median(same.map(rate).collect()).or_else(|| median(samples().map(rate).collect()))
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        n if n % 2 == 1 => Some(values[n / 2]),
        n => Some(f64::midpoint(values[n / 2 - 1], values[n / 2])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(seconds: f64, rows_computed: u64, rows_in: u64) -> NodeStats {
        NodeStats { seconds, rows_in, rows_computed, ..NodeStats::default() }
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_same_recipe_counts_before_the_kind_and_rows_before_whole_times() {
        let [mine, other] = [b"a", b"b"].map(|text| Digest::of_bytes(text));
        let mut timings = Timings::default();
        assert_eq!(timings.estimate("generate", Some(&mine), Work::Rows, Some(10)), None);
        timings.add("generate", Some(other), &stats(100.0, 10, 0));
        assert_eq!(timings.estimate("generate", Some(&mine), Work::Rows, Some(5)), Some(50.0));
        timings.add("generate", Some(mine), &stats(20.0, 10, 0));
        assert_eq!(timings.estimate("generate", Some(&mine), Work::Rows, Some(5)), Some(10.0));
        assert_eq!(timings.estimate("generate", Some(&mine), Work::Rows, None), Some(20.0));
        assert_eq!(timings.estimate("generate", None, Work::Rows, None), Some(60.0));
        timings.add("train", None, &stats(30.0, 0, 300));
        assert_eq!(timings.estimate("train", None, Work::Inputs, Some(100)), Some(10.0));
        assert_eq!(timings.estimate("train", None, Work::Rows, Some(100)), Some(30.0), "no rows were counted");
    }

    #[test]
    fn what_only_reads_the_memo_says_nothing_of_a_row() {
        let mut timings = Timings::default();
        timings.add("respond", None, &stats(0.1, 0, 500));
        timings.add("respond", None, &stats(50.0, 500, 500));
        assert_eq!(timings.estimate("respond", None, Work::Rows, Some(100)), Some(10.0));
    }
}
