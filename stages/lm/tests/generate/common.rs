//! Tiny models with a tokenizer of single characters, and a collector of completions.

use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf, sync::Arc};

use candle_core::{DType, Device};
use pipe_lm::{
    config::DecoderConfig,
    generate::{Backend, Completion, GenerateError, Generator, Prompt, Request, SamplingParams},
    model::{Decoder, Inference},
    tokenizer::{SpecialTokens, Tokenizer},
    weights::Weights,
};

pub(crate) fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/logits").join(name)
}

/// One of the checkpoints of make_logits.py.
pub(crate) fn decoder(name: &str, dtype: DType) -> Decoder {
    let config = DecoderConfig::from_dir(&golden(name)).unwrap();
    let weights = Weights::from_dir(&golden(name), &config).unwrap();
    Decoder::load(&config, &weights, &Device::Cpu, dtype).unwrap()
}

/// Id 0 to 2 are special, 3 is the line feed, from 4 on come the ASCII characters from the space on.
pub(crate) fn characters() -> Tokenizer {
    let special = ["<pad>", "<s>", "</s>"];
    let mut vocab = serde_json::Map::new();
    let all = special.iter().map(ToString::to_string).chain(["\n".to_owned()]);
    for (id, token) in all.chain((32..124u8).map(|c| char::from(c).to_string())).enumerate() {
        vocab.insert(token, id.into());
    }
    let added: Vec<_> = (0..)
        .zip(special)
        .map(|(id, content)| {
            serde_json::json!({ "id": id, "content": content, "single_word": false, "lstrip": false,
                                "rstrip": false, "normalized": false, "special": true })
        })
        .collect();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": { "type": "Fuse" },
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                   "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                   "vocab": vocab, "merges": [] },
    });
    let inner = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
    Tokenizer::new(inner, SpecialTokens::default(), PathBuf::from("characters")).unwrap()
}

pub(crate) fn generator(decoder: &Decoder, eos: &[u32]) -> Generator {
    Generator::new(Arc::new(Inference::new(decoder).unwrap()), Arc::new(characters()), eos)
}

pub(crate) fn tokens(id: &str, tokens: &[u32]) -> Request {
    Request { id: id.to_owned(), prompt: Prompt::Tokens(tokens.to_vec()) }
}

/// Completions by id.
pub(crate) fn run(
    backend: &dyn Backend,
    requests: Vec<Request>,
    params: &SamplingParams,
) -> Result<BTreeMap<String, Completion>, GenerateError> {
    let mut done = BTreeMap::new();
    backend.complete(&mut requests.into_iter(), params, &mut |completion: Completion| {
        assert!(done.insert(completion.id.clone(), completion).is_none(), "a row came twice");
        ControlFlow::Continue(())
    })?;
    Ok(done)
}

/// The only completion of a single request.
pub(crate) fn one(backend: &dyn Backend, request: Request, params: &SamplingParams) -> Completion {
    run(backend, vec![request], params).unwrap().into_values().next().unwrap()
}
