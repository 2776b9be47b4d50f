//! A linear layer: one base weight in any encoding, a bias, and the low-rank adapters loaded on it.

use candle_core::{Result, Tensor};

use crate::ops::{self, Dropout, Lora, Weight};

/// The two matrices of an adapter on one linear layer.
#[derive(Debug, Clone)]
pub struct LoraWeights {
    /// `A [r, in]`.
    pub a: Tensor,
    /// `B [out, r]`.
    pub b: Tensor,
    /// `lora_alpha / r`.
    pub scale: f32,
    /// Probability of dropping an input of `A` in training.
    pub dropout: f32,
}

/// `y = x wᵀ + bias`, plus `scale · (x aᵀ) bᵀ` of the active adapter.
#[derive(Debug, Clone)]
pub struct Linear {
    /// Path of the module in the checkpoint, `model.layers.0.self_attn.q_proj`.
    path: String,
    weight: Weight,
    /// `(out_features, in_features)`.
    shape: (usize, usize),
    bias: Option<Tensor>,
    /// By the adapter's index in the decoder; `None` where an adapter leaves this layer alone.
    adapters: Vec<Option<LoraWeights>>,
}

impl Linear {
    /// A layer without adapters. `path` is the module's name in the checkpoint.
    pub fn new(path: impl Into<String>, weight: Weight, bias: Option<Tensor>) -> Result<Self> {
        let shape = weight.shape()?;
        Ok(Self { path: path.into(), weight, shape, bias, adapters: Vec::new() })
    }

    /// Path of the module in the checkpoint.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The base weight `[out, in]`.
    pub fn weight(&self) -> &Weight {
        &self.weight
    }

    /// Replaces the base weight by one of the same shape.
    pub fn set_weight(&mut self, weight: Weight) -> Result<()> {
        let shape = weight.shape()?;
        if shape != self.shape {
            candle_core::bail!("a weight of shape {shape:?} cannot replace one of {:?} in {}", self.shape, self.path);
        }
        self.weight = weight;
        Ok(())
    }

    /// The bias `[out]`.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The bias, to be replaced.
    pub(super) fn bias_mut(&mut self) -> Option<&mut Tensor> {
        self.bias.as_mut()
    }

    /// Width of the output.
    pub fn out_features(&self) -> usize {
        self.shape.0
    }

    /// Width of the input.
    pub fn in_features(&self) -> usize {
        self.shape.1
    }

    /// What adapter `index` adds here.
    pub fn adapter(&self, index: usize) -> Option<&LoraWeights> {
        self.adapters.get(index)?.as_ref()
    }

    pub(super) fn put_adapter(&mut self, index: usize, weights: Option<LoraWeights>) {
        if self.adapters.len() <= index {
            self.adapters.resize(index + 1, None);
        }
        self.adapters[index] = weights;
    }

    /// `x [T, in]` to `[T, out]` with the adapter of index `adapter`. `dropout_seed` is the layer's; `None` outside
    /// training. Autograd reaches the adapter, and the base weight where it is a variable and no adapter is active.
    pub fn forward(&self, x: &Tensor, adapter: Option<usize>, dropout_seed: Option<u64>) -> Result<Tensor> {
        match adapter.and_then(|index| self.adapter(index)) {
            None => ops::linear(x, &self.weight, self.bias.as_ref()),
            Some(lora) => {
                let dropout = dropout_seed
                    .filter(|_| lora.dropout > 0.0)
                    .map(|seed| Dropout { p: lora.dropout, seed: mix(seed, &self.path) });
                let lora = Lora { a: &lora.a, b: &lora.b, scale: lora.scale, dropout };
                ops::lora_linear(x, &self.weight, self.bias.as_ref(), &lora)
            }
        }
    }
}

/// A seed for the module `path` from that of its layer and step (FNV-1a over the path, then the seed).
fn mix(seed: u64, path: &str) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64 ^ seed;
    path.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
