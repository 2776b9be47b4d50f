//! Small Llama models from scratch: what `pretrain` makes.

use std::{collections::BTreeMap, path::Path};

use candle_core::{DType, Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    config::{ConfigError, DecoderConfig},
    model::{Decoder, ModelError},
    tokenizer::{Tokenizer, TokenizerError},
    train::init::SeededWeights,
    weights::{Weights, WeightsError, write_sharded},
};

/// The size of a new model. Heads are not shared, the head is tied to the embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Architecture {
    /// Width of the residual stream.
    #[schemars(range(min = 1))]
    pub hidden_size: usize,
    /// Width inside the MLP.
    #[schemars(range(min = 1))]
    pub intermediate_size: usize,
    /// Decoder layers.
    #[schemars(range(min = 1))]
    pub num_hidden_layers: usize,
    /// Attention heads; each is of the same even width.
    #[schemars(range(min = 1))]
    pub num_attention_heads: usize,
    /// Longest sequence the model is made for.
    #[schemars(range(min = 1))]
    pub max_position_embeddings: usize,
}

impl Default for Architecture {
    /// About two million parameters, embeddings included: a model that learns within minutes.
    fn default() -> Self {
        Self {
            hidden_size: 192,
            intermediate_size: 512,
            num_hidden_layers: 4,
            num_attention_heads: 6,
            max_position_embeddings: 512,
        }
    }
}

/// Standard deviation of new weights. Twice that of large models: these are narrow.
const INIT_STD: f32 = 0.04;

/// Why a new model could not be made or saved. Messages complete "failed to ...".
#[derive(Debug, thiserror::Error)]
pub enum FreshError {
    /// The heads do not divide the model evenly.
    #[error(
        "make a model of width {hidden_size} with {heads} heads: the width must be a multiple of the number of heads, \
         and the heads of even width"
    )]
    Heads {
        /// Width of the residual stream.
        hidden_size: usize,
        /// Attention heads.
        heads: usize,
    },
    /// The sizes do not fit each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The weights could not be made.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights could not be made or converted.
    #[error("compute the weights of a new model")]
    Tensor(#[from] candle_core::Error),
    /// The weights could not be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The tokenizer could not be written.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// A file could not be written.
    #[error("write {}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Architecture {
    /// The `config.json` of such a model.
    fn config_json(&self, vocab_size: usize, eos: Option<u32>, dtype: &str) -> String {
        let config = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_attention_heads,
            "head_dim": self.hidden_size / self.num_attention_heads,
            "vocab_size": vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": true,
            "hidden_act": "silu",
            "attention_bias": false,
            "mlp_bias": false,
            "bos_token_id": eos,
            "eos_token_id": eos,
            "torch_dtype": dtype,
        });
        serde_json::to_string_pretty(&config).expect("plain data serialises") + "\n"
    }

    /// Whether the heads divide the width evenly.
    ///
    /// # Errors
    /// [`FreshError::Heads`].
    pub fn check_heads(&self) -> Result<(), FreshError> {
        let (hidden_size, heads) = (self.hidden_size, self.num_attention_heads);
        // The rotary embedding turns pairs of channels, so a head has an even number of them.
        if heads == 0 || !hidden_size.is_multiple_of(2 * heads) {
            return Err(FreshError::Heads { hidden_size, heads });
        }
        Ok(())
    }

    /// A trainable model for a tokenizer, with seeded weights. The projections back into the residual stream are scaled
    /// by 1/sqrt(2 · layers), as in GPT-2, so that depth does not grow the stream.
    ///
    /// # Errors
    /// The sizes do not fit each other.
    pub fn decoder(&self, tokenizer: &Tokenizer, seed: u64) -> Result<Decoder, FreshError> {
        self.check_heads()?;
        let text = self.config_json(tokenizer.len(), tokenizer.eos(), "float32");
        let config = DecoderConfig::from_json(&text, Path::new("the new model's configuration"))?;
        let mut source = SeededWeights { config: &config, seed, std: INIT_STD, device: &Device::Cpu };
        let seeded = Decoder::build(&config, &mut source, &Device::Cpu, DType::F32)?;
        let residual = 1.0 / (2.0 * self.num_hidden_layers as f64).sqrt();
        let mut tensors: BTreeMap<String, Tensor> = BTreeMap::new();
        for (name, tensor) in seeded.dense_tensors() {
            let into_stream = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
            tensors.insert(name, if into_stream { (tensor * residual)? } else { tensor });
        }
        let weights = Weights::from_tensors(tensors, &config)?;
        let mut decoder = Decoder::load(&config, &weights, &Device::Cpu, DType::F32)?;
        decoder.make_trainable()?;
        Ok(decoder)
    }
}

/// Writes a Hugging Face directory: weights in `dtype` (f32 or f16), configuration and tokenizer.
///
/// # Errors
/// A file cannot be written.
pub fn save(dir: &Path, decoder: &Decoder, tokenizer: &Tokenizer, dtype: DType) -> Result<(), FreshError> {
    let config = decoder.config();
    let architecture = Architecture {
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        num_hidden_layers: config.num_layers(),
        num_attention_heads: config.num_attention_heads,
        max_position_embeddings: config.max_position_embeddings,
    };
    let tensors: BTreeMap<String, Tensor> = (decoder.dense_tensors().into_iter())
        .map(|(name, tensor)| Ok((name, tensor.detach().to_dtype(dtype)?)))
        .collect::<candle_core::Result<_>>()?;
    write_sharded(dir, &tensors, crate::export::MAX_SHARD_BYTES)?;
    let name = if dtype == DType::F16 { "float16" } else { "float32" };
    let write = |file: &str, text: String| {
        let path = dir.join(file);
        std::fs::write(&path, text).map_err(|source| FreshError::Io { path, source })
    };
    write("config.json", architecture.config_json(config.vocab_size, tokenizer.eos(), name))?;
    write("tokenizer.json", tokenizer.to_json()?)?;
    let special = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": tokenizer.special().eos_token,
        "model_max_length": config.max_position_embeddings,
    });
    write("tokenizer_config.json", serde_json::to_string_pretty(&special).expect("plain data serialises") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::PackedBatch, tokenizer::train_bpe};

    const TINY: Architecture = Architecture {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 64,
    };

    #[test]
    fn a_saved_model_is_loaded_again_with_the_same_logits() {
        let tokenizer = train_bpe((0..50).map(|i| format!("text number {i}\n")), 300).unwrap();
        let decoder = TINY.decoder(&tokenizer, 1).unwrap();
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &decoder, &tokenizer, DType::F32).unwrap();
        let config = DecoderConfig::from_dir(dir.path()).unwrap();
        let read = Tokenizer::from_dir(dir.path()).unwrap();
        read.check_fits(&config).unwrap();
        let weights = Weights::from_dir(dir.path(), &config).unwrap();
        let loaded = Decoder::load(&config, &weights, &Device::Cpu, DType::F32).unwrap();
        let batch = PackedBatch::new([tokenizer.encode("text number 7", true).unwrap()]);
        let logits = |d: &Decoder| d.logits(&d.forward_train(&batch, None).unwrap()).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(logits(&decoder), logits(&loaded));
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let tokenizer = train_bpe((0..50).map(|i| format!("text number {i}\n")), 300).unwrap();
        assert!(Architecture { num_attention_heads: 5, ..TINY }.decoder(&tokenizer, 1).is_err());
    }
}
