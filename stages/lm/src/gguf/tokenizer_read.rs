//! A tokenizer from GGUF metadata: the models `llama` (SentencePiece BPE with byte fallback) and `gpt2` (byte-level
//! BPE).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{GgufError, metadata::Metadata};
use crate::tokenizer::{SpecialTokens, Tokenizer, TokenizerError};

/// llama.cpp's token types.
pub(super) mod kind {
    pub(crate) const NORMAL: usize = 1;
    pub(crate) const UNKNOWN: usize = 2;
    pub(crate) const CONTROL: usize = 3;
    pub(crate) const USER_DEFINED: usize = 4;
    pub(crate) const BYTE: usize = 6;
}

/// Regular expressions by which byte-level tokenizers split a text, under the names that llama.cpp gives them.
/// They are those of the models' own `tokenizer.json`.
pub(super) const SPLITS: &[(&str, &str)] = &[
    (
        "llama-bpe",
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    ),
    (
        "qwen2",
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        ),
    ),
];

/// Names of `tokenizer.ggml.pre` whose split is GPT-2's, which `ByteLevel` has built in.
pub(super) const GPT2_SPLITS: &[&str] = &["gpt-2", "gpt2", "phi-2", "jina-es", "jina-de", "mpt", "olmo", "dbrx"];

/// Names whose split is GPT-2's after single digits.
const DIGIT_SPLITS: &[&str] = &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"];

/// Other names of the splits in [`SPLITS`], as llama.cpp has them.
const SAME_SPLITS: &[(&str, &str)] = &[
    ("llama3", "llama-bpe"),
    ("llama-v3", "llama-bpe"),
    ("smaug-bpe", "llama-bpe"),
    ("falcon3", "llama-bpe"),
    ("pixtral", "llama-bpe"),
    ("deepseek-r1-qwen", "qwen2"),
];

pub(super) fn read(metadata: &Metadata<'_>) -> Result<Tokenizer, GgufError> {
    let invalid = |problem: String| GgufError::invalid(metadata.path, problem);
    let model = metadata.required("tokenizer.ggml.model", metadata.text("tokenizer.ggml.model")?)?;
    let tokens = metadata.required("tokenizer.ggml.tokens", metadata.texts("tokenizer.ggml.tokens")?)?;
    let types = metadata.counts("tokenizer.ggml.token_type")?.unwrap_or_else(|| vec![kind::NORMAL; tokens.len()]);
    if types.len() != tokens.len() {
        return Err(invalid(format!("there are {} token types for {} tokens", types.len(), tokens.len())));
    }
    let token = |role: &str| -> Result<Option<String>, GgufError> {
        match metadata.count_or_none(&format!("tokenizer.ggml.{role}_token_id"))? {
            None => Ok(None),
            Some(id) => match tokens.get(id) {
                Some(token) => Ok(Some((*token).to_owned())),
                None => Err(invalid(format!("the {role} token is {id}, but there are {} tokens", tokens.len()))),
            },
        }
    };
    let special = SpecialTokens {
        bos_token: token("bos")?,
        eos_token: token("eos")?,
        pad_token: token("padding")?,
        unk_token: token("unknown")?,
    };
    let vocab: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, t)| (*t, id)).collect();
    let mut json = match model {
        "llama" => sentencepiece(metadata, &tokens, &vocab, special.unk_token.as_deref())?,
        "gpt2" => byte_level(metadata)?,
        other => {
            return Err(invalid(format!("the tokenizer model `{other}` is not supported (supported: llama, gpt2)")));
        }
    };
    json["version"] = json!("1.0");
    json["model"]["vocab"] = tokens.iter().enumerate().map(|(id, t)| ((*t).to_owned(), json!(id))).collect();
    json["added_tokens"] = added_tokens(&tokens, &types);
    let flag = |key: &str, default| Ok::<_, GgufError>(metadata.flag(key)?.unwrap_or(default));
    let bos = if flag("tokenizer.ggml.add_bos_token", model == "llama")? { special.bos_token.as_deref() } else { None };
    let eos = if flag("tokenizer.ggml.add_eos_token", false)? { special.eos_token.as_deref() } else { None };
    json["post_processor"] = template(bos, eos, &vocab);
    let path = metadata.path.to_owned();
    let inner = tokenizers::Tokenizer::from_bytes(json.to_string())
        .map_err(|source| TokenizerError::Format { path: path.clone(), source })?;
    Ok(Tokenizer::new(inner, special, path)?)
}

/// Llama's tokenizer: no splitting, spaces as `▁`, pairs merged in the order of their score.
fn sentencepiece(
    metadata: &Metadata<'_>,
    tokens: &[&str],
    vocab: &HashMap<&str, usize>,
    unknown: Option<&str>,
) -> Result<Value, GgufError> {
    let scores = metadata.required("tokenizer.ggml.scores", metadata.numbers("tokenizer.ggml.scores")?)?;
    if scores.len() != tokens.len() {
        let problem = format!("there are {} scores for {} tokens", scores.len(), tokens.len());
        return Err(GgufError::invalid(metadata.path, problem));
    }
    let mut normalizers = Vec::new();
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if metadata.flag("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
        normalizers.push(json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    normalizers.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}));
    Ok(json!({
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "unk_token": unknown, "fuse_unk": true, "byte_fallback": true,
            "merges": merges(tokens, &scores, vocab),
        },
    }))
}

/// Longer tokens are not made of pieces: SentencePiece makes some of 16 characters, and every split of a token is
/// looked at.
const LONGEST_PIECE: usize = 1024;

/// A SentencePiece vocabulary has no list of merges: every split of a token into two tokens is one, ranked by the score
/// of the whole, then by the ids of the parts (as `transformers` converts such vocabularies).
fn merges(tokens: &[&str], scores: &[f32], vocab: &HashMap<&str, usize>) -> Vec<[String; 2]> {
    let mut found: Vec<(f32, usize, usize, [String; 2])> = Vec::new();
    let short = |(token, _): &(&&str, &f32)| token.len() <= LONGEST_PIECE;
    for (token, score) in tokens.iter().zip(scores).filter(short) {
        for (cut, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(cut);
            if let (Some(&l), Some(&r)) = (vocab.get(left), vocab.get(right)) {
                found.push((*score, l, r, [left.to_owned(), right.to_owned()]));
            }
        }
    }
    found.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    found.into_iter().map(|(.., pair)| pair).collect()
}

fn byte_level(metadata: &Metadata<'_>) -> Result<Value, GgufError> {
    let merges = metadata.required("tokenizer.ggml.merges", metadata.texts("tokenizer.ggml.merges")?)?;
    let pairs: Option<Vec<[&str; 2]>> = merges.iter().map(|m| m.split_once(' ').map(|(l, r)| [l, r])).collect();
    let pairs =
        pairs.ok_or_else(|| GgufError::invalid(metadata.path, "`tokenizer.ggml.merges` is not a list of pairs"))?;
    let pre = metadata.text("tokenizer.ggml.pre")?.unwrap_or("gpt-2");
    let bytes =
        |regex| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex});
    let pre_tokenizer = if GPT2_SPLITS.contains(&pre) {
        bytes(true)
    } else if DIGIT_SPLITS.contains(&pre) {
        json!({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, bytes(true)]})
    } else {
        let name = SAME_SPLITS.iter().find(|(other, _)| *other == pre).map_or(pre, |(_, name)| *name);
        let Some((_, regex)) = SPLITS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = SPLITS.iter().map(|(name, _)| *name).chain(["gpt-2", "smollm"]).collect();
            let problem = format!("the pre-tokenizer `{pre}` is not supported (supported: {})", known.join(", "));
            return Err(GgufError::invalid(metadata.path, problem));
        };
        let split = json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
        json!({"type": "Sequence", "pretokenizers": [split, bytes(false)]})
    };
    Ok(json!({
        "normalizer": if pre == "qwen2" { json!({"type": "NFC"}) } else { Value::Null },
        "pre_tokenizer": pre_tokenizer,
        "decoder": bytes(true),
        // Llama 3 looks whole words up before it merges.
        "model": {"type": "BPE", "ignore_merges": pre == "llama-bpe", "merges": pairs},
    }))
}

/// Control and user-defined tokens are found in a text before anything else; the former are dropped when ids become
/// text.
fn added_tokens(tokens: &[&str], types: &[usize]) -> Value {
    let mut added = Vec::new();
    for (id, (token, kind)) in tokens.iter().zip(types).enumerate() {
        let special = matches!(*kind, kind::CONTROL | kind::UNKNOWN);
        if special || *kind == kind::USER_DEFINED {
            added.push(json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special}));
        }
    }
    Value::Array(added)
}

fn template(bos: Option<&str>, eos: Option<&str>, vocab: &HashMap<&str, usize>) -> Value {
    if bos.is_none() && eos.is_none() {
        return Value::Null;
    }
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let around = |sequences: &[&str]| -> Vec<Value> {
        let mut parts = Vec::new();
        for id in sequences {
            parts.extend(bos.map(special));
            parts.push(json!({"Sequence": {"id": id, "type_id": 0}}));
            parts.extend(eos.map(special));
        }
        parts
    };
    let used = bos.into_iter().chain(eos).map(|t| (t.to_owned(), json!({"id": t, "ids": [vocab[t]], "tokens": [t]})));
    json!({"type": "TemplateProcessing", "single": around(&["A"]), "pair": around(&["A", "B"]),
        "special_tokens": used.collect::<serde_json::Map<_, _>>()})
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::quantized::gguf_file::Value as Entry;

    use super::*;

    fn split(pre: &str) -> Result<Value, String> {
        let pairs = HashMap::from([
            ("tokenizer.ggml.pre".to_owned(), Entry::String(pre.to_owned())),
            ("tokenizer.ggml.merges".to_owned(), Entry::Array(vec![Entry::String("a b".to_owned())])),
        ]);
        byte_level(&Metadata { path: Path::new("m.gguf"), pairs: &pairs }).map_err(|e| e.to_string())
    }

    /// What `tokenizer.json` of SmolLM, DeepSeek-R1-Distill-Qwen and Llama 3 have, under the names of llama.cpp's
    /// converter.
    #[test]
    fn splits_are_found_under_all_their_names() {
        let pre = |name: &str| split(name).unwrap()["pre_tokenizer"].clone();
        let smollm = pre("smollm");
        assert_eq!(smollm["pretokenizers"][0], json!({"type": "Digits", "individual_digits": true}));
        assert_eq!(smollm["pretokenizers"][1]["use_regex"], json!(true));
        for (other, name) in
            [("starcoder", "smollm"), ("deepseek-r1-qwen", "qwen2"), ("llama3", "llama-bpe"), ("gpt2", "gpt-2")]
        {
            assert_eq!(pre(other), pre(name), "{other}");
        }
        assert_eq!(split("deepseek-r1-qwen").unwrap()["normalizer"], Value::Null);
        assert!(
            split("banana")
                .unwrap_err()
                .contains("`banana` is not supported (supported: llama-bpe, qwen2, gpt-2, smollm)")
        );
    }
}
