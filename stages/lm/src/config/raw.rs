//! The keys of `config.json` as they are written, before defaults and checks.

use serde::Deserialize;
use serde_json::Value;

use crate::json::Id;

/// `eos_token_id` is one id or several; negative ones are none.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged, expecting = "neither a token's id nor a list of ids")]
pub(super) enum Ids {
    One(Id),
    Many(Vec<Id>),
}

impl Ids {
    pub(super) fn into_vec(self) -> Vec<u32> {
        match self {
            Self::One(id) => id.0.into_iter().collect(),
            Self::Many(ids) => ids.into_iter().filter_map(|id| id.0).collect(),
        }
    }
}

/// A key that is absent, `null`, or has a value. `transformers` gives the first two different meanings.
pub(super) type Nullable<T> = Option<Option<T>>;

fn nullable<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Nullable<T>, D::Error> {
    Option::<T>::deserialize(d).map(Some)
}

/// Keys that decide how the rest is read.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    #[serde(default)]
    pub architectures: Option<Vec<String>>,
    pub model_type: Option<String>,
    pub quantization_config: Option<Value>,
}

/// The keys of the Llama-like families.
#[derive(Debug, Deserialize)]
pub(super) struct LlamaLike {
    pub vocab_size: Option<usize>,
    pub hidden_size: Option<usize>,
    pub intermediate_size: Option<usize>,
    pub num_hidden_layers: Option<usize>,
    pub num_attention_heads: Option<usize>,
    #[serde(default, deserialize_with = "nullable")]
    pub num_key_value_heads: Nullable<usize>,
    pub head_dim: Option<usize>,
    pub hidden_act: Option<String>,
    pub max_position_embeddings: Option<usize>,
    pub original_max_position_embeddings: Option<usize>,
    pub rms_norm_eps: Option<f64>,
    pub rope_theta: Option<f64>,
    pub rope_scaling: Option<RopeParameters>,
    pub rope_parameters: Option<RopeParameters>,
    pub partial_rotary_factor: Option<f64>,
    pub attention_bias: Option<bool>,
    pub mlp_bias: Option<bool>,
    pub tie_word_embeddings: Option<bool>,
    pub use_sliding_window: Option<bool>,
    #[serde(default, deserialize_with = "nullable")]
    pub sliding_window: Nullable<usize>,
    pub max_window_layers: Option<usize>,
    pub layer_types: Option<Vec<String>>,
    pub no_rope_layers: Option<Vec<u8>>,
    pub no_rope_layer_interval: Option<usize>,
    #[serde(default, deserialize_with = "nullable")]
    pub bos_token_id: Nullable<Id>,
    #[serde(default, deserialize_with = "nullable")]
    pub eos_token_id: Nullable<Ids>,
    pub pad_token_id: Option<Id>,
}

/// `rope_scaling` (old) and `rope_parameters` (new) share their keys; the new form carries `rope_theta` too.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RopeParameters {
    pub rope_type: Option<String>,
    /// The older name of `rope_type`, which files for both kinds of readers have beside it.
    #[serde(rename = "type")]
    pub old_type: Option<String>,
    pub rope_theta: Option<f64>,
    pub partial_rotary_factor: Option<f64>,
    pub factor: Option<f64>,
    pub original_max_position_embeddings: Option<usize>,
    pub low_freq_factor: Option<f64>,
    pub high_freq_factor: Option<f64>,
    pub attention_factor: Option<f64>,
    pub beta_fast: Option<f64>,
    pub beta_slow: Option<f64>,
    pub mscale: Option<f64>,
    pub mscale_all_dim: Option<f64>,
    pub truncate: Option<bool>,
}

/// The keys of MPT.
#[derive(Debug, Deserialize)]
pub(super) struct Mpt {
    pub vocab_size: Option<usize>,
    pub d_model: Option<usize>,
    pub n_heads: Option<usize>,
    pub n_layers: Option<usize>,
    pub expansion_ratio: Option<usize>,
    pub max_seq_len: Option<usize>,
    pub layer_norm_epsilon: Option<f64>,
    pub norm_type: Option<String>,
    pub no_bias: Option<bool>,
    pub logit_scale: Option<Value>,
    pub tie_word_embeddings: Option<bool>,
    #[serde(default)]
    pub attn_config: MptAttention,
    pub bos_token_id: Option<Id>,
    pub eos_token_id: Option<Ids>,
    pub pad_token_id: Option<Id>,
}

/// MPT's `attn_config`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct MptAttention {
    pub attn_type: Option<String>,
    pub clip_qkv: Option<f64>,
    pub softmax_scale: Option<f64>,
    pub prefix_lm: Option<bool>,
    pub qk_ln: Option<bool>,
    pub alibi: Option<bool>,
    pub alibi_bias_max: Option<f64>,
}
