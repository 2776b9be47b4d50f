//! Seeded initial values. Each parameter has a stream of its own, named after it, so that adding a module changes no
//! other's values.

use super::rng::Stream;
use crate::{
    config::DecoderConfig,
    model::{ModelError, WeightProvider},
    ops::Weight,
    weights::{LayerParam, Param},
};
use candle_core::{Device, Tensor, Var};

/// LoRA's A `[r, in]`: uniform in ±1/sqrt(in), which is PEFT's `kaiming_uniform(a = sqrt 5)`.
pub fn lora_a(seed: u64, name: &str, r: usize, in_features: usize, device: &Device) -> candle_core::Result<Var> {
    let bound = 1.0 / (in_features as f32).sqrt();
    let values = Stream::new(seed, name, &[]).uniform(r * in_features, bound);
    Var::from_tensor(&Tensor::from_vec(values, (r, in_features), device)?)
}

/// LoRA's B `[out, r]`: zeros, so that a fresh adapter changes nothing.
pub fn lora_b(r: usize, out_features: usize, device: &Device) -> candle_core::Result<Var> {
    Var::zeros((out_features, r), candle_core::DType::F32, device)
}

/// Weights of a base model from scratch: matrices from a normal distribution of standard deviation `std` (0.02 is
/// `transformers`' `initializer_range`), norms one, biases zero. After [`Decoder::build`](crate::model::Decoder::build)
/// comes [`make_trainable`](crate::model::Decoder::make_trainable).
#[derive(Debug)]
pub struct SeededWeights<'a> {
    /// The model's shape.
    pub config: &'a DecoderConfig,
    /// Decides every value, with the parameter's name.
    pub seed: u64,
    /// Standard deviation of the matrices.
    pub std: f32,
    /// Where to put them.
    pub device: &'a Device,
}

impl WeightProvider for SeededWeights<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        let (name, shape) = (param.name(self.config.family), param.shape(self.config));
        let values = Stream::new(self.seed, &name, &[]).normal(shape.iter().product(), self.std);
        tensor(values, shape, self.device, name).map(Weight::Dense)
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        let (name, shape) = (param.name(self.config.family), param.shape(self.config));
        let value = if matches!(param, Param::Layer(_, LayerParam::Bias(_))) { 0.0 } else { 1.0 };
        tensor(vec![value; shape.iter().product()], shape, self.device, name)
    }
}

fn tensor(values: Vec<f32>, shape: Vec<usize>, device: &Device, name: String) -> Result<Tensor, ModelError> {
    Tensor::from_vec(values, shape, device).map_err(|source| ModelError::Tensor { what: name, source })
}
