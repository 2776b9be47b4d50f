//! GGUF: every encoding against the `gguf` package, logits against `transformers`, ids against llama.cpp, and our own
//! exports read back.

use std::{collections::BTreeMap, fs, path::PathBuf};

use candle_core::{DType, Device};
use pipe_lm::{
    adapter::Merged,
    config::{Activation, DecoderConfig, Position, Rope, RopeScaling},
    gguf::{GgufModel, GgufType, export_gguf, export_gguf_again},
    model::{Adapter, Decoder, LoraWeights, PackedBatch},
    tokenizer::Tokenizer,
    weights::{LayerParam, Linear, Param, Weights},
};
use serde::Deserialize;

use crate::support::{chain, golden, golden_text};

#[derive(Deserialize)]
struct Expected {
    tensors: BTreeMap<String, Moments>,
    prompt: Vec<u32>,
    logits: Vec<Vec<f32>>,
    texts: Vec<Text>,
}

#[derive(Deserialize)]
struct Moments {
    sum: f64,
    squares: f64,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    ids: Vec<u32>,
}

fn mixed() -> (GgufModel, Expected) {
    let expected = serde_json::from_str(&golden_text("gguf/expected.json")).unwrap();
    (GgufModel::open(&golden("gguf/mixed.gguf")).unwrap(), expected)
}

fn logits(decoder: &Decoder, prompt: &[u32]) -> Vec<Vec<f32>> {
    let hidden = decoder.forward_train(&PackedBatch::new([prompt.to_vec()]), None).unwrap();
    decoder.logits(&hidden).unwrap().to_vec2().unwrap()
}

fn build(model: &GgufModel) -> Decoder {
    let mut source = model;
    Decoder::build(model.config(), &mut source, &Device::Cpu, DType::F32).unwrap()
}

fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!(a.len(), b.len());
    let rows = a.iter().zip(b).flat_map(|(a, b)| a.iter().zip(b));
    rows.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_encoding_means_what_the_gguf_package_says() {
    let (model, expected) = mixed();
    let layer = |linear| Param::Layer(0, LayerParam::Weight(linear));
    let params = [
        ("token_embd", Param::Embedding),
        ("output", Param::LmHead),
        ("blk.0.attn_q", layer(Linear::Q)),
        ("blk.0.attn_k", layer(Linear::K)),
        ("blk.0.attn_v", layer(Linear::V)),
        ("blk.0.attn_output", layer(Linear::O)),
        ("blk.0.ffn_gate", layer(Linear::Gate)),
        ("blk.0.ffn_up", layer(Linear::Up)),
        ("blk.0.ffn_down", layer(Linear::Down)),
    ];
    assert_eq!(params.len(), expected.tensors.len());
    for (name, param) in params {
        let values: Vec<f32> = model.load(param).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let sum: f64 = values.iter().map(|x| f64::from(*x)).sum();
        let squares: f64 = values.iter().map(|x| f64::from(*x).powi(2)).sum();
        let expect = &expected.tensors[name];
        assert!((sum - expect.sum).abs() < 1e-3 * (1.0 + expect.sum.abs()), "{name}: {sum} is not {}", expect.sum);
        assert!((squares / expect.squares - 1.0).abs() < 1e-5, "{name}: {squares} is not {}", expect.squares);
    }
}

#[test]
fn logits_of_a_quantised_model_are_those_of_transformers() {
    let (model, expected) = mixed();
    let found = logits(&build(&model), &expected.prompt);
    let d = distance(&found, &expected.logits);
    assert!(d < 1e-4, "{d}");
    let largest = expected.logits.iter().flatten().fold(0.0f32, |m, x| m.max(x.abs()));
    assert!(largest > 0.1, "the logits say nothing: {largest}");
}

#[test]
fn the_tokenizer_inside_gives_the_ids_of_llama_cpp() {
    let (model, expected) = mixed();
    let tokenizer = model.tokenizer().unwrap();
    for text in &expected.texts {
        assert_eq!(tokenizer.encode(&text.text, true).unwrap(), text.ids, "{:?}", text.text);
    }
    tokenizer.check_fits(model.config()).unwrap();
    assert!(model.chat_template().unwrap().unwrap().contains("m.content"));
}

/// A golden checkpoint with a golden tokenizer, its vocabulary padded to the tokenizer's size.
struct Source {
    config: DecoderConfig,
    weights: Weights,
    tokenizer: Tokenizer,
}

fn source(checkpoint: &str, tokenizer: &str) -> Source {
    let dir = golden("logits").join(checkpoint);
    let small = DecoderConfig::from_dir(&dir).unwrap();
    let tokenizer = Tokenizer::from_dir(&golden("tokenizers").join(tokenizer)).unwrap();
    let config = DecoderConfig { vocab_size: tokenizer.len(), ..small.clone() };
    let from = Weights::from_dir(&dir, &small).unwrap();
    let grow = |param: Param| {
        let tensor = from.load(param, DType::F32, &Device::Cpu).unwrap();
        let more = config.vocab_size - small.vocab_size;
        match param {
            Param::Embedding | Param::LmHead => tensor.pad_with_zeros(0, 0, more).unwrap(),
            _ => tensor,
        }
    };
    let tensors = Param::all(&small).into_iter().map(|p| (p.name(small.family), grow(p))).collect();
    Source { weights: Weights::from_tensors(tensors, &config).unwrap(), config, tokenizer }
}

#[test]
fn our_exports_are_the_same_model_again() {
    // (checkpoint, tokenizer, encoding, tolerance of the logits)
    let cases = [
        ("llama2_gqa", "sentencepiece_bpe", GgufType::F32, 1e-5),
        ("llama2_gqa", "sentencepiece_bpe", GgufType::F16, 2e-2),
        ("llama_rope_llama3", "byte_level", GgufType::F32, 1e-5),
        ("llama_rope_linear", "byte_level", GgufType::F32, 1e-5),
        ("llama_rope_yarn", "byte_level", GgufType::F32, 1e-5),
        ("qwen2", "byte_level", GgufType::F32, 1e-5),
        ("qwen3", "byte_level", GgufType::F32, 1e-5),
    ];
    for (checkpoint, tokenizer, stored, tolerance) in cases {
        let Source { config, weights, tokenizer } = source(checkpoint, tokenizer);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        let merged = Merged::new(&weights, &config, None, None);
        export_gguf(&path, &merged, &tokenizer, Some("{{ 1 }}"), &config.eos_token_ids, stored).unwrap();
        let read = GgufModel::open(&path).unwrap();
        let prompt = [3, 17, 5, 9, 1, 12, 30, 4];
        let plain = Decoder::load(&config, &weights, &Device::Cpu, DType::F32).unwrap();
        let d = distance(&logits(&build(&read), &prompt), &logits(&plain, &prompt));
        assert!(d <= tolerance, "{checkpoint} as {stored:?}: {d}");
        assert_eq!(read.chat_template().unwrap().as_deref(), Some("{{ 1 }}"));
        let again = read.tokenizer().unwrap();
        for text in ["The patient was given 250 mg.", " two  spaces\n\tand 日本 🦀", "<s>x</s><|im_end|>", ""] {
            let (ours, theirs) = (again.encode(text, true).unwrap(), tokenizer.encode(text, true).unwrap());
            assert_eq!(ours, theirs, "{checkpoint}: {text:?}");
            assert_eq!(again.decode(&ours, true).unwrap(), tokenizer.decode(&theirs, true).unwrap());
        }
    }
}

/// Tensors of every type, one of them changed: what is not changed is the same bytes, and the whole computes what the
/// blocks compute with the adapter beside them.
#[test]
fn an_adapter_is_folded_into_a_file_of_blocks() {
    let (base, expected) = mixed();
    let config = base.config();
    let module = Linear::Q.path(config.family, 0);
    let [out, inner] = Linear::Q.shape(config);
    let values = |rows: usize, columns: usize| {
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 500.0).collect();
        candle_core::Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap()
    };
    let lora = LoraWeights { a: values(4, inner), b: values(out, 4), scale: 2.0, dropout: 0.0 };
    let adapter = Adapter { modules: [(module, lora)].into() };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.gguf");
    export_gguf_again(&path, &base, &adapter, GgufType::F32).unwrap();
    let again = GgufModel::open(&path).unwrap();
    let mut beside = build(&base);
    let plain = logits(&beside, &expected.prompt);
    beside.add_adapter("x", &adapter).unwrap();
    beside.set_adapter(Some("x")).unwrap();
    let (within, beside) = (logits(&build(&again), &expected.prompt), logits(&beside, &expected.prompt));
    assert!(distance(&within, &beside) < 1e-4, "{}", distance(&within, &beside));
    assert!(distance(&plain, &beside) > 1e-2, "the adapter does something");
    let text = expected.texts.iter().map(|text| text.text.clone()).collect::<String>();
    let ids = |model: &GgufModel| model.tokenizer().unwrap().encode(&text, true).unwrap();
    assert_eq!((ids(&again), again.chat_template().unwrap()), (ids(&base), base.chat_template().unwrap()));
    for param in Param::all(config) {
        let values = |model: &GgufModel| model.load(param).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let changed = param == Param::Layer(0, LayerParam::Weight(Linear::Q));
        assert_eq!(values(&again) != values(&base), changed, "{param:?}");
    }
}

/// Blocks of 32 with one f16 scale: no value is off by more than half a step, and a bit for the scale's own rounding.
#[test]
fn eight_bits_round_to_the_nearest_step() {
    let Source { config, weights, tokenizer } = source("llama2_gqa", "sentencepiece_bpe");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    export_gguf(
        &path,
        &Merged::new(&weights, &config, None, None),
        &tokenizer,
        None,
        &config.eos_token_ids,
        GgufType::Q8_0,
    )
    .unwrap();
    let read = GgufModel::open(&path).unwrap();
    for param in Param::all(&config) {
        let flat = |t: candle_core::Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let exact = flat(weights.load(param, DType::F32, &Device::Cpu).unwrap());
        let found = flat(read.load(param).unwrap());
        for (exact, found) in exact.chunks(32).zip(found.chunks(32)) {
            let largest = exact.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            for (a, b) in exact.iter().zip(found) {
                assert!((a - b).abs() <= largest * (0.5 / 127.0 + 1e-3), "{param:?}: {b} is not {a} (of {largest})");
            }
        }
    }
}

#[test]
fn what_llama_cpp_could_not_run_is_not_written() {
    let check = |checkpoint: &str, expect: &str| {
        let Source { config, weights, tokenizer } = source(checkpoint, "byte_level");
        let dir = tempfile::tempdir().unwrap();
        let merged = Merged::new(&weights, &config, None, None);
        let error =
            export_gguf(&dir.path().join("m.gguf"), &merged, &tokenizer, None, &config.eos_token_ids, GgufType::F16)
                .unwrap_err();
        assert_eq!(error.to_string(), format!("write a GGUF file of this model: {expect}"));
        assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
    };
    check("mpt", "the architecture MptForCausalLM is not supported");
    check("smollm3_nope", "the architecture SmolLM3ForCausalLM is not supported");
    check("mistral_window", "llama.cpp would ignore its sliding window");
}

#[test]
fn damaged_files_are_reported() {
    let bytes = fs::read(golden("gguf/mixed.gguf")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("m.gguf");
    let check = |bytes: &[u8], expect: &str| {
        fs::write(&path, bytes).unwrap();
        let found = chain(&GgufModel::open(&path).unwrap_err(), dir.path());
        assert!(found.starts_with(expect), "{found}");
    };
    let half = bytes.len() / 2;
    check(
        &bytes[..half],
        &format!(
            "read DIR/m.gguf: the file is truncated, {half} of {} bytes are there; download it again",
            bytes.len()
        ),
    );
    check(&bytes[..100], "read DIR/m.gguf as GGUF");
    check(b"<html>", "read DIR/m.gguf as GGUF");
    let renamed = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        let mut changed = bytes.clone();
        changed[at..at + to.len()].copy_from_slice(to);
        changed
    };
    check(&renamed(b"blk.0.ffn_up.weight", b"blk.0.ffn_ux"), "find `blk.0.ffn_up.weight` in DIR/m.gguf");
    check(
        &renamed(
            b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0llama",
            b"general.architecture\x08\0\0\0\x05\0\0\0\0\0\0\0bloom",
        ),
        "use DIR/m.gguf: the architecture `bloom` is not supported (supported: llama, qwen2, qwen3)",
    );
    let name = b"blk.0.ffn_up.weight";
    // Two dimensions behind their number, then the type.
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap() + name.len() + 4 + 16;
    let of_type = |code: u32| [&bytes[..at], &code.to_le_bytes(), &bytes[at + 4..]].concat();
    check(&of_type(23), "use DIR/m.gguf: it has tensors of type IQ4_XS, which is not supported (supported: F32");
    check(&of_type(99), "use DIR/m.gguf: it has tensors of type 99, which is not supported");
    let number = |key: &str, value: f32| {
        let key = [key.as_bytes(), &6u32.to_le_bytes()].concat();
        renamed(&key, &[&key[..], &value.to_le_bytes()].concat())
    };
    check(
        &number("llama.attention.layer_norm_rms_epsilon", f32::NAN),
        "use DIR/m.gguf: `llama.attention.layer_norm_rms_epsilon` is NaN, it must be positive",
    );
    check(&number("llama.rope.freq_base", 0.0), "use DIR/m.gguf: `llama.rope.freq_base` is 0, it must be positive");
}

/// One model, its configuration changed, as GGUF and back.
fn exported(change: impl FnOnce(&mut DecoderConfig)) -> Result<DecoderConfig, String> {
    let Source { mut config, weights, tokenizer } = source("llama_rope_yarn", "byte_level");
    change(&mut config);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let merged = Merged::new(&weights, &config, None, None);
    let ends = config.eos_token_ids.clone();
    export_gguf(&path, &merged, &tokenizer, None, &ends, GgufType::F32).map_err(|e| e.to_string())?;
    Ok(GgufModel::open(&path).unwrap().config().clone())
}

/// Everything that changes what a model computes is carried, or refused by name.
#[test]
fn what_a_file_has_no_place_for_is_refused_and_the_rest_is_carried() {
    let yarn = |attention: f64, fast: f64, slow: f64, truncate: bool| {
        move |config: &mut DecoderConfig| {
            let scaling = RopeScaling::Yarn {
                factor: 4.0,
                original_max_position_embeddings: 16,
                attention_factor: attention,
                beta_fast: fast,
                beta_slow: slow,
                truncate,
            };
            config.position = Position::Rope(Rope { theta: 10_000.0, scaling });
        }
    };
    for (attention, fast, slow) in [(0.1 * 4.0f64.ln() + 1.0, 32.0, 1.0), (0.75, 32.0, 1.0), (1.0, 24.0, 2.0)] {
        let Position::Rope(read) = exported(yarn(attention, fast, slow, true)).unwrap().position else { panic!() };
        let RopeScaling::Yarn { attention_factor, beta_fast, beta_slow, .. } = read.scaling else { panic!("{read:?}") };
        assert!((attention_factor - attention).abs() < 1e-6, "{attention_factor} is not {attention}");
        assert_eq!((beta_fast, beta_slow), (fast, slow));
    }
    assert!(exported(yarn(1.0, 32.0, 1.0, false)).unwrap_err().contains("truncate"));
    assert!(exported(|c| c.activation = Activation::GeluTanh).unwrap_err().contains("GeluTanh"));
    assert!(exported(|c| c.softmax_scale = 0.5).unwrap_err().contains("scaled"));
    assert_eq!(exported(|c| c.eos_token_ids = vec![0]).unwrap().eos_token_ids, [0]);
    let mut several = exported(|c| c.eos_token_ids = vec![0, 3, 2]).unwrap().eos_token_ids;
    several.sort_unstable();
    assert_eq!(several, [0, 2, 3]);
    assert!(exported(|c| c.eos_token_ids = vec![0, 1, 2, 3, 4]).unwrap_err().contains("5 tokens end a text"));
}

/// A tensor that nobody reads makes another model: the file is refused whole.
#[test]
fn tensors_beyond_the_described_model_are_an_error() {
    let Source { config, weights, tokenizer } = source("llama2_gqa", "sentencepiece_bpe");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.gguf");
    let merged = Merged::new(&weights, &config, None, None);
    export_gguf(&path, &merged, &tokenizer, None, &config.eos_token_ids, GgufType::F32).unwrap();
    let bytes = fs::read(&path).unwrap();
    let changed = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|w| w == from).unwrap();
        let mut changed = bytes.clone();
        changed[at..at + to.len()].copy_from_slice(to);
        fs::write(&path, &changed).unwrap();
        chain(&GgufModel::open(&path).unwrap_err(), dir.path())
    };
    let count = |layers: u32| [&b"llama.block_count\x04\0\0\0"[..], &layers.to_le_bytes()].concat();
    let there = config.num_layers() as u32;
    assert!(there > 1);
    let error = changed(&count(there), &count(there - 1));
    assert!(error.contains("its metadata describes a model without `blk."), "{error}");
    let error = changed(&count(there), &count(there + 1));
    assert!(error.contains("find `blk."), "{error}");
    let error = changed(&count(there), &count(1_000_000_000));
    assert!(error.contains("`llama.block_count` is 1000000000"), "{error}");
    let wide = |width: u32| [&b"llama.feed_forward_length\x04\0\0\0"[..], &width.to_le_bytes()].concat();
    let width = config.intermediate_size as u32;
    let error = changed(&wide(width), &wide(2 * width));
    assert!(error.contains("but its metadata asks for ["), "{error}");
    let error = changed(b"output_norm.weight", b"output_nora.weight");
    assert!(error.contains("output_norm.weight"), "{error}");
}
