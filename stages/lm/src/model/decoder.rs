//! The decoder: embedding, blocks, final norm, output projection.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};

use super::{
    Dense, Layer, Linear, ModelError, Norm, PackedBatch, WeightProvider, activation_dtype, error::Context, layer::Pass,
    rotary::Rotary,
};
use crate::{
    config::DecoderConfig,
    ops::{self, Weight},
    weights::{Param, Weights},
};

/// A causal language model of any supported family.
///
/// One set of weights serves training (through autograd over packed batches) and inference
/// ([`Inference`](super::Inference)). Clones share their tensors.
#[derive(Debug, Clone)]
pub struct Decoder {
    pub(super) config: DecoderConfig,
    pub(super) device: Device,
    /// Dtype that the weights were asked for in.
    pub(super) dtype: DType,
    /// `[vocab, hidden]`
    pub(super) embedding: Weight,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Norm,
    /// Output projection where it is not the embedding.
    pub(super) head: Option<Weight>,
    pub(super) adapter_names: Vec<String>,
    /// Adapter of the training forward.
    pub(super) active: Option<usize>,
    pub(super) rotary: Rotary,
}

impl Decoder {
    /// The model of a checkpoint, its matrices in `dtype` on `device`. On the CPU activations are f32 whatever `dtype`.
    pub fn load(config: &DecoderConfig, weights: &Weights, device: &Device, dtype: DType) -> Result<Self, ModelError> {
        Self::build(config, &mut Dense { weights, device, dtype }, device, dtype)
    }

    /// The model of a configuration with whatever weights `source` gives.
    pub fn build(
        config: &DecoderConfig,
        source: &mut dyn WeightProvider,
        device: &Device,
        dtype: DType,
    ) -> Result<Self, ModelError> {
        let embedding = source.matrix(Param::Embedding)?;
        let layers = (0..config.num_layers()).map(|i| Layer::build(config, i, source)).collect::<Result<_, _>>()?;
        let final_norm = Norm::build(config, config.norm, Param::FinalNorm, source)?;
        let head = if config.tie_word_embeddings { None } else { Some(source.matrix(Param::LmHead)?) };
        Ok(Self {
            config: config.clone(),
            device: device.clone(),
            dtype,
            embedding,
            layers,
            final_norm,
            head,
            adapter_names: Vec::new(),
            active: None,
            rotary: Rotary::default(),
        })
    }

    /// What config.json says.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Dtype of the activations.
    pub fn activation_dtype(&self) -> DType {
        activation_dtype(&self.device, self.dtype)
    }

    /// Number of blocks.
    pub fn num_layers(&self) -> usize {
        self.layers.len()
    }

    /// All linear layers of the blocks (without embedding and head), in the order of computation.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(Layer::linears)
    }

    /// Longest sequence that positions are defined for.
    pub fn context(&self) -> usize {
        self.config.max_position_embeddings
    }

    /// The hidden states `[T, hidden]` before the output projection, differentiable in whatever are variables: the
    /// active adapter, or all weights after [`Decoder::make_trainable`]. `dropout_seed` is the step's; `None` switches
    /// dropout off.
    pub fn forward_train(&self, batch: &PackedBatch, dropout_seed: Option<u64>) -> Result<Tensor, ModelError> {
        let mut x = self.embed(batch)?;
        for i in 0..self.num_layers() {
            x = self.layer(i, &x, batch, dropout_seed)?;
        }
        self.normalise(&x)
    }

    /// The embeddings `[T, hidden]` of a batch.
    pub fn embed(&self, batch: &PackedBatch) -> Result<Tensor, ModelError> {
        self.embed_tokens(&batch.tokens)
    }

    pub(super) fn embed_tokens(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        self.check_tokens(tokens)?;
        let x = ops::embedding(&self.embedding, tokens).what(|| "embedding".to_owned())?;
        x.to_dtype(self.activation_dtype()).what(|| "embedding".to_owned())
    }

    /// Block `i` over `x [T, hidden]`. Each linear layer derives its dropout from `dropout_seed` and its path.
    pub fn layer(
        &self,
        i: usize,
        x: &Tensor,
        batch: &PackedBatch,
        dropout_seed: Option<u64>,
    ) -> Result<Tensor, ModelError> {
        let longest = (0..batch.rows()).map(|row| batch.range(row).len()).max().unwrap_or(0);
        let table = self.rotary.table(&self.config, longest)?;
        let positions = batch.positions();
        let pass = Pass { rope: table.as_deref(), positions: &positions, adapter: self.active, dropout_seed };
        let mut attend = |q: &Tensor, k: &Tensor, v: &Tensor, spec: &ops::AttentionSpec| {
            ops::attention_train(q, k, v, spec, &batch.cu_seqlens)
        };
        self.layers[i].forward(x, pass, &mut attend).what(|| format!("layer {i}"))
    }

    /// The final norm.
    pub fn normalise(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        self.final_norm.forward(x).what(|| "final norm".to_owned())
    }

    /// Logits `[T, vocab]` of hidden states that went through [`Decoder::normalise`].
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor, ModelError> {
        ops::linear(hidden, &self.head_weight(), None).what(|| "output projection".to_owned())
    }

    /// `Σ weights[i] · -log p(targets[i])` over the rows of `x`, which comes from the last block; the caller
    /// normalises. Rows of weight 0 are masked.
    pub fn loss(&self, x: &Tensor, targets: &[u32], weights: &[f32]) -> Result<Tensor, ModelError> {
        self.check_tokens(targets)?;
        let hidden = self.normalise(x)?;
        ops::cross_entropy(&hidden, &self.head_weight(), targets, weights).what(|| "loss".to_owned())
    }

    pub(super) fn head_weight(&self) -> Weight {
        self.head.clone().unwrap_or_else(|| self.embedding.clone())
    }

    pub(super) fn check_tokens(&self, tokens: &[u32]) -> Result<(), ModelError> {
        check_tokens(tokens, self.config.vocab_size)
    }

    /// Turns every dense weight into a variable, for full training, and returns them under their checkpoint names.
    /// A tied head shares the embedding's variable.
    pub fn make_trainable(&mut self) -> Result<BTreeMap<String, Var>, ModelError> {
        let family = self.config.family;
        let mut vars = BTreeMap::new();
        let mut track = |name: String, tensor: &mut Tensor| -> Result<(), ModelError> {
            let var = Var::from_tensor(tensor).what(|| name.clone())?;
            *tensor = var.as_tensor().clone();
            vars.insert(name, var);
            Ok(())
        };
        let Weight::Dense(embedding) = &mut self.embedding else {
            return Err(ModelError::Unsupported("the embedding is frozen: it cannot be trained".to_owned()));
        };
        track(Param::Embedding.name(family), embedding)?;
        if let Some(Weight::Dense(head)) = &mut self.head {
            track(Param::LmHead.name(family), head)?;
        }
        let norms = self.layers.iter_mut().flat_map(Layer::norms_mut).chain([&mut self.final_norm]);
        for norm in norms {
            track(norm.name.clone(), &mut norm.weight)?;
        }
        for linear in self.layers.iter_mut().flat_map(Layer::linears_mut) {
            let path = linear.path().to_owned();
            let Weight::Dense(weight) = linear.weight() else {
                return Err(ModelError::Unsupported(format!(
                    "{path} is quantised or in 16 bits: it cannot be trained"
                )));
            };
            let mut weight = weight.clone();
            track(format!("{path}.weight"), &mut weight)?;
            linear.set_weight(Weight::Dense(weight)).what(|| path.clone())?;
            if let Some(bias) = linear.bias_mut() {
                track(format!("{path}.bias"), bias)?;
            }
        }
        Ok(vars)
    }

    /// The variables that training may change, by name: those of the active adapter under PEFT's names, or without one
    /// the weights under their checkpoint names.
    pub fn parameters(&self) -> BTreeMap<String, Var> {
        let mut found = BTreeMap::new();
        let mut keep = |name: String, tensor: &Tensor| {
            // `from_tensor` hands back the same variable where the tensor is one.
            if tensor.is_variable()
                && let Ok(var) = Var::from_tensor(tensor)
            {
                found.insert(name, var);
            }
        };
        if let Some(index) = self.active {
            for linear in self.linears() {
                if let Some(lora) = linear.adapter(index) {
                    keep(format!("base_model.model.{}.lora_A.weight", linear.path()), &lora.a);
                    keep(format!("base_model.model.{}.lora_B.weight", linear.path()), &lora.b);
                }
            }
            return found;
        }
        for (name, tensor) in self.dense_tensors() {
            keep(name, &tensor);
        }
        found
    }

    /// All dense weights under their checkpoint names, such as are saved after full training. A tied head is left out.
    pub fn dense_tensors(&self) -> BTreeMap<String, Tensor> {
        let family = self.config.family;
        let mut found = BTreeMap::new();
        if let Weight::Dense(embedding) = &self.embedding {
            found.insert(Param::Embedding.name(family), embedding.clone());
        }
        if let Some(Weight::Dense(head)) = &self.head {
            found.insert(Param::LmHead.name(family), head.clone());
        }
        for norm in self.layers.iter().flat_map(Layer::norms).chain([&self.final_norm]) {
            found.insert(norm.name.clone(), norm.weight.clone());
        }
        for linear in self.linears() {
            if let Weight::Dense(weight) = linear.weight() {
                found.insert(format!("{}.weight", linear.path()), weight.clone());
            }
            if let Some(bias) = linear.bias() {
                found.insert(format!("{}.bias", linear.path()), bias.clone());
            }
        }
        found
    }
}

pub(super) fn check_tokens(tokens: &[u32], vocab: usize) -> Result<(), ModelError> {
    match tokens.iter().find(|&&id| id as usize >= vocab) {
        Some(&id) => Err(ModelError::TokenId { id, vocab }),
        None => Ok(()),
    }
}
