//! `generation_config.json`: what the model's authors recommend for sampling.

use serde::Deserialize;

use super::{ConfigError, ConfigProblem, raw::Ids};
use crate::folder::Folder;

/// The keys of `generation_config.json` that this crate knows. Nothing here is applied unasked except the stop tokens.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GenerationDefaults {
    /// Sampling (true) or greedy (false).
    pub do_sample: Option<bool>,
    /// Softmax temperature.
    pub temperature: Option<f64>,
    /// Nucleus mass.
    pub top_p: Option<f64>,
    /// Number of candidates.
    pub top_k: Option<usize>,
    /// Smallest probability relative to the most likely token.
    pub min_p: Option<f64>,
    /// Divisor of positive, factor of negative logits of tokens that have appeared.
    pub repetition_penalty: Option<f64>,
    /// Longest continuation, in tokens.
    pub max_new_tokens: Option<usize>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Raw {
    do_sample: Option<bool>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<usize>,
    min_p: Option<f64>,
    repetition_penalty: Option<f64>,
    max_new_tokens: Option<usize>,
    eos_token_id: Option<Ids>,
}

impl GenerationDefaults {
    /// Reads `generation_config.json` of a checkpoint directory; all fields are empty where there is no such file.
    ///
    /// # Errors
    /// The file exists but cannot be read or parsed.
    pub fn from_dir<'a>(dir: impl Into<Folder<'a>>) -> Result<Self, ConfigError> {
        const NAME: &str = "generation_config.json";
        let dir = dir.into();
        let path = dir.place(NAME);
        let text = match dir.text(NAME) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Read { path, source }),
        };
        let raw: Raw =
            crate::json::parse(&text).map_err(|e| ConfigError::Invalid { path, problem: ConfigProblem::Json(e) })?;
        Ok(Self {
            do_sample: raw.do_sample,
            temperature: raw.temperature,
            top_p: raw.top_p,
            top_k: raw.top_k,
            min_p: raw.min_p,
            repetition_penalty: raw.repetition_penalty,
            max_new_tokens: raw.max_new_tokens,
            eos_token_ids: raw.eos_token_id.map(Ids::into_vec).unwrap_or_default(),
        })
    }
}
