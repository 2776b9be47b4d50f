//! Mistral (Jiang et al. 2023, arXiv:2310.06825): Llama with a sliding window.

use super::{
    FamilySpec,
    llama_like::{Biases, Defaults, NAMES, Windows, read},
};

/// Mistral 7B and its like; llama.cpp calls them `llama`, too.
pub(super) static MISTRAL: FamilySpec = FamilySpec {
    model_type: "mistral",
    architecture: "MistralForCausalLM",
    also_called: &[],
    gguf: Some("llama"),
    qk_norm: false,
    names: NAMES,
    read: |text| read(text, &MISTRAL, &DEFAULTS),
};

const DEFAULTS: Defaults = Defaults {
    max_positions: 131_072,
    kv_heads: Some(8),
    sliding_window: Some(4096),
    bos: Some(1),
    eos: Some(2),
    biases: Biases::None,
    windows: Windows::Every,
    ..Defaults::PLAIN
};
