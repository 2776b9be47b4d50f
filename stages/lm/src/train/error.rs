//! What training can fail with.

use std::path::PathBuf;

/// A training that cannot start or cannot go on. Messages complete "failed to train: ...".
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A row is malformed.
    #[error("row {row} (`{id}`) cannot be trained on: {reason}")]
    BadExample {
        /// Position of the row, from 0.
        row: usize,
        /// Its id.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A row has no unmasked token, so it has no loss.
    #[error(
        "row {row} (`{id}`) has no unmasked token among its {tokens}: its loss would be 0/0; give it a completion or \
         leave it out"
    )]
    NoTarget {
        /// Position of the row, from 0.
        row: usize,
        /// Its id.
        id: String,
        /// Its length in tokens.
        tokens: usize,
    },
    /// Nothing is left to train on.
    #[error(
        "there is no example to train on ({dropped} were dropped because they exceed or exhaust max_seq_len \
         {max_seq_len})"
    )]
    NoExamples {
        /// Rows dropped for their length.
        dropped: usize,
        /// The limit that they exceeded.
        max_seq_len: usize,
    },
    /// A parameter of the training is out of range.
    #[error("`{name}` is {value}, but must be {must}")]
    BadParameter {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// The accepted range.
        must: &'static str,
    },
    /// The model could not be scored on the way.
    #[error("score the model while it is trained")]
    Judge(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The loss is NaN or infinite.
    #[error(
        "the loss is {loss} at step {step}, first in row {row} (`{id}`); lower the learning rate or inspect the row"
    )]
    LossNotFinite {
        /// Step, from 1.
        step: u64,
        /// The value.
        loss: f64,
        /// The first row of the batch whose own loss is not finite.
        row: usize,
        /// Its id.
        id: String,
    },
    /// A gradient is NaN or infinite although the loss is finite.
    #[error("the gradient of `{parameter}` is not finite at step {step} although the loss is {loss}")]
    GradientNotFinite {
        /// Step, from 1.
        step: u64,
        /// The first such parameter.
        parameter: String,
        /// The loss of the step.
        loss: f64,
    },
    /// A parameter is NaN or infinite after a step, though its gradient was finite.
    #[error("`{parameter}` is not finite after step {step}: the training diverged; lower the learning rate")]
    ParameterNotFinite {
        /// Step, from 1.
        step: u64,
        /// The first such parameter.
        parameter: String,
    },
    /// No gradient reaches an adapter: the silent failure in which the loss is finite and nothing is learned.
    #[error(
        "no gradient reaches `{parameter}` at step {step} ({others} other parameters likewise): training would be \
         silently without effect"
    )]
    NoGradientFlow {
        /// Step, from 1.
        step: u64,
        /// The first parameter whose gradient is zero.
        parameter: String,
        /// How many more there are.
        others: usize,
    },
    /// The loss is finite but does not fall.
    #[error(
        "the loss does not fall: mean {last:.4} over the {window} steps up to step {step}, {first:.4} over the first \
         {window}; adjust the learning rate or the data, or raise the stall window"
    )]
    LossNotFalling {
        /// Step, from 1.
        step: u64,
        /// Steps averaged.
        window: u64,
        /// Mean loss of the first window.
        first: f64,
        /// Mean loss of the latest window.
        last: f64,
    },
    /// Nothing in the model is trainable.
    #[error("the model has no trainable parameter; attach an adapter or load it for full training")]
    NothingToTrain,
    /// A target module is not in the model.
    #[error("the target module `{name}` is no linear layer of the model; it has {}", known.join(", "))]
    UnknownTarget {
        /// The name given.
        name: String,
        /// Last parts of the paths of all linear layers.
        known: Vec<String>,
    },
    /// The adapter's configuration does not fit the model.
    #[error(transparent)]
    Adapter(#[from] crate::adapter::AdapterProblem),
    /// A checkpoint belongs to a different training.
    #[error(
        "the checkpoints in {dir} belong to a training with a different {what}; choose another directory or remove them"
    )]
    CheckpointMismatch {
        /// The folder of checkpoints.
        dir: PathBuf,
        /// What differs.
        what: String,
    },
    /// A checkpoint cannot be written or read.
    #[error("the checkpoint {path} cannot be {action}")]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// `written`, `read`, ...
        action: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// A tensor operation failed.
    #[error("a tensor operation failed")]
    Tensor(#[from] candle_core::Error),
}
