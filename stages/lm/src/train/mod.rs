//! Training: LoRA and QLoRA adapters, and whole small models.
//!
//! [`train`] runs the loop over anything [`Trainable`]. The pieces: [`Dataset`] (rows with a loss weight per token),
//! [`Order`] and [`MicroBatch`] (which rows when, packed without padding), [`OptimizerConfig`], [`Scheduler`],
//! [`Checkpoints`], and an [`Observer`] that listens and may stop it.
//!
//! Architecture invariant: everything about step `n` (rows, dropout, learning rate) is a function of the
//! configuration and `n`. There is no generator whose state would have to be carried along.

mod backprop;
mod checkpoint;
mod collate;
mod config;
mod data;
mod decoder;
mod error;
mod guard;
mod host;
pub mod init;
mod log;
mod lora;
mod optim;
mod rng;
mod run;
pub mod schedule;
mod stopping;

pub use checkpoint::Checkpoints;
pub use collate::{BatchShape, MicroBatch, Order};
pub use config::{Budget, TrainConfig};
pub use data::{DataReport, Dataset, Example, Segment, TooLong};
pub use error::TrainError;
pub use guard::check_falling;
pub use log::{EvalRecord, Observer, Progress, StepRecord, TrainLog};
pub use lora::{attach_lora, continue_lora, fresh_lora};
pub use optim::{AdamWConfig, MuonConfig, Optimizer, OptimizerConfig};
pub use rng::Stream;
pub use run::{Evaluation, Judge, Surroundings, Trained, evaluate, train};
pub use schedule::{Scheduler, Warmup};
pub use stopping::Stopping;

use crate::model::{ModelError, PackedBatch};
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;

/// Trainable parameters by name. The order of the map is the order of every sum over parameters.
pub type Params = BTreeMap<String, Var>;

/// A decoder as the loop sees it: in layers, so that activations can be recomputed one layer at a time. The loop runs
/// on the threads of the pool that computes.
pub trait Trainable: Sync {
    /// What is trained, by name: as in PEFT for adapters, as in the checkpoint for whole models.
    fn parameters(&self) -> Params;

    /// Number of layers.
    fn num_layers(&self) -> usize;

    /// Input embeddings `[T, hidden]` of a packed batch of T tokens.
    fn embed(&self, batch: &PackedBatch) -> Result<Tensor, ModelError>;

    /// Layer `index` applied to `x` `[T, hidden]`. Dropout is off when there is no seed.
    fn layer(
        &self,
        index: usize,
        x: &Tensor,
        batch: &PackedBatch,
        dropout_seed: Option<u64>,
    ) -> Result<Tensor, ModelError>;

    /// `sum_i weights[i] * -ln p(targets[i] | x[i])`, a scalar, from the last layer's output `[T, hidden]`.
    fn loss(&self, x: &Tensor, targets: &[u32], weights: &[f32]) -> Result<Tensor, ModelError>;
}
