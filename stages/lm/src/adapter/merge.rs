//! Folding an adapter into the base weights.
//!
//! Each targeted weight becomes `W + scale * (B A)`, with W, A, B and the product in f32 whatever their stored types,
//! and is rounded to the output type once, to nearest even. PEFT's `merge_and_unload` instead rounds the update to the
//! base's type before adding it, so a bf16 merge there is rounded twice (differences of one unit in the last place of
//! bf16). What was trained against a quantised base (QLoRA) is merged here into the base's own unquantised weights; the
//! model that was trained saw `dequantise(quantise(W))`, and the difference is the quantisation error.

use candle_core::{DType, Device, Tensor};

use crate::{
    config::DecoderConfig,
    model::{Adapter, LoraWeights},
    weights::{LayerParam, Param, TensorSet, Weights, WeightsError},
};

/// A base model with an adapter folded in, computed tensor by tensor while it is written.
#[derive(Debug)]
pub struct Merged<'a> {
    base: &'a Weights,
    config: &'a DecoderConfig,
    adapter: Option<&'a Adapter>,
    dtype: Option<DType>,
}

impl<'a> Merged<'a> {
    /// Folds `adapter` (or nothing) into `base`. With a `dtype` every tensor is written in it, else each in its stored
    /// one.
    pub fn new(
        base: &'a Weights,
        config: &'a DecoderConfig,
        adapter: Option<&'a Adapter>,
        dtype: Option<DType>,
    ) -> Self {
        Self { base, config, adapter, dtype }
    }

    /// The model's configuration.
    pub fn config(&self) -> &DecoderConfig {
        self.config
    }

    /// One parameter of the merged model in f32 on the CPU.
    ///
    /// # Errors
    /// It cannot be read, or the adapter does not fit.
    pub fn load_f32(&self, param: Param) -> Result<Tensor, WeightsError> {
        let weight = self.base.load(param, DType::F32, &Device::Cpu)?;
        let Param::Layer(layer, LayerParam::Weight(linear)) = param else { return Ok(weight) };
        let module = linear.path(self.config.family, layer);
        let Some(lora) = self.adapter.and_then(|a| a.modules.get(&module)) else { return Ok(weight) };
        folded(weight, lora).map_err(|source| WeightsError::Tensor { name: module, source })
    }

    fn params(&self) -> Vec<(String, Param)> {
        let mut named: Vec<_> = Param::all(self.config).into_iter().map(|p| (p.name(self.config.family), p)).collect();
        named.sort();
        named
    }
}

/// `weight + scale * B A`, for a weight in f32 on the CPU.
pub(crate) fn folded(weight: Tensor, lora: &LoraWeights) -> candle_core::Result<Tensor> {
    let f32_on_cpu = |t: &Tensor| t.to_device(&Device::Cpu)?.to_dtype(DType::F32);
    let update = f32_on_cpu(&lora.b)?.matmul(&f32_on_cpu(&lora.a)?)?;
    weight + update.affine(f64::from(lora.scale), 0.0)?
}

impl TensorSet for Merged<'_> {
    fn specs(&self) -> Vec<(String, DType, Vec<usize>)> {
        let dtype = |param| self.dtype.or_else(|| self.base.dtype(param).ok()).unwrap_or(DType::F32);
        self.params().into_iter().map(|(name, p)| (name, dtype(p), p.shape(self.config))).collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, WeightsError> {
        let missing = || WeightsError::Missing { place: "the model".into(), names: vec![name.to_owned()], more: 0 };
        let (_, param) = self.params().into_iter().find(|(n, _)| n == name).ok_or_else(missing)?;
        let dtype = self.dtype.map_or_else(|| self.base.dtype(param), Ok)?;
        self.load_f32(param)?.to_dtype(dtype).map_err(|source| WeightsError::Tensor { name: name.to_owned(), source })
    }
}
