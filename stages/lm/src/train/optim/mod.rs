//! Optimizers over named parameters, sorted by name. State is f32 on the host.

mod adamw;
mod muon;

use super::{Params, host};
use serde::{Deserialize, Serialize};

pub use adamw::AdamWConfig;
pub use muon::MuonConfig;

/// Which optimizer, with its constants. The learning rate is the schedule's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerConfig {
    /// AdamW for every parameter.
    Adamw(AdamWConfig),
    /// Muon for the matrices inside the layers, AdamW for embeddings, head, norms and biases.
    Muon(MuonConfig, AdamWConfig),
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Adamw(AdamWConfig::default())
    }
}

/// The optimizer's memory of one parameter.
#[derive(Debug, Clone)]
enum Moments {
    Adamw { m: Vec<f32>, v: Vec<f32> },
    Muon { momentum: Vec<f32> },
}

/// An optimizer with its state.
#[derive(Debug, Clone)]
pub struct Optimizer {
    config: OptimizerConfig,
    moments: Vec<Moments>,
    /// Updates done.
    steps: u64,
}

impl Optimizer {
    /// Fresh state for `params`.
    pub fn new(config: OptimizerConfig, params: &Params) -> Self {
        let moments = params.iter().map(|(name, var)| {
            let n = var.elem_count();
            if matches!(config, OptimizerConfig::Muon(..)) && is_hidden_matrix(name, var.dims()) {
                Moments::Muon { momentum: vec![0.0; n] }
            } else {
                Moments::Adamw { m: vec![0.0; n], v: vec![0.0; n] }
            }
        });
        Self { config, moments: moments.collect(), steps: 0 }
    }

    /// One update. `grads` are in the order of `params`.
    pub fn step(&mut self, params: &Params, grads: &[Vec<f32>], learning_rate: f64) -> candle_core::Result<()> {
        self.steps += 1;
        let (muon, adamw) = match self.config {
            OptimizerConfig::Adamw(adamw) => (MuonConfig::default(), adamw),
            OptimizerConfig::Muon(muon, adamw) => (muon, adamw),
        };
        for (((_, var), grad), moments) in params.iter().zip(grads).zip(&mut self.moments) {
            match moments {
                Moments::Adamw { m, v } => {
                    let update = adamw::Update::new(&adamw, learning_rate, self.steps);
                    host::update(var, |p| update.apply(p, grad, m, v))?;
                }
                Moments::Muon { momentum } => {
                    let (rows, cols) = var.dims2()?;
                    let direction = muon::direction(&muon, grad, momentum, [rows, cols])?;
                    host::update(var, |p| muon::apply(&muon, learning_rate, [rows, cols], p, &direction))?;
                }
            }
        }
        Ok(())
    }

    /// The state by name, as `exp_avg/NAME`, `exp_avg_sq/NAME` or `momentum_buffer/NAME`.
    pub fn state<'a>(&'a self, params: &'a Params) -> impl Iterator<Item = (String, &'a [f32])> {
        params.keys().zip(&self.moments).flat_map(|(name, moments)| match moments {
            Moments::Adamw { m, v } => {
                vec![(format!("exp_avg/{name}"), m.as_slice()), (format!("exp_avg_sq/{name}"), v.as_slice())]
            }
            Moments::Muon { momentum } => vec![(format!("momentum_buffer/{name}"), momentum.as_slice())],
        })
    }

    /// Takes back a state. `read` fills the slice of a name, or says that it cannot.
    pub fn restore<E>(
        &mut self,
        params: &Params,
        steps: u64,
        mut read: impl FnMut(&str, &mut [f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.steps = steps;
        for (name, moments) in params.keys().zip(&mut self.moments) {
            match moments {
                Moments::Adamw { m, v } => {
                    read(&format!("exp_avg/{name}"), m)?;
                    read(&format!("exp_avg_sq/{name}"), v)?;
                }
                Moments::Muon { momentum } => read(&format!("momentum_buffer/{name}"), momentum)?,
            }
        }
        Ok(())
    }
}

/// Muon is for the weight matrices of hidden layers (Jordan 2024); embeddings and the head are lookups and logits.
fn is_hidden_matrix(name: &str, dims: &[usize]) -> bool {
    dims.len() == 2 && !name.contains("embed") && !name.contains("lm_head") && !name.contains("wte")
}
