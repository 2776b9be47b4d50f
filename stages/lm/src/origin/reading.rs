//! Which models are read otherwise than by version 0.1.0, so that what was computed with those, and only with those, is
//! computed again.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::Folder;
use crate::{
    config::{DecoderConfig, GenerationDefaults},
    tokenizer::TokenizerConfig,
};

/// The version of the rules by which a model's files are read. It stands in the keys of what is computed with models
/// for which it makes a difference.
///
/// 2: a text ends with any end that a file names; prompts and completions are tokenised as one text; dropout of
/// tokenizers is off; system text goes into the first user turn where the chat template has no place for it; embedding
/// models pool in every way that their files name, and have their dense layers.
pub const READING: u32 = 2;

/// What of a `tokenizer.json` is asked here; the vocabulary is passed over.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
    model: ModelPart,
}

#[derive(Deserialize)]
struct AddedToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct ModelPart {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f64>,
}

/// [`READING`] for the directory of a model that version 0.1.0 may have read otherwise. It read alike what has a
/// byte-level tokenizer without additions and no chat template, and names one end of a text in all files, as the models
/// that `pretrain` makes.
///
/// Of a directory that cannot be read nothing is said here: opening it does.
pub fn reading<'a>(dir: impl Into<Folder<'a>>) -> Option<u32> {
    reads_alike(dir.into()).is_some_and(|alike| !alike).then_some(READING)
}

fn reads_alike(dir: Folder<'_>) -> Option<bool> {
    let text = dir.text("tokenizer.json").ok()?;
    let file: TokenizerFile = serde_json::from_str(&crate::json::plain(&text)).ok()?;
    let kind = |part: &Value| part["type"].as_str().map(str::to_owned);
    let plain = file.model.kind.as_deref() == Some("BPE")
        && file.model.dropout.is_none_or(|share| share == 0.0)
        && matches!(kind(&file.normalizer).as_deref(), None | Some("NFC"))
        && kind(&file.pre_tokenizer).as_deref() == Some("ByteLevel")
        && matches!(kind(&file.post_processor).as_deref(), None | Some("ByteLevel"));
    let tokenizer = TokenizerConfig::from_dir(dir).ok()?;
    if !plain || tokenizer.chat_template.is_some() {
        return Some(false);
    }
    let eos = tokenizer.special.eos_token;
    let named = eos.and_then(|eos| file.added_tokens.iter().find(|token| token.content == eos)).map(|token| token.id);
    let config = DecoderConfig::from_dir(dir).ok()?.eos_token_ids;
    let generation = GenerationDefaults::from_dir(dir).ok()?.eos_token_ids;
    let first = if generation.is_empty() { config.clone() } else { generation };
    let all_known = config.iter().chain(&named).all(|id| first.is_empty() || first.contains(id));
    Some(all_known)
}

/// [`READING`] for the directory of an embedding model that version 0.1.0 may have read otherwise: it knew the means
/// and the first tokens of the older form of `1_Pooling/config.json`.
pub fn embedder_reading(dir: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(dir.join(super::files::POOLING)).ok()?;
    let config: serde_json::Map<String, Value> = serde_json::from_str(&crate::json::plain(&text)).ok()?;
    let asked = |key: &str| config.get(key).is_some_and(|value| *value == true);
    let modes = config.iter().filter(|(key, value)| key.starts_with("pooling_mode") && **value == true).count();
    let alike = modes == 1 && (asked("pooling_mode_cls_token") || asked("pooling_mode_mean_tokens"));
    (!alike).then_some(READING)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    const CONFIG: &str = r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9, "eos_token_id": 0}"#;

    fn tokenizer(pre: &str, model: &str) -> String {
        format!(
            r#"{{"added_tokens": [{{"id": 0, "content": "<eos>"}}, {{"id": 5, "content": "<end>"}}], "normalizer": null,
            "pre_tokenizer": {{"type": "{pre}"}}, "model": {{"type": "BPE"{model}, "vocab": {{}}}}}}"#
        )
    }

    #[test]
    fn only_models_for_which_it_makes_a_difference_are_told() {
        let plain = tokenizer("ByteLevel", "");
        let of = |config: &str, tokenizer: &str, eos: &str, chat: bool| {
            let chat = if chat { r#", "chat_template": "x""# } else { "" };
            let named = format!(r#"{{"eos_token": "{eos}"{chat}}}"#);
            reading(
                folder(&[("config.json", config), ("tokenizer.json", tokenizer), ("tokenizer_config.json", &named)])
                    .path(),
            )
        };
        assert_eq!(of(CONFIG, &plain, "<eos>", false), None);
        assert_eq!(of(CONFIG, &plain, "<end>", false), Some(READING), "config.json names another end");
        assert_eq!(of(CONFIG, &plain, "<eos>", true), Some(READING));
        assert_eq!(of(CONFIG, &tokenizer("Metaspace", ""), "<eos>", false), Some(READING));
        assert_eq!(of(CONFIG, &tokenizer("ByteLevel", r#", "dropout": 0.1"#), "<eos>", false), Some(READING));
        assert_eq!(reading(folder(&[]).path()), None);
        let pools = |config: &str| embedder_reading(folder(&[("1_Pooling/config.json", config)]).path());
        assert_eq!(pools(r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}"#), None);
        assert_eq!(pools(r#"{"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true}"#), Some(READING));
        assert_eq!(pools(r#"{"pooling_mode": "cls"}"#), Some(READING));
        assert_eq!(embedder_reading(folder(&[]).path()), None);
    }
}
