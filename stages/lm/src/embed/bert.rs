//! BERT's encoder (Devlin et al. 2018, arXiv:1810.04805), forward alone: one text at a time, so that there is no
//! padding to mask, no second segment and no dropout. Names of tensors and of the configuration are those of
//! transformers.

use candle_core::{D, Result, Tensor};
use candle_nn::{Embedding, LayerNorm, Linear, Module, VarBuilder, embedding, layer_norm, linear};
use serde::Deserialize;

/// The part of `config.json` that the forward pass depends on.
#[derive(Deserialize)]
pub(super) struct Config {
    vocab_size: usize,
    pub hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: Activation,
    pub max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    #[serde(default)]
    #[expect(dead_code, reason = "reading it refuses the kinds of positions that are not computed")]
    position_embedding_type: Positions,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Activation {
    Gelu,
    /// The approximation by tanh.
    #[serde(alias = "gelu_pytorch_tanh")]
    GeluNew,
    Relu,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Positions {
    #[default]
    Absolute,
}

/// The encoder.
pub(super) struct Bert {
    words: Embedding,
    positions: Embedding,
    segments: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

impl Bert {
    /// The encoder in `weights`, whose names may begin with `bert.`, as those of models with a head do.
    ///
    /// # Errors
    /// A tensor is missing or has another shape, or the heads do not share the hidden size evenly.
    pub(crate) fn load(weights: VarBuilder, config: &Config) -> Result<Self> {
        if config.num_attention_heads == 0 || !config.hidden_size.is_multiple_of(config.num_attention_heads) {
            candle_core::bail!("{} attention heads for {} dimensions", config.num_attention_heads, config.hidden_size);
        }
        let headed = weights.contains_tensor("bert.embeddings.word_embeddings.weight");
        let weights = if headed { weights.pp("bert") } else { weights };
        let (dim, part) = (config.hidden_size, weights.pp("embeddings"));
        Ok(Self {
            words: embedding(config.vocab_size, dim, part.pp("word_embeddings"))?,
            positions: embedding(config.max_position_embeddings, dim, part.pp("position_embeddings"))?,
            segments: embedding(config.type_vocab_size, dim, part.pp("token_type_embeddings"))?,
            norm: layer_norm(dim, config.layer_norm_eps, part.pp("LayerNorm"))?,
            layers: (0..config.num_hidden_layers)
                .map(|layer| Layer::load(&weights.pp(format!("encoder.layer.{layer}")), config))
                .collect::<Result<_>>()?,
        })
    }

    /// Hidden states `[1, tokens, dim]` of the token ids `[1, tokens]`.
    ///
    /// # Errors
    /// An id beyond the vocabulary, or more tokens than positions.
    pub(crate) fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let positions = Tensor::arange(0, ids.dim(1)? as u32, ids.device())?;
        let hidden = (self.words.forward(ids)? + self.segments.forward(&ids.zeros_like()?)?)?;
        let hidden = hidden.broadcast_add(&self.positions.forward(&positions)?)?;
        self.layers.iter().try_fold(self.norm.forward(&hidden)?, |hidden, layer| layer.forward(&hidden))
    }
}

/// Attention and feed-forward, each followed by the sum with its input and a norm.
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    up: Linear,
    activation: Activation,
    down: Linear,
    down_norm: LayerNorm,
    heads: usize,
}

impl Layer {
    fn load(weights: &VarBuilder, config: &Config) -> Result<Self> {
        let (dim, inner, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        Ok(Self {
            query: linear(dim, dim, weights.pp("attention.self.query"))?,
            key: linear(dim, dim, weights.pp("attention.self.key"))?,
            value: linear(dim, dim, weights.pp("attention.self.value"))?,
            attended: linear(dim, dim, weights.pp("attention.output.dense"))?,
            attended_norm: layer_norm(dim, eps, weights.pp("attention.output.LayerNorm"))?,
            up: linear(dim, inner, weights.pp("intermediate.dense"))?,
            activation: config.hidden_act,
            down: linear(inner, dim, weights.pp("output.dense"))?,
            down_norm: layer_norm(dim, eps, weights.pp("output.LayerNorm"))?,
            heads: config.num_attention_heads,
        })
    }

    fn forward(&self, hidden: &Tensor) -> Result<Tensor> {
        let attended = self.attended.forward(&self.attend(hidden)?)?;
        let hidden = self.attended_norm.forward(&(attended + hidden)?)?;
        let up = self.up.forward(&hidden)?;
        let up = match self.activation {
            Activation::Gelu => up.gelu_erf()?,
            Activation::GeluNew => up.gelu()?,
            Activation::Relu => up.relu()?,
        };
        self.down_norm.forward(&(self.down.forward(&up)? + &hidden)?)
    }

    /// What every token takes from all others, `[1, tokens, dim]`.
    fn attend(&self, hidden: &Tensor) -> Result<Tensor> {
        let (rows, tokens, dim) = hidden.dims3()?;
        let shape = (rows, tokens, self.heads, dim / self.heads);
        let by_head = |linear: &Linear| linear.forward(hidden)?.reshape(shape)?.transpose(1, 2)?.contiguous();
        let (query, key, value) = (by_head(&self.query)?, by_head(&self.key)?, by_head(&self.value)?);
        let scores = (query.matmul(&key.t()?)? / ((dim / self.heads) as f64).sqrt())?;
        let weights = candle_nn::ops::softmax(&scores, D::Minus1)?;
        weights.matmul(&value)?.transpose(1, 2)?.contiguous()?.flatten_from(D::Minus2)
    }
}
