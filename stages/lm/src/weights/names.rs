//! The tensors a checkpoint must hold: logical parameters, their names in each family, and their shapes.

use crate::config::{DecoderConfig, Family, Linear};

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
