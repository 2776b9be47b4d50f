//! From any bytes to a model's files: configuration, tokenizer, adapter, safetensors, GGUF.
//! `cargo +nightly fuzz run --fuzz-dir tests/fuzz model`
//!
//! The first byte chooses the file; the others of the model are sound.

#![no_main]

use std::{cell::LazyCell, fs, path::Path};

use libfuzzer_sys::fuzz_target;
use pipe_lm::{
    adapter::AdapterConfig,
    config::{DecoderConfig, GenerationDefaults},
    gguf::GgufModel,
    tokenizer::{Tokenizer, TokenizerConfig},
    weights::Weights,
};

const SOUND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../stages/lm/tests/golden/logits/llama2_gqa");

thread_local! {
    static FOLDER: LazyCell<tempfile::TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a folder"));
    static CONFIG: LazyCell<DecoderConfig> =
        LazyCell::new(|| DecoderConfig::from_dir(Path::new(SOUND)).expect("a sound configuration"));
}

fn try_file(dir: &Path, choice: u8, bytes: &[u8]) {
    let file = |name: &str| fs::write(dir.join(name), bytes).expect("written");
    match choice % 7 {
        0 => {
            file("config.json");
            let _ = DecoderConfig::from_dir(dir);
        }
        1 => {
            file("generation_config.json");
            let _ = GenerationDefaults::from_dir(dir);
        }
        2 => {
            file("tokenizer_config.json");
            let _ = TokenizerConfig::from_dir(dir);
        }
        3 => {
            file("tokenizer.json");
            if let Ok(tokenizer) = Tokenizer::from_dir(dir) {
                let joint = tokenizer.encode_joint("The cat's 12 ", "naïve\n", true);
                let _ = joint.map(|joint| tokenizer.decode(&joint.tokens, true));
            }
        }
        4 => {
            file("adapter_config.json");
            let _ = AdapterConfig::from_dir(dir).map(|config| CONFIG.with(|model| config.targets(model)));
        }
        5 => {
            file("model.safetensors");
            let _ = CONFIG.with(|config| Weights::from_dir(dir, config));
        }
        _ => {
            file("m.gguf");
            if let Ok(model) = GgufModel::open(&dir.join("m.gguf")) {
                let _ = (model.tokenizer(), model.chat_template());
            }
        }
    }
}

// Panics that are caught where they are expected are no findings; others still end the process.
fuzz_target!(init: drop(std::panic::take_hook()), |data: &[u8]| {
    if let Some((&choice, bytes)) = data.split_first() {
        FOLDER.with(|folder| {
            for entry in fs::read_dir(folder.path()).expect("listed").flatten() {
                let _ = fs::remove_file(entry.path());
            }
            try_file(folder.path(), choice, bytes);
        });
    }
});
