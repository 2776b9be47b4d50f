//! A tokenizer as GGUF metadata.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    GgufError,
    meta::Meta,
    tokenizer_read::{SPLITS, kind},
};
use crate::tokenizer::Tokenizer;

/// The entries that llama.cpp needs to build the tokenizer. `rows` is the size of the embedding table: ids without a
/// token are filled up. `ends` are all tokens that end a text.
pub(super) fn entries(tokenizer: &Tokenizer, rows: usize, ends: &[u32]) -> Result<Vec<(String, Meta)>, GgufError> {
    let text = tokenizer.inner().to_string(false).map_err(|e| GgufError::Unsupported(format!("its tokenizer: {e}")))?;
    let json: Value = serde_json::from_str(&text).map_err(|e| GgufError::Unsupported(format!("its tokenizer: {e}")))?;
    if json["model"]["type"] != "BPE" {
        return Err(GgufError::Unsupported(format!(
            "a tokenizer of type {} has no counterpart",
            json["model"]["type"]
        )));
    }
    check_normalizer(&json)?;
    let merges = merges(&json)?;
    let byte_fallback = json["model"]["byte_fallback"] == true;
    let spelled = spellings(&json);
    let spelling = |id| spelled.get(&id).cloned().unwrap_or_else(|| format!("[PAD{id}]"));
    let tokens: Vec<String> = (0..rows as u64).map(spelling).collect();
    let mut found = vec![("tokenizer.ggml.tokens".to_owned(), Meta::Texts(tokens.clone()))];
    let mut add = |key: &str, entry| found.push((format!("tokenizer.ggml.{key}"), entry));
    if byte_fallback {
        add("model", Meta::Text("llama".into()));
        add("pre", Meta::Text("default".into()));
        add("scores", Meta::Numbers(scores(&tokens, &merges)));
        add("add_space_prefix", Meta::Flag(adds_space(&json)));
    } else {
        add("model", Meta::Text("gpt2".into()));
        add("pre", Meta::Text(split_name(&json)?.into()));
        add("merges", Meta::Texts(merges.iter().map(|(l, r)| format!("{l} {r}")).collect()));
    }
    add("token_type", Meta::Kinds(kinds(tokenizer, &json, &tokens, &spelled, byte_fallback)));
    // What stands around a text is decided by the post-processor, whether or not the tokens are named.
    let (bare, full) = (tokenizer.encode("a", false)?, tokenizer.encode("a", true)?);
    let at = full.windows(bare.len().max(1)).position(|w| w == bare).unwrap_or(0);
    let (before, after) = (&full[..at], full.get(at + bare.len()..).unwrap_or_default());
    if before.len() > 1 || after.len() > 1 {
        return Err(GgufError::Unsupported("its tokenizer surrounds a text with more than one token".into()));
    }
    let (bos, eos) = (before.first().copied().or(tokenizer.bos()), after.first().copied().or(tokenizer.eos()));
    // The one that the tokenizer names, which training appends, is the end of a text; llama.cpp stops at the others,
    // too.
    let eos = eos.or(ends.first().copied());
    let further: Vec<u32> = ends.iter().copied().filter(|end| Some(*end) != eos).collect();
    if further.len() > 2 {
        let all = ends.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        return Err(GgufError::Unsupported(format!(
            "{} tokens end a text ({all}), and the format has room for three",
            ends.len()
        )));
    }
    let unknown = tokenizer.special().unk_token.as_deref().or(json["model"]["unk_token"].as_str());
    let unknown = unknown.and_then(|t| tokenizer.id(t));
    for (role, id) in [
        ("bos", bos),
        ("eos", eos),
        ("padding", tokenizer.pad()),
        ("unknown", unknown),
        ("eot", further.first().copied()),
        ("eom", further.get(1).copied()),
    ] {
        if let Some(id) = id {
            add(&format!("{role}_token_id"), Meta::Count(id));
        }
    }
    add("add_bos_token", Meta::Flag(!before.is_empty()));
    add("add_eos_token", Meta::Flag(!after.is_empty()));
    Ok(found)
}

/// Refuses what llama.cpp would leave out: every way to change a text but Unicode's NFC, and those with which
/// SentencePiece's spaces are written.
fn check_normalizer(json: &Value) -> Result<(), GgufError> {
    let all = match json["normalizer"]["type"].as_str() {
        None => return Ok(()),
        Some("Sequence") => json["normalizer"]["normalizers"].as_array().cloned().unwrap_or_default(),
        Some(_) => vec![json["normalizer"].clone()],
    };
    let known = |step: &Value| match step["type"].as_str() {
        Some("NFC" | "Prepend") => true,
        Some("Replace") => step["pattern"]["String"] == " " && step["content"] == "▁",
        _ => false,
    };
    match all.iter().find(|step| !known(step)) {
        Some(step) => {
            Err(GgufError::Unsupported(format!("its tokenizer's normalizer {} has no counterpart", step["type"])))
        }
        None => Ok(()),
    }
}

/// Tokens by id, as the file spells them. The library would give normalised spellings (`▁<s>`) of added tokens.
fn spellings(json: &Value) -> BTreeMap<u64, String> {
    let vocab = json["model"]["vocab"].as_object().into_iter().flatten();
    let added = json["added_tokens"].as_array().into_iter().flatten();
    vocab
        .filter_map(|(token, id)| Some((id.as_u64()?, token.clone())))
        .chain(added.filter_map(|t| Some((t["id"].as_u64()?, t["content"].as_str()?.to_owned()))))
        .collect()
}

/// Both spellings of the list: pairs, and texts with a space between.
fn merges(json: &Value) -> Result<Vec<(String, String)>, GgufError> {
    let pair = |merge: &Value| match merge {
        Value::String(text) => text.split_once(' ').map(|(l, r)| (l.to_owned(), r.to_owned())),
        Value::Array(parts) => Some((parts.first()?.as_str()?.to_owned(), parts.get(1)?.as_str()?.to_owned())),
        _ => None,
    };
    let list = json["model"]["merges"].as_array();
    list.and_then(|list| list.iter().map(pair).collect())
        .ok_or_else(|| GgufError::Unsupported("its tokenizer's merges are not a list of pairs".into()))
}

/// llama.cpp merges the pair whose whole scores highest, so a whole scores the lower the later it is merged.
fn scores(tokens: &[String], merges: &[(String, String)]) -> Vec<f32> {
    let mut rank = std::collections::HashMap::new();
    for (i, (left, right)) in merges.iter().enumerate() {
        rank.entry(format!("{left}{right}")).or_insert(i);
    }
    tokens.iter().map(|token| rank.get(token).map_or(0.0, |rank| -(*rank as f32) - 1.0)).collect()
}

fn adds_space(json: &Value) -> bool {
    let prepends = |n: &Value| n["type"] == "Prepend";
    let normalizer = &json["normalizer"];
    let in_normalizer =
        prepends(normalizer) || normalizer["normalizers"].as_array().is_some_and(|all| all.iter().any(prepends));
    let metaspace = &json["pre_tokenizer"];
    in_normalizer || (metaspace["type"] == "Metaspace" && metaspace["prepend_scheme"] != "never")
}

/// llama.cpp's name for how the tokenizer splits a text before it merges.
fn split_name(json: &Value) -> Result<&'static str, GgufError> {
    let pre = &json["pre_tokenizer"];
    let steps = match pre["type"].as_str() {
        Some("Sequence") => pre["pretokenizers"].as_array().cloned().unwrap_or_default(),
        _ => vec![pre.clone()],
    };
    let unknown = || GgufError::Unsupported("llama.cpp knows no pre-tokenizer like its own".into());
    match steps.as_slice() {
        [bytes] if bytes["type"] == "ByteLevel" && bytes["use_regex"] == true && bytes["add_prefix_space"] == false => {
            Ok("gpt-2")
        }
        [digits, bytes]
            if digits["type"] == "Digits"
                && digits["individual_digits"] == true
                && bytes["type"] == "ByteLevel"
                && bytes["use_regex"] == true
                && bytes["add_prefix_space"] == false =>
        {
            Ok("smollm")
        }
        [split, bytes] if split["type"] == "Split" && bytes["type"] == "ByteLevel" => {
            let regex = split["pattern"]["Regex"].as_str().unwrap_or_default();
            SPLITS.iter().find(|(_, known)| *known == regex).map(|(name, _)| *name).ok_or_else(unknown)
        }
        _ => Err(unknown()),
    }
}

fn kinds(
    tokenizer: &Tokenizer,
    json: &Value,
    tokens: &[String],
    spelled: &BTreeMap<u64, String>,
    byte_fallback: bool,
) -> Vec<i32> {
    let added = json["added_tokens"].as_array().cloned().unwrap_or_default();
    let unknown = json["model"]["unk_token"].as_str();
    let mut kinds: Vec<usize> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| {
            let is_byte = token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
            if !spelled.contains_key(&(id as u64)) {
                kind::USER_DEFINED
            } else if byte_fallback && is_byte {
                kind::BYTE
            } else {
                kind::NORMAL
            }
        })
        .collect();
    for token in added {
        if let Some(slot) = token["id"].as_u64().and_then(|id| kinds.get_mut(id as usize)) {
            *slot = if token["special"] == true { kind::CONTROL } else { kind::USER_DEFINED };
        }
    }
    if let Some(slot) = unknown.and_then(|t| tokenizer.id(t)).and_then(|id| kinds.get_mut(id as usize)) {
        *slot = kind::UNKNOWN;
    }
    kinds.into_iter().map(|k| k as i32).collect()
}
