//! How much memory a model takes, by arithmetic from its configuration. What is measured is a little more: the
//! tokenizer, tables, and what the allocator keeps.

use crate::{
    config::DecoderConfig,
    weights::{LayerParam, Linear, Param},
};

const F32: f64 = 4.0;

/// Bytes of a model's parameters, where a value of a layer's matrix takes `matrix` bytes and one of the embedding and
/// of the head `ends`. Norms and biases are f32. A tied head is the embedding.
pub fn weight_bytes(config: &DecoderConfig, matrix: f64, ends: f64) -> u64 {
    let bytes = |param: Param| {
        let count: usize = param.shape(config).iter().product();
        let each = match param {
            Param::Embedding | Param::LmHead => ends,
            Param::Layer(_, LayerParam::Weight(_)) => matrix,
            _ => F32,
        };
        count as f64 * each
    };
    Param::all(config).into_iter().map(bytes).sum::<f64>() as u64
}

/// Bytes of keys and values for each token of a sequence, in f32.
pub fn cache_bytes_per_token(config: &DecoderConfig) -> u64 {
    (2 * config.num_layers() * config.num_key_value_heads * config.head_dim * size_of::<f32>()) as u64
}

/// Floats that one layer computes for a token, each once: what a backward pass wants to see again.
fn floats_per_layer(config: &DecoderConfig) -> u64 {
    let (heads, kv_heads) = (config.num_attention_heads, config.num_key_value_heads);
    // Both norms and what they are of, the attention's output, and the sums; q, k and v; gate, up and their product.
    (6 * config.hidden_size + (heads + 2 * kv_heads) * config.head_dim + heads + 3 * config.intermediate_size) as u64
}

/// Bytes of what a step of generation computes with: `tokens` through a layer at a time, and the logits of `rows`.
pub fn generation_bytes(config: &DecoderConfig, tokens: u64, rows: u64) -> u64 {
    (tokens * floats_per_layer(config) + rows * config.vocab_size as u64) * 4
}

/// Bytes of what a forward pass over `tokens` keeps for the backward pass: all layers, or with `checkpointing` their
/// inputs and one layer's.
pub fn training_bytes(config: &DecoderConfig, tokens: u64, checkpointing: bool) -> u64 {
    let (layers, hidden) = (config.num_layers() as u64, config.hidden_size as u64);
    let per_token =
        if checkpointing { layers * hidden + floats_per_layer(config) } else { layers * floats_per_layer(config) };
    tokens * per_token * 4
}

/// Values of the matrices A and B of rank `rank` at all linear layers.
pub fn adapter_values(config: &DecoderConfig, rank: u64) -> u64 {
    let pair = |linear: Linear| linear.shape(config).iter().sum::<usize>() as u64;
    config.num_layers() as u64 * rank * Linear::of(config).map(pair).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DecoderConfig;

    /// SmolLM2-135M: 134,515,008 parameters with a tied head; 4,884,480 values of LoRA with rank 16, as PEFT prints.
    #[test]
    fn a_known_model() {
        let config = serde_json::json!({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
            "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
            "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "hidden_act": "silu"
        });
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let config = DecoderConfig::from_dir(dir.path()).unwrap();
        assert_eq!(weight_bytes(&config, 4.0, 4.0), 4 * 134_515_008);
        assert_eq!(cache_bytes_per_token(&config), 2 * 30 * 3 * 64 * 4);
        assert_eq!(adapter_values(&config, 16), 4_884_480);
        // 900 tokens of a step: measured as 0.97 GB.
        let kept = training_bytes(&config, 900, false) as f64 / 1e9;
        assert!((0.9..1.05).contains(&kept), "{kept}");
        assert!(training_bytes(&config, 900, true) * 10 < training_bytes(&config, 900, false));
    }
}
