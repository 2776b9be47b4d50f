//! MPT (MosaicML 2023): ALiBi (Press et al. 2021, arXiv:2108.12409), layer norm without bias, an ungated MLP, one fused
//! `Wqkv`.

use super::{FamilySpec, Names, json, layer_count, need, value};
use crate::config::{
    Activation, ConfigProblem, DecoderConfig, Layer, Linear, NormKind, Position,
    raw::{Ids, Mpt},
};

/// MPT 7B and 30B. Published checkpoints carry the class name of their own remote code.
pub(super) static MPT: FamilySpec = FamilySpec {
    model_type: "mpt",
    architecture: "MptForCausalLM",
    also_called: &["MPTForCausalLM"],
    gguf: None,
    qk_norm: false,
    names: Names {
        embedding: "transformer.wte",
        final_norm: "transformer.norm_f",
        layers: "transformer.blocks",
        attention_norm: "norm_1",
        mlp_norm: "norm_2",
        linears: &[
            (Linear::Qkv, "attn.Wqkv"),
            (Linear::O, "attn.out_proj"),
            (Linear::Up, "ffn.up_proj"),
            (Linear::Down, "ffn.down_proj"),
        ],
    },
    read: |text| mpt(json(text)?),
};

fn mpt(raw: Mpt) -> Result<DecoderConfig, ConfigProblem> {
    let attention = raw.attn_config;
    let unsupported = |key, written: Option<bool>, value_of: bool, reason: &str| {
        if written == Some(value_of) { Err(value(key, value_of, reason.into())) } else { Ok(()) }
    };
    unsupported("attn_config.alibi", attention.alibi, false, "MPT without ALiBi is not supported")?;
    unsupported("attn_config.qk_ln", attention.qk_ln, true, "norms on q and k are not supported for MPT")?;
    unsupported("attn_config.prefix_lm", attention.prefix_lm, true, "prefix language models are not supported")?;
    unsupported("no_bias", raw.no_bias, false, "MPT with biases is not supported")?;
    if let Some(scale) = raw.logit_scale.filter(|v| !v.is_null()) {
        return Err(value("logit_scale", scale, "scaled logits are not supported".into()));
    }
    if let Some(kind) = attention.attn_type.filter(|k| k != "multihead_attention") {
        return Err(value("attn_config.attn_type", kind, "only multihead_attention is supported".into()));
    }
    if let Some(kind) = raw.norm_type.filter(|k| !k.ends_with("layernorm")) {
        return Err(value("norm_type", kind, "only layernorm and low_precision_layernorm are supported".into()));
    }
    let hidden_size = need("d_model", raw.d_model)?;
    let heads = need("n_heads", raw.n_heads)?;
    if hidden_size % heads != 0 {
        return Err(value("d_model", hidden_size, format!("not a multiple of the {heads} attention heads")));
    }
    let head_dim = hidden_size / heads;
    Ok(DecoderConfig {
        family: &MPT,
        vocab_size: need("vocab_size", raw.vocab_size)?,
        hidden_size,
        intermediate_size: hidden_size.saturating_mul(raw.expansion_ratio.unwrap_or(4)),
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim,
        layers: vec![Layer { rope: false, sliding_window: None }; layer_count("n_layers", raw.n_layers)?],
        norm: NormKind::Layer,
        norm_eps: raw.layer_norm_epsilon.unwrap_or(1e-5),
        position: Position::Alibi { bias_max: attention.alibi_bias_max.unwrap_or(8.0) },
        qkv_bias: false,
        o_bias: false,
        mlp_bias: false,
        qk_norm: false,
        clip_qkv: attention.clip_qkv.filter(|c| *c != 0.0),
        softmax_scale: attention.softmax_scale.unwrap_or_else(|| 1.0 / (head_dim as f64).sqrt()),
        activation: Activation::Gelu,
        gated_mlp: false,
        tie_word_embeddings: raw.tie_word_embeddings.unwrap_or(true),
        max_position_embeddings: raw.max_seq_len.unwrap_or(2048),
        bos_token_id: raw.bos_token_id.and_then(|id| id.0),
        eos_token_ids: raw.eos_token_id.map(Ids::into_vec).unwrap_or_default(),
        pad_token_id: raw.pad_token_id.and_then(|id| id.0),
    })
}
