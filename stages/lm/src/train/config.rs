//! The parameters of a training.

use super::{BatchShape, OptimizerConfig, Scheduler, TrainError, Warmup};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// Passes over the rows; a fraction ends within one.
    Epochs(f64),
    /// Optimizer steps, however many rows there are: arms with equal steps are matched in compute.
    Steps(u64),
}

impl Budget {
    /// `epochs` or `steps`, as results name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epochs(_) => "epochs",
            Self::Steps(_) => "steps",
        }
    }
}

/// Everything that decides the outcome of a training, given model and data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Seeds shuffle and dropout.
    pub seed: u64,
    /// How long to train.
    pub budget: Budget,
    /// Rows per forward and backward pass.
    pub micro_batch_size: usize,
    /// Passes per optimizer step. The loss is normalised by the unmasked tokens of all of them together.
    pub gradient_accumulation_steps: usize,
    /// Whether rows of similar length go into one step.
    pub group_by_length: bool,
    /// Whether activations are recomputed layer by layer instead of kept. Same gradients, less memory.
    pub gradient_checkpointing: bool,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the learning rate.
    pub lr_scheduler: Scheduler,
    /// Linear rise at the start.
    pub warmup: Warmup,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// Gradients are scaled down to this global norm; `None` leaves them.
    pub max_grad_norm: Option<f64>,
    /// If set, training ends with an error when the mean loss of this many steps is not below that of the first as
    /// many.
    pub stall_window: Option<u64>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            budget: Budget::Epochs(1.0),
            micro_batch_size: 8,
            gradient_accumulation_steps: 1,
            group_by_length: false,
            gradient_checkpointing: false,
            learning_rate: 2e-4,
            lr_scheduler: Scheduler::Linear,
            warmup: Warmup::default(),
            optimizer: OptimizerConfig::default(),
            max_grad_norm: Some(1.0),
            stall_window: None,
        }
    }
}

impl TrainConfig {
    /// Refuses values that have no meaning.
    pub fn validate(&self) -> Result<(), TrainError> {
        let check = |name, value: f64, ok: bool, must| {
            if ok { Ok(()) } else { Err(TrainError::BadParameter { name, value: value.to_string(), must }) }
        };
        let positive = |x: f64| x.is_finite() && x > 0.0;
        match self.budget {
            Budget::Epochs(n) => check("budget.epochs", n, positive(n), "a positive number")?,
            Budget::Steps(n) => check("budget.steps", n as f64, n > 0, "at least 1")?,
        }
        check("micro_batch_size", self.micro_batch_size as f64, self.micro_batch_size > 0, "at least 1")?;
        let accumulation = self.gradient_accumulation_steps;
        check("gradient_accumulation_steps", accumulation as f64, accumulation > 0, "at least 1")?;
        check("learning_rate", self.learning_rate, positive(self.learning_rate), "a positive number")?;
        if let Some(norm) = self.max_grad_norm {
            check("max_grad_norm", norm, positive(norm), "a positive number")?;
        }
        if let Some(window) = self.stall_window {
            check("stall_window", window as f64, window > 0, "at least 1")?;
        }
        if let Warmup::Ratio(ratio) = self.warmup {
            check("warmup_ratio", ratio, (0.0..=1.0).contains(&ratio), "between 0 and 1")?;
        }
        if let Scheduler::WarmupStableDecay { decay_ratio } = self.lr_scheduler {
            check("decay_ratio", decay_ratio, decay_ratio > 0.0 && decay_ratio <= 1.0, "above 0, at most 1")?;
        }
        Ok(())
    }

    /// Rows per pass and passes per step.
    pub fn batch_shape(&self) -> BatchShape {
        BatchShape {
            micro_batch_size: self.micro_batch_size,
            gradient_accumulation_steps: self.gradient_accumulation_steps,
            group_by_length: self.group_by_length,
        }
    }

    /// Optimizer steps of the whole training.
    pub fn total_steps(&self, steps_per_epoch: u64) -> u64 {
        match self.budget {
            Budget::Epochs(epochs) => (epochs * steps_per_epoch as f64).ceil() as u64,
            Budget::Steps(steps) => steps,
        }
    }
}
