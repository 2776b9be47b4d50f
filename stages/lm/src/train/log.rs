//! What a training reports.

use std::ops::ControlFlow;

use super::DataReport;
use serde::{Deserialize, Serialize};

/// One optimizer step. Everything here is reproducible; wall-clock speed is in [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// From 1.
    pub step: u64,
    /// Passes over the data so far, as a fraction.
    pub epoch: f64,
    /// Weighted mean loss per unmasked token, in nats, before the update.
    pub loss: f64,
    /// Learning rate used.
    pub learning_rate: f64,
    /// Global norm of the gradients, before clipping.
    pub grad_norm: f64,
    /// Tokens passed through the model in this step.
    pub tokens: u64,
    /// Of these, tokens that enter the loss.
    pub target_tokens: u64,
}

impl StepRecord {
    /// All fields as numbers, in order. Counts stay exact below 2^53.
    pub(super) fn to_row(self) -> [f64; 7] {
        let Self { step, epoch, loss, learning_rate, grad_norm, tokens, target_tokens } = self;
        [step as f64, epoch, loss, learning_rate, grad_norm, tokens as f64, target_tokens as f64]
    }

    pub(super) fn from_row([step, epoch, loss, learning_rate, grad_norm, tokens, target_tokens]: [f64; 7]) -> Self {
        let (step, tokens, target_tokens) = (step as u64, tokens as u64, target_tokens as u64);
        Self { step, epoch, loss, learning_rate, grad_norm, tokens, target_tokens }
    }
}

/// One evaluation on held-out rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvalRecord {
    /// Optimizer steps done before it.
    pub step: u64,
    /// Weighted mean loss per unmasked token, in nats.
    pub loss: f64,
    /// What a [`Judge`](super::Judge) made of the model; more is better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// The reproducible record of a training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainLog {
    /// What became of the rows.
    pub data: DataReport,
    /// Every optimizer step.
    pub steps: Vec<StepRecord>,
    /// Every evaluation.
    pub evals: Vec<EvalRecord>,
}

/// What an observer is told after each step.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The step just done.
    pub record: &'a StepRecord,
    /// Optimizer steps of the whole training.
    pub total_steps: u64,
    /// Tokens per second since this process began training. Never part of a result.
    pub tokens_per_second: f64,
}

/// Listens to a training.
pub trait Observer {
    /// The gradients of a step (0-based) by parameter, summed over its window and not yet clipped.
    fn on_gradients(&mut self, step: u64, gradients: &mut dyn Iterator<Item = (&str, &[f32])>) {
        let _ = (step, gradients);
    }

    /// After each optimizer step: whether to go on. Breaking off writes a checkpoint, if there is a place for one, and
    /// stops.
    fn on_step(&mut self, progress: Progress) -> ControlFlow<()> {
        let _ = progress;
        ControlFlow::Continue(())
    }

    /// After each evaluation.
    fn on_eval(&mut self, record: &EvalRecord) {
        let _ = record;
    }
}

/// Listens to nothing.
impl Observer for () {}
