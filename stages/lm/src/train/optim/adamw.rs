//! AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101), with the arithmetic of `torch.optim.AdamW`.

use super::super::host::CHUNK;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, times the learning rate.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 }
    }
}

/// The scalars of one step, computed once in f64.
#[derive(Debug, Clone, Copy)]
pub(super) struct Update {
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    eps: f32,
    keep: f32,
    step_size: f32,
    sqrt_correction2: f32,
}

impl Update {
    /// The scalars of update number `step`, counted from 1.
    pub(super) fn new(config: &AdamWConfig, learning_rate: f64, step: u64) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            one_minus_beta1: (1.0 - config.beta1) as f32,
            one_minus_beta2: (1.0 - config.beta2) as f32,
            eps: config.eps as f32,
            keep: (1.0 - learning_rate * config.weight_decay) as f32,
            step_size: (learning_rate / correction(config.beta1)) as f32,
            sqrt_correction2: correction(config.beta2).sqrt() as f32,
        }
    }

    /// Updates a parameter and its moments in a single pass.
    pub(super) fn apply(self, param: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32]) {
        let pieces = param.par_chunks_mut(CHUNK).zip(grad.par_chunks(CHUNK));
        let moments = m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK));
        pieces.zip(moments).for_each(|((param, grad), (m, v))| {
            for (((p, &g), m), v) in param.iter_mut().zip(grad).zip(m).zip(v) {
                *m = self.beta1 * *m + self.one_minus_beta1 * g;
                *v = self.beta2 * *v + self.one_minus_beta2 * g * g;
                let denominator = v.sqrt() / self.sqrt_correction2 + self.eps;
                *p = *p * self.keep - self.step_size * *m / denominator;
            }
        });
    }
}
