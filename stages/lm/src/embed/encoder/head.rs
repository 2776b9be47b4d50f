//! The head of a model for sequence classification with one label.

use std::path::Path;

use candle_core::Result;
use candle_nn::VarBuilder;
use serde_json::Value;

use super::{
    Config,
    families::Family,
    parts::{Linear, Norm},
};
use crate::ops::{Crew, Gelu, gelu_in_place};

/// A linear map of the text's vector, an activation, perhaps a norm, and a linear map to the score.
pub(in super::super) struct Head {
    first: Linear,
    activation: Between,
    norm: Option<Norm>,
    last: Linear,
    dim: usize,
    /// Whether the text's vector is the mean of its tokens', and not that of its first.
    mean: bool,
}

#[derive(Clone, Copy)]
enum Between {
    Tanh,
    Relu,
    Gelu,
}

impl Head {
    /// The head beside an encoder.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub(crate) fn load(weights: &VarBuilder, family: &Family, config: &Config, dir: &Path) -> Result<Self> {
        let dim = config.dim;
        let of = |first: &str, bias: bool, last: &str, activation: Between| {
            Ok(Self {
                first: Linear::load(weights, (dim, dim), first, bias)?,
                activation,
                norm: None,
                last: Linear::load(weights, (dim, 1), last, true)?,
                dim,
                mean: false,
            })
        };
        match family.names[0] {
            "bert" => of("bert.pooler.dense", true, "classifier", Between::Tanh),
            "distilbert" => of("pre_classifier", true, "classifier", Between::Relu),
            "modernbert" => {
                let text = std::fs::read_to_string(dir.join("config.json")).unwrap_or_default();
                let said: Value = serde_json::from_str(&text).unwrap_or_default();
                let bias = said["classifier_bias"] == true;
                if !matches!(said["classifier_activation"].as_str(), None | Some("gelu")) {
                    candle_core::bail!("the activation of its classifier is not supported");
                }
                let head = of("head.dense", bias, "classifier", Between::Gelu)?;
                let norm = Norm::load(weights, dim, "head.norm", config.eps, false)?;
                Ok(Self { norm: Some(norm), mean: said["classifier_pooling"] == "mean", ..head })
            }
            _ => of("classifier.dense", true, "classifier.out_proj", Between::Tanh),
        }
    }

    /// The score of a text from the vectors of its tokens, one at least.
    pub(crate) fn score(&self, rows: &[f32]) -> f32 {
        let mut vector = rows[..self.dim].to_vec();
        if self.mean {
            vector.fill(0.0);
            rows.chunks_exact(self.dim).for_each(|row| super::add(&mut vector, row));
            let count = (rows.len() / self.dim) as f32;
            for v in &mut vector {
                *v /= count;
            }
        }
        let mut inner = vec![0.0; self.dim];
        self.first.forward(Crew::Alone, &vector, &mut inner);
        let inner = &mut inner;
        match self.activation {
            Between::Gelu => gelu_in_place(Crew::Alone, inner, Gelu::Erf),
            Between::Tanh => inner.iter_mut().for_each(|x| *x = x.tanh()),
            Between::Relu => inner.iter_mut().for_each(|x| *x = x.max(0.0)),
        }
        if let Some(norm) = &self.norm {
            norm.forward(Crew::Alone, inner, &mut vector);
            std::mem::swap(inner, &mut vector);
        }
        let mut score = [0.0];
        self.last.forward(Crew::Alone, inner, &mut score);
        score[0]
    }
}
