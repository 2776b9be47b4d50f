//! Seeded initial values. Each parameter has a stream of its own, named after it, so that adding a module changes no
//! other's values.

use super::rng::Stream;
use candle_core::{Device, Result, Tensor, Var};
use std::collections::BTreeMap;

/// LoRA's A `[r, in]`: uniform in ±1/sqrt(in), which is PEFT's `kaiming_uniform(a = sqrt 5)`.
pub fn lora_a(seed: u64, name: &str, r: usize, in_features: usize, device: &Device) -> Result<Var> {
    let bound = 1.0 / (in_features as f32).sqrt();
    let values = Stream::new(seed, name, &[]).uniform(r * in_features, bound);
    Var::from_tensor(&Tensor::from_vec(values, (r, in_features), device)?)
}

/// LoRA's B `[out, r]`: zeros, so that a fresh adapter changes nothing.
pub fn lora_b(r: usize, out_features: usize, device: &Device) -> Result<Var> {
    Var::zeros((out_features, r), candle_core::DType::F32, device)
}

/// Weights of a base model from scratch: matrices from a normal distribution of standard deviation `std` (0.02 is
/// `transformers`' `initializer_range`), norms one, biases zero. `shapes` are by parameter name.
pub fn base(
    seed: u64,
    shapes: &BTreeMap<String, Vec<usize>>,
    std: f32,
    device: &Device,
) -> Result<BTreeMap<String, Var>> {
    let init = |(name, shape): (&String, &Vec<usize>)| {
        let n = shape.iter().product();
        let values = if shape.len() > 1 {
            Stream::new(seed, name, &[]).normal(n, std)
        } else if name.ends_with("bias") {
            vec![0.0; n]
        } else {
            vec![1.0; n]
        };
        let tensor = Tensor::from_vec(values, shape.as_slice(), device)?;
        Ok((name.clone(), Var::from_tensor(&tensor)?))
    };
    shapes.iter().map(init).collect()
}
