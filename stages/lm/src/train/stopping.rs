//! When a training ends before its budget, and with which weights, by what held-out rows say of it.

use super::{EvalRecord, Params, TrainError, host};

/// How held-out rows decide. Evaluations are counted, not steps.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stopping {
    /// Whether the training ends with the weights of its lowest held-out loss (or highest score), not with its last.
    pub keep_best: bool,
    /// End after so many evaluations in succession that were no better than the best before them; `None` never does.
    pub patience: Option<u64>,
    /// By how much the loss, in nats, must fall (or the score rise) to count as better.
    pub min_delta: f64,
}

impl Stopping {
    /// The best evaluation, and how many came after it.
    fn best(self, evals: &[EvalRecord]) -> Option<(EvalRecord, u64)> {
        let mut best: Option<(EvalRecord, u64)> = None;
        for &record in evals {
            best = match best {
                Some((best, since)) if !self.is_better(&record, &best) => Some((best, since + 1)),
                _ => Some((record, 0)),
            };
        }
        best
    }

    /// By score where there are scores, else by loss. What is no number is better than nothing.
    fn is_better(self, record: &EvalRecord, best: &EvalRecord) -> bool {
        match (record.score, best.score) {
            (Some(score), Some(highest)) => score > highest + self.min_delta,
            _ => record.loss < best.loss - self.min_delta || (best.loss.is_nan() && !record.loss.is_nan()),
        }
    }

    /// Whether the training has ended, after these evaluations.
    pub fn is_enough(self, evals: &[EvalRecord]) -> bool {
        self.patience.is_some_and(|patience| self.best(evals).is_some_and(|(_, since)| since >= patience))
    }

    /// The step whose weights a training ends with, where the best are kept.
    pub fn best_step(self, evals: &[EvalRecord]) -> Option<u64> {
        self.best(evals).filter(|_| self.keep_best).map(|(record, _)| record.step)
    }

    /// What of it is part of a checkpoint's identity; empty where a training runs to its end and keeps that.
    pub(super) fn identity(self) -> String {
        if self == Self::default() {
            return String::new();
        }
        let Self { keep_best, patience, min_delta } = self;
        format!(", keep_best {keep_best}, patience {patience:?}, min_delta {min_delta:e}")
    }
}

/// The best weights so far, in the order of the parameters; empty where none are kept.
#[derive(Debug, Default)]
pub(super) struct Best(pub Vec<Vec<f32>>);

impl Best {
    /// Copies the parameters.
    pub(super) fn keep(&mut self, params: &Params) -> Result<(), TrainError> {
        self.0 = params.values().map(|var| host::with_values(var, <[f32]>::to_vec)).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Puts what was kept back into the parameters, if anything was.
    pub(super) fn put_back(&self, params: &Params) -> Result<(), TrainError> {
        for (var, values) in params.values().zip(&self.0) {
            host::update(var, |to| to.copy_from_slice(values))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evals(losses: &[f64]) -> Vec<EvalRecord> {
        losses.iter().zip(1..).map(|(&loss, step)| EvalRecord { step: 10 * step, loss, score: None }).collect()
    }

    #[test]
    fn a_loss_that_is_no_number_is_never_the_best_of_several() {
        let stopping = Stopping { keep_best: true, patience: Some(2), min_delta: 0.0 };
        assert_eq!(stopping.best_step(&evals(&[3.0, f64::NAN, f64::INFINITY])), Some(10));
        assert!(stopping.is_enough(&evals(&[3.0, f64::NAN, f64::NAN])));
        assert_eq!(stopping.best_step(&evals(&[f64::NAN, 4.0, 5.0])), Some(20));
    }

    #[test]
    fn scores_go_before_losses() {
        let mut evals = evals(&[3.0, 2.0, 1.0]);
        for (record, score) in evals.iter_mut().zip([0.1, 0.3, 0.3]) {
            record.score = Some(score);
        }
        let stopping = Stopping { keep_best: true, patience: Some(1), min_delta: 0.0 };
        assert_eq!((stopping.best_step(&evals), stopping.is_enough(&evals)), (Some(20), true));
        let wants_more = Stopping { min_delta: 0.25, ..stopping };
        assert_eq!(wants_more.best_step(&evals), Some(10));
    }

    #[test]
    fn patience_counts_evaluations_since_the_best() {
        let stopping = Stopping { keep_best: true, patience: Some(2), min_delta: 0.0 };
        assert!(!stopping.is_enough(&evals(&[])) && !stopping.is_enough(&evals(&[3.0, 2.0, 2.5])));
        assert!(stopping.is_enough(&evals(&[3.0, 2.0, 2.5, 2.0])), "as good is no better");
        assert!(!stopping.is_enough(&evals(&[3.0, 2.0, 2.5, 1.9])));
        assert_eq!(stopping.best_step(&evals(&[3.0, 2.0, 2.5])), Some(20));
        let strict = Stopping { min_delta: 0.5, ..stopping };
        assert!(strict.is_enough(&evals(&[3.0, 2.8, 2.6])), "each fell, none by enough");
        let last = Stopping { keep_best: false, patience: None, min_delta: 0.0 };
        assert!(!last.is_enough(&evals(&[1.0, 2.0, 3.0, 4.0])) && last.best_step(&evals(&[1.0])).is_none());
        assert!(last.identity().is_empty() && !stopping.identity().is_empty());
    }
}
