//! The tensors a checkpoint must hold: logical parameters, their names in each family, and their shapes.

use crate::config::{DecoderConfig, Family};

/// A parameter of the decoder, by what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Param {
    /// Embedding table, `[vocab, hidden]`.
    Embedding,
    /// Last norm, `[hidden]`.
    FinalNorm,
    /// Output projection, `[vocab, hidden]`; absent where it is tied to the embedding.
    LmHead,
    /// A parameter of one layer.
    Layer(usize, LayerParam),
}

/// A parameter of a decoder layer. Projections are `[out, in]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerParam {
    /// Norm before attention, `[hidden]`.
    AttentionNorm,
    /// Norm before the MLP, `[hidden]`.
    MlpNorm,
    /// Norm over each query head, `[head_dim]`.
    QNorm,
    /// Norm over each key head, `[head_dim]`.
    KNorm,
    /// Weight of a projection.
    Weight(Linear),
    /// Bias of a projection, `[out]`.
    Bias(Linear),
}

/// A projection of a decoder layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Linear {
    /// Queries.
    Q,
    /// Keys.
    K,
    /// Values.
    V,
    /// Queries, keys and values in one, stacked in that order (MPT).
    Qkv,
    /// Attention output.
    O,
    /// Gate of the MLP.
    Gate,
    /// Up projection of the MLP.
    Up,
    /// Down projection of the MLP.
    Down,
}

impl Linear {
    /// The projections of a layer, in the order in which they are applied.
    pub fn of(config: &DecoderConfig) -> impl Iterator<Item = Self> {
        config.family.names.linears.iter().map(|(linear, _)| *linear)
    }

    /// The module's name within its layer, such as `self_attn.q_proj`. Its last part is what PEFT's `target_modules`
    /// lists.
    ///
    /// # Panics
    /// Models of this family have no such projection.
    pub fn module(self, family: Family) -> &'static str {
        let named = family.names.linears.iter().find(|(linear, _)| *linear == self);
        named.unwrap_or_else(|| panic!("{family:?} has no projection {self:?}")).1
    }

    /// The module's full name, such as `model.layers.3.self_attn.q_proj`: the stem of PEFT's keys.
    pub fn path(self, family: Family, layer: usize) -> String {
        format!("{}.{layer}.{}", family.names.layers, self.module(family))
    }

    /// `[out, in]` of the weight.
    pub fn shape(self, config: &DecoderConfig) -> [usize; 2] {
        let q = config.num_attention_heads * config.head_dim;
        let kv = config.num_key_value_heads * config.head_dim;
        match self {
            Self::Q => [q, config.hidden_size],
            Self::K | Self::V => [kv, config.hidden_size],
            Self::Qkv => [q + 2 * kv, config.hidden_size],
            Self::O => [config.hidden_size, q],
            Self::Gate | Self::Up => [config.intermediate_size, config.hidden_size],
            Self::Down => [config.hidden_size, config.intermediate_size],
        }
    }

    /// Whether the projection has a bias.
    pub fn has_bias(self, config: &DecoderConfig) -> bool {
        match self {
            Self::Q | Self::K | Self::V | Self::Qkv => config.qkv_bias,
            Self::O => config.o_bias,
            Self::Gate | Self::Up | Self::Down => config.mlp_bias,
        }
    }
}

impl Param {
    /// The tensor's name in a Hugging Face checkpoint of `family`.
    pub fn name(self, family: Family) -> String {
        let names = &family.names;
        match self {
            Self::Embedding => format!("{}.weight", names.embedding),
            Self::FinalNorm => format!("{}.weight", names.final_norm),
            Self::LmHead => "lm_head.weight".to_owned(),
            Self::Layer(layer, LayerParam::Weight(linear)) => format!("{}.weight", linear.path(family, layer)),
            Self::Layer(layer, LayerParam::Bias(linear)) => format!("{}.bias", linear.path(family, layer)),
            Self::Layer(layer, norm) => {
                let module = match norm {
                    LayerParam::AttentionNorm => names.attention_norm,
                    LayerParam::MlpNorm => names.mlp_norm,
                    LayerParam::QNorm => "self_attn.q_norm",
                    _ => "self_attn.k_norm",
                };
                format!("{}.{layer}.{module}.weight", names.layers)
            }
        }
    }

    /// The tensor's shape.
    pub fn shape(self, config: &DecoderConfig) -> Vec<usize> {
        match self {
            Self::Embedding | Self::LmHead => vec![config.vocab_size, config.hidden_size],
            Self::FinalNorm => vec![config.hidden_size],
            Self::Layer(_, param) => match param {
                LayerParam::AttentionNorm | LayerParam::MlpNorm => vec![config.hidden_size],
                LayerParam::QNorm | LayerParam::KNorm => vec![config.head_dim],
                LayerParam::Weight(linear) => linear.shape(config).to_vec(),
                LayerParam::Bias(linear) => vec![linear.shape(config)[0]],
            },
        }
    }

    /// Every parameter of a model, each once, in the order in which a forward pass meets them.
    pub fn all(config: &DecoderConfig) -> Vec<Self> {
        let mut params = vec![Self::Embedding];
        for layer in 0..config.num_layers() {
            let mut push = |param| params.push(Self::Layer(layer, param));
            push(LayerParam::AttentionNorm);
            if config.qk_norm {
                push(LayerParam::QNorm);
                push(LayerParam::KNorm);
            }
            push(LayerParam::MlpNorm);
            for linear in Linear::of(config) {
                push(LayerParam::Weight(linear));
                if linear.has_bias(config) {
                    push(LayerParam::Bias(linear));
                }
            }
        }
        params.push(Self::FinalNorm);
        if !config.tie_word_embeddings {
            params.push(Self::LmHead);
        }
        params
    }
}
