//! Damaged and hostile model files: whatever is changed in them, the answer is an error or a model, never a panic, an
//! abort or a hang.
//!
//! Every case is made from a whole file by a seeded generator, so that a failure comes again; it names the file and the
//! number of the case.

use std::{
    fs,
    path::{Path, PathBuf},
};

use pipe_lm::{
    adapter::AdapterConfig,
    chat::{ChatOptions, ChatTemplate, Message},
    config::{DecoderConfig, GenerationDefaults},
    gguf::GgufModel,
    tokenizer::{SpecialTokens, Tokenizer, TokenizerConfig},
    train::Stream,
    weights::Weights,
};
use pipe_random::Random as _;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Numbers at which sizes, counts and offsets go wrong.
const NUMBERS: [&str; 10] =
    ["0", "-1", "1", "1000000000", "4294967295", "1152921504606846976", "18446744073709551615", "1e30", "1e999", "0.5"];

/// A damaged copy of `whole`, by case: a byte or a run of bytes changed, removed, repeated, or the rest cut off; in
/// texts numbers replaced, too.
fn damaged(whole: &[u8], name: &str, case: u64, is_text: bool) -> Vec<u8> {
    let mut draw = Stream::new(case, name, &[]);
    let mut below = |n: usize| (draw.next_u64() % n.max(1) as u64) as usize;
    let mut bytes = whole.to_vec();
    for _ in 0..=below(3) {
        let at = below(bytes.len());
        let run = (1 + below(8)).min(bytes.len() - at);
        match below(if is_text { 7 } else { 6 }) {
            0 => bytes[at] ^= 1 << below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at..at + run)),
            3 => bytes[at..at + run].fill([0, 0xff, 0x7f, 1][below(4)]),
            4 => {
                let again = bytes[at..at + run].to_vec();
                bytes.splice(at..at, again.repeat(1 + below(50)));
            }
            // The sizes stand at the beginning.
            5 => {
                let at = below(bytes.len().min(64));
                bytes[at] = [0, 0xff, 0x80][below(3)];
            }
            _ => {
                let numbers: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i].is_ascii_digit()).collect();
                if let Some(&start) = numbers.get(below(numbers.len())) {
                    let end = (start..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
                    bytes.splice(start..end, NUMBERS[below(NUMBERS.len())].bytes());
                }
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// Gives every damaged copy of a file to `read`, in a place of its own.
fn every_damage(file: &Path, as_name: &str, cases: u64, read: impl Fn(&Path)) {
    let whole = fs::read(file).unwrap();
    let is_text = std::str::from_utf8(&whole).is_ok();
    let name = file.display().to_string();
    let label = name.rsplit("golden/").next().unwrap();
    let dir = tempfile::tempdir().unwrap();
    for case in 0..cases {
        fs::write(dir.path().join(as_name), damaged(&whole, label, case, is_text)).unwrap();
        let read = std::panic::AssertUnwindSafe(|| read(dir.path()));
        assert!(std::panic::catch_unwind(read).is_ok(), "{label}, case {case}");
    }
}

#[test]
fn tokenizers() {
    for kind in ["byte_level", "sentencepiece_bpe", "unigram"] {
        every_damage(&golden(&format!("tokenizers/{kind}/tokenizer.json")), "tokenizer.json", 150, |dir| {
            if let Ok(tokenizer) = Tokenizer::from_dir(dir) {
                let _ = tokenizer
                    .encode_joint("The cat's 12 ", "naïve 🦀\n", true)
                    .map(|j| tokenizer.decode(&j.tokens, true));
            }
        });
    }
}

/// The table of SentencePiece's normalisation, cut short at every place, is damaged when it is read or when a text
/// meets it.
#[test]
fn a_precompiled_charsmap_cut_short_is_an_error() {
    let json = |map: &str| {
        format!(
            r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": {{"type": "Precompiled", "precompiled_charsmap": "{map}"}}, "pre_tokenizer": null,
            "post_processor": null, "decoder": null,
            "model": {{"type": "BPE", "vocab": {{"a": 0, "b": 1}}, "merges": [], "unk_token": null}}}}"#
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let mut errors = 0;
    for map in ["", "AA==", "AAAAAA==", "BAAAAAAEAAA=", "AAQAAAAEAAA=", "CAAAAAAEAAAABAAA", "/////w=="] {
        fs::write(dir.path().join("tokenizer.json"), json(map)).unwrap();
        let read = Tokenizer::from_dir(dir.path()).and_then(|tokenizer| tokenizer.encode("ab ﬁ", true));
        errors += usize::from(read.is_err());
    }
    assert!(errors > 0, "none of them is damaged");
}

#[test]
fn configurations() {
    for model in ["llama2_gqa", "llama_rope_yarn", "qwen3", "mpt", "smollm3_nope"] {
        every_damage(&golden(&format!("logits/{model}/config.json")), "config.json", 200, |dir| {
            let _ = DecoderConfig::from_dir(dir);
            let _ = fs::rename(dir.join("config.json"), dir.join("generation_config.json"));
            let _ = GenerationDefaults::from_dir(dir);
            let _ = fs::rename(dir.join("generation_config.json"), dir.join("tokenizer_config.json"));
            let _ = TokenizerConfig::from_dir(dir);
        });
    }
    every_damage(&golden("adapters/patterns/adapter_config.json"), "adapter_config.json", 200, |dir| {
        let model = DecoderConfig::from_dir(&golden("logits/llama2_gqa")).unwrap();
        let _ = AdapterConfig::from_dir(dir).map(|config| config.targets(&model));
    });
}

#[test]
fn sizes_beyond_all_reason_are_refused_before_anything_is_made() {
    let text = fs::read_to_string(golden("logits/llama2_gqa/config.json")).unwrap();
    for (key, size) in [
        ("num_hidden_layers", 1_000_000_000_u64),
        ("hidden_size", 1 << 60),
        ("vocab_size", 1 << 40),
        ("num_attention_heads", u64::MAX),
        ("head_dim", 1 << 60),
        ("intermediate_size", 1 << 50),
    ] {
        let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json[key] = size.into();
        let error = DecoderConfig::from_json(&json.to_string(), Path::new("config.json")).unwrap_err().to_string();
        assert!(error.contains("config.json") && error.contains(&size.to_string()), "{key}: {error}");
    }
}

#[test]
fn weights() {
    for model in ["llama2_gqa", "mpt"] {
        let dir = golden(&format!("logits/{model}"));
        let config = DecoderConfig::from_dir(&dir).unwrap();
        every_damage(&dir.join("model.safetensors"), "model.safetensors", 200, |dir| {
            let _ = Weights::from_dir(dir, &config);
        });
    }
}

#[test]
fn gguf_files() {
    let files: Vec<PathBuf> = fs::read_dir(golden("gguf"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gguf"))
        .collect();
    assert!(!files.is_empty());
    for file in files {
        every_damage(&file, "m.gguf", 150, |dir| {
            if let Ok(model) = GgufModel::open(&dir.join("m.gguf")) {
                let _ = (model.tokenizer(), model.chat_template());
            }
        });
    }
}

/// Templates that would work, grow or nest without bound.
#[test]
fn templates_are_bounded() {
    let hostile = [
        format!("{{{{ {}1 }}}}", "1~".repeat(200_000)),
        format!("{{{{ {}true }}}}", "not ".repeat(200_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("{{{{ {}1 }}}}", "-".repeat(100_000)),
        format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(50_000)),
        format!("{{{{ messages{} }}}}", "[0]".repeat(100_000)),
        format!("{{{{ messages{} }}}}", "|list".repeat(100_000)),
        r#"{{ "%1e10d"|format(1) }}"#.to_owned(),
        r#"{{ "%10000000000d"|format(1) }}"#.to_owned(),
        r#"{{ "{:>10000000000}".format(1) }}"#.to_owned(),
        r"{{ 'x'|indent(10000000000) }}".to_owned(),
        r"{{ messages|tojson(indent=10000000000) }}".to_owned(),
        r"{{ 'x' * 10000000000 }}".to_owned(),
        concat!(
            r"{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}x",
            r"{% endfor %}{% endfor %}{% endfor %}"
        )
        .to_owned(),
        concat!(
            r"{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}",
            r"{% endfor %}{{ ns.x }}"
        )
        .to_owned(),
        concat!(
            r"{% set ns = namespace(x='x') %}{% for i in range(99) %}",
            r"{% set ns.x = ns.x.replace('x', 'xx') %}{% endfor %}{{ ns.x }}"
        )
        .to_owned(),
        concat!(
            r"{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}",
            r"{% endfor %}{{ ns.x }}"
        )
        .to_owned(),
        concat!(
            r"{% set ns = namespace(x=[1]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}",
            r"{% endfor %}{{ ns.x|tojson }}"
        )
        .to_owned(),
        concat!(
            r"{% set ns = namespace(x=[1]) %}{% for i in range(99) %}",
            r"{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}"
        )
        .to_owned(),
        r"{%}{{ 1 }}".to_owned(),
        r"{%}}{% generation %}{%".to_owned(),
        r"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "x".repeat(2 << 20),
    ];
    for template in hostile {
        let start = std::time::Instant::now();
        let rendered = ChatTemplate::new(&template, SpecialTokens::default())
            .and_then(|t| t.render(&[Message::new("user", "Hi")], &ChatOptions::default()));
        let shown: String = template.chars().take(80).collect();
        // Some are no more than odd once they are read: what they give is short.
        let length = rendered.map_or(0, |text| text.len());
        assert!(length < 1000, "{shown} gives {length} bytes");
        assert!(start.elapsed().as_secs() < 20, "{shown} took {:?}", start.elapsed());
    }
}

/// Damaged copies of the templates of well-known models, rendered.
#[test]
fn chat_templates() {
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(golden("chat.json")).unwrap()).unwrap();
    let mut templates = Vec::new();
    find_templates(&json, &mut templates);
    assert!(templates.len() > 3, "the golden file has templates");
    for (number, template) in templates.iter().enumerate() {
        for case in 0..60 {
            let bytes = damaged(template.as_bytes(), &format!("template {number}"), case, true);
            let text = String::from_utf8_lossy(&bytes);
            let render = std::panic::AssertUnwindSafe(|| {
                let turns = [Message::new("system", "S"), Message::new("user", "U"), Message::new("assistant", "A")];
                let _ = ChatTemplate::new(&text, SpecialTokens::default())
                    .and_then(|t| t.conversation(&turns, &ChatOptions::default()));
            });
            assert!(std::panic::catch_unwind(render).is_ok(), "template {number}, case {case}");
        }
    }
}

fn find_templates(json: &serde_json::Value, found: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) if text.contains("{%") && !found.contains(text) => found.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| find_templates(item, found)),
        serde_json::Value::Object(items) => items.values().for_each(|item| find_templates(item, found)),
        _ => {}
    }
}
