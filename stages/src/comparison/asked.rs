//! One question, its answer in numbers, and what it says in words.

use pipe_engine::kind::StageError;
use pipe_statistics::{
    Bootstrap, Direction, Interval, NotAsked, OverItems, Power, TTest, Verdict, holm_of_asked, over_items,
};

use super::{
    pairing::invalid,
    params::{CompareParams, IntervalEnds},
    table::Cells,
};

/// A difference and how sure it is.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub difference: Option<f64>,
    pub interval: Option<(f64, f64)>,
    pub df: Option<f64>,
    pub p: Option<f64>,
    /// Corrected with all others of its family.
    p_holm: Option<f64>,
    /// That the difference lies within the margin: p of two one-sided tests, corrected in the same way.
    pub same: Option<f64>,
    same_holm: Option<f64>,
    smallest: Option<f64>,
    needed: Option<usize>,
    weak: bool,
    pub computed: String,
    /// Why there is no answer.
    reason: Option<NotAsked>,
}

impl Asked {
    /// By a t test over draws; `difference` is there without one, too.
    pub(super) fn of_draws(
        params: &CompareParams,
        metric: &str,
        test: Result<TTest, NotAsked>,
        difference: Option<f64>,
        computed: &str,
    ) -> Result<Self, StageError> {
        let power = Power::new(params.alpha, params.power).map_err(invalid)?;
        let (reason, test) = (test.err(), test.ok());
        Ok(Self {
            difference,
            interval: test.map(|test| (test.low, test.high)),
            df: test.map(|test| test.df),
            p: test.map(|test| test.p),
            p_holm: None,
            same: test.and_then(|test| Some(test.equivalence(*params.margins.get(metric)?))),
            same_holm: None,
            smallest: test.map(|test| test.smallest_effect(&power)).filter(|effect| effect.is_finite()),
            needed: test.and_then(|test| test.draws_needed(&power)),
            weak: test.is_some_and(|test| test.is_weak()),
            computed: test.map_or_else(String::new, |_| computed.to_owned()),
            reason,
        })
    }

    /// By items, or clusters of them.
    pub(super) fn of_items(
        params: &CompareParams,
        metric: &str,
        differences: &[f64],
        clusters: Option<&[usize]>,
        name: &str,
    ) -> Result<(Self, Option<OverItems>), StageError> {
        let power = Power::new(params.alpha, params.power).map_err(invalid)?;
        let how = Bootstrap {
            confidence: 1.0 - params.alpha,
            resamples: params.bootstrap.resamples,
            flips: params.bootstrap.flips,
            interval: match params.bootstrap.interval {
                IntervalEnds::Percentile => Interval::Percentile,
                IntervalEnds::Bca => Interval::Bca,
            },
            seed: params.bootstrap.seed,
        };
        let found = over_items(differences, clusters, &how, name).map_err(invalid)?;
        // A single item, or a single cluster of them, has a difference and is no sample.
        let over = found.as_ref().filter(|over| over.clusters > 1);
        let computed = match over {
            None => String::new(),
            Some(over) if over.exhaustive => "sign flips, all".to_owned(),
            Some(_) => format!("sign flips, {}", how.flips),
        };
        let asked = Self {
            difference: found.as_ref().map(|over| over.difference),
            interval: over.and_then(|over| over.interval),
            df: None,
            p: over.map(|over| over.p),
            p_holm: None,
            same: over.and_then(|over| over.equivalence(*params.margins.get(metric)?)),
            same_holm: None,
            smallest: over.and_then(|over| over.smallest_effect(&power)),
            needed: over.and_then(|over| over.items_needed(&power)),
            weak: false,
            computed,
            reason: over.is_none().then_some(NotAsked::FewItems),
        };
        Ok((asked, found))
    }

    pub(super) fn verdict(&self, params: &CompareParams, metric: &str) -> Verdict {
        if let Some(reason) = self.reason {
            return Verdict::NotAsked(reason);
        }
        let direction = if params.less_is_better(metric) { Direction::Lower } else { Direction::Higher };
        let equivalence = params.margins.get(metric).copied().zip(self.same_holm);
        let (difference, p) = (self.difference.unwrap_or(f64::NAN), self.p_holm.unwrap_or(f64::NAN));
        Verdict::new(difference, p, params.alpha, equivalence, direction)
    }

    /// Fills the columns that all tables of answers have.
    pub(super) fn fill(&self, cells: &mut Cells, verdict: &str) {
        cells.number("difference", self.difference);
        cells.number("low", self.interval.map(|ends| ends.0));
        cells.number("high", self.interval.map(|ends| ends.1));
        cells.number("df", self.df);
        cells.number("p", self.p);
        cells.number("p_holm", self.p_holm);
        cells.number("p_same", self.same_holm);
        cells.text("verdict", Some(verdict));
        cells.flag("weak", self.weak);
        cells.number("smallest", self.smallest);
        cells.count("needed", self.needed);
        cells.text("computed", Some(&*self.computed).filter(|computed| !computed.is_empty()));
    }
}

/// Corrects the p values of one family.
pub(super) fn correct(family: Vec<&mut Asked>) {
    let p: Vec<Option<f64>> = family.iter().map(|asked| asked.p).collect();
    let same: Vec<Option<f64>> = family.iter().map(|asked| asked.same).collect();
    for ((asked, p), same) in family.into_iter().zip(holm_of_asked(&p)).zip(holm_of_asked(&same)) {
        (asked.p_holm, asked.same_holm) = (p, same);
    }
}
