//! Qwen3 (Yang et al. 2025, arXiv:2505.09388): Llama with RMS norms on the heads of q and k.

use super::{
    FamilySpec,
    llama_like::{Defaults, NAMES, Windows, read},
};

/// Qwen3, the dense ones.
pub(super) static QWEN3: FamilySpec = FamilySpec {
    model_type: "qwen3",
    architecture: "Qwen3ForCausalLM",
    also_called: &[],
    gguf: Some("qwen3"),
    qk_norm: true,
    names: NAMES,
    read: |text| read(text, &QWEN3, &DEFAULTS),
};

const DEFAULTS: Defaults = Defaults {
    head_dim: Some(128),
    kv_heads: Some(32),
    sliding_window: Some(4096),
    windows: Windows::FromLayer(28),
    ..Defaults::PLAIN
};
