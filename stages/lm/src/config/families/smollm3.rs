//! SmolLM3 (Hugging Face 2025): Llama in which every fourth layer has no rotary embedding.

use super::{
    FamilySpec,
    llama_like::{Defaults, NAMES, Windows, read},
};

/// SmolLM3.
pub(super) static SMOLLM3: FamilySpec = FamilySpec {
    model_type: "smollm3",
    architecture: "SmolLM3ForCausalLM",
    also_called: &[],
    gguf: None,
    qk_norm: false,
    names: NAMES,
    read: |text| read(text, &SMOLLM3, &DEFAULTS),
};

const DEFAULTS: Defaults = Defaults {
    theta: 2_000_000.0,
    tied: true,
    kv_heads: Some(4),
    mlp_bias: true,
    windows: Windows::WhereNoRope,
    rope_interval: Some(4),
    ..Defaults::PLAIN
};
