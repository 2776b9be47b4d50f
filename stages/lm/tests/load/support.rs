//! What several of these tests need.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use pipe_lm::{config::DecoderConfig, weights::Param};

/// A file or folder beneath `tests/golden`.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The text of a golden file.
pub(crate) fn golden_text(name: &str) -> String {
    std::fs::read_to_string(golden(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// An error and its causes, one per line, with the temporary directory named `DIR`.
pub(crate) fn chain(error: &dyn std::error::Error, dir: &Path) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}\n{cause}");
        next = cause.source();
    }
    text.replace(&dir.display().to_string(), "DIR")
}

/// The name of a file in an address, as servers read it: what stands behind `?` or `#` is no part of it.
pub(crate) fn named(path: &str) -> String {
    let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
    let mut parts = path.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).unwrap()
}

/// A tiny Llama: 2 layers, 16 wide, 4 heads over 2, 32 tokens.
pub(crate) fn tiny_config() -> DecoderConfig {
    let json = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 32,
        "max_position_embeddings": 64}"#;
    DecoderConfig::from_json(json, Path::new("config.json")).unwrap()
}

/// Tensors of all the right names and shapes, with values that tell elements apart.
pub(crate) fn tensors(config: &DecoderConfig, dtype: DType) -> BTreeMap<String, Tensor> {
    let mut all = BTreeMap::new();
    for (i, param) in Param::all(config).into_iter().enumerate() {
        let shape = param.shape(config);
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|j| ((i * 31 + j * 7) % 113) as f32 / 64.0 - 0.875).collect();
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(dtype).unwrap();
        all.insert(param.name(config.family), tensor);
    }
    all
}
