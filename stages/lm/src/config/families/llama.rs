//! Llama (Touvron et al. 2023, arXiv:2302.13971), and everything else that calls itself `llama`.

use super::{
    FamilySpec,
    llama_like::{Defaults, NAMES, Windows, read},
};

/// Llama 1 to 3.x, TinyLlama, SmolLM 1 and 2.
pub(super) static LLAMA: FamilySpec = FamilySpec {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    also_called: &[],
    gguf: Some("llama"),
    qk_norm: false,
    names: NAMES,
    read: |text| read(text, &LLAMA, &DEFAULTS),
};

const DEFAULTS: Defaults = Defaults {
    max_positions: 2048,
    bos: Some(1),
    eos: Some(2),
    mlp_bias: true,
    windows: Windows::None,
    ..Defaults::PLAIN
};
