//! Muon (Jordan 2024, <https://kellerjordan.github.io/posts/muon>): momentum, made orthogonal by Newton-Schulz
//! iterations, with the constants and the scaling of `torch.optim.Muon`. The iterations run in f32 here, not bf16.

use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

/// Coefficients of the quintic iteration.
const NS: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
/// Smallest norm divided by.
const EPS: f64 = 1e-7;

/// Constants of Muon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MuonConfig {
    /// Decay of the momentum buffer; applied in Nesterov's form.
    pub momentum: f64,
    /// Decoupled weight decay, times the unscaled learning rate.
    pub weight_decay: f64,
    /// Newton-Schulz iterations.
    pub ns_steps: usize,
    /// How the learning rate depends on the matrix.
    pub adjust_lr: AdjustLr,
}

impl Default for MuonConfig {
    fn default() -> Self {
        Self { momentum: 0.95, weight_decay: 0.1, ns_steps: 5, adjust_lr: AdjustLr::MatchRmsAdamw }
    }
}

/// Scaling of the learning rate for a matrix `[rows, cols]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdjustLr {
    /// `sqrt(max(1, rows / cols))`.
    Original,
    /// `0.2 sqrt(max(rows, cols))`: the update has about the RMS of an AdamW update, so that both share one rate
    /// (Liu et al. 2025, arXiv 2502.16982).
    MatchRmsAdamw,
}

/// Takes `grad` into the momentum and returns the orthogonalised update.
pub(super) fn direction(
    config: &MuonConfig,
    grad: &[f32],
    momentum: &mut [f32],
    [rows, cols]: [usize; 2],
) -> candle_core::Result<Vec<f32>> {
    let beta = config.momentum as f32;
    let mut update = Vec::with_capacity(grad.len());
    for (&g, m) in grad.iter().zip(momentum) {
        *m += (g - *m) * (1.0 - config.momentum) as f32;
        update.push(g + (*m - g) * beta);
    }
    let tall = rows > cols;
    let mut x = Tensor::from_vec(update, (rows, cols), &Device::Cpu)?;
    if tall {
        x = x.t()?.contiguous()?;
    }
    let norm = super::super::host::with_values(&x, super::super::host::sum_of_squares)?.sqrt();
    x = (x * (1.0 / norm.max(EPS)))?;
    let (a, b, c) = NS;
    for _ in 0..config.ns_steps {
        let gram = x.matmul(&x.t()?)?;
        let polynomial = ((&gram * b)? + (gram.matmul(&gram)? * c)?)?;
        x = ((&x * a)? + polynomial.matmul(&x)?)?;
    }
    if tall {
        x = x.t()?;
    }
    x.flatten_all()?.to_vec1()
}

/// Decays the parameter and moves it along `direction`.
pub(super) fn apply(
    config: &MuonConfig,
    learning_rate: f64,
    [rows, cols]: [usize; 2],
    param: &mut [f32],
    direction: &[f32],
) {
    let ratio = match config.adjust_lr {
        AdjustLr::Original => (rows as f64 / cols as f64).max(1.0).sqrt(),
        AdjustLr::MatchRmsAdamw => 0.2 * (rows.max(cols) as f64).sqrt(),
    };
    let keep = (1.0 - learning_rate * config.weight_decay) as f32;
    let rate = (learning_rate * ratio) as f32;
    for (p, d) in param.iter_mut().zip(direction) {
        *p = *p * keep - rate * d;
    }
}
