//! Qwen2 (Yang et al. 2024, arXiv:2407.10671): Llama with biases on q, k and v.

use super::{
    FamilySpec,
    llama_like::{Biases, Defaults, NAMES, Windows, read},
};

/// Qwen2 and Qwen2.5.
pub(super) static QWEN2: FamilySpec = FamilySpec {
    model_type: "qwen2",
    architecture: "Qwen2ForCausalLM",
    also_called: &[],
    gguf: Some("qwen2"),
    qk_norm: false,
    names: NAMES,
    read: |text| read(text, &QWEN2, &DEFAULTS),
};

const DEFAULTS: Defaults = Defaults {
    kv_heads: Some(32),
    sliding_window: Some(4096),
    biases: Biases::Qkv,
    windows: Windows::FromLayer(28),
    ..Defaults::PLAIN
};
