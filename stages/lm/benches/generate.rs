//! New tokens per second of batched generation.
//!
//!     cargo bench -p pipe-lm --bench generate -- MODEL [rows [new_tokens [prompt_tokens [repeats [form]]]]]
//!
//! MODEL is a folder of a checkpoint, or a GGUF file; `form` that of a checkpoint's weights: f32, bf16, q8_0, w8a8 or
//! nf4.
//! Prints one line of JSON per repeat. `benches/peers/generate.py` and `engines.py` run this and its peers in turns.
#![expect(clippy::print_stdout, reason = "a benchmark reports")]

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use candle_core::{DType, Device};
use pipe_lm::{
    config::DecoderConfig,
    generate::{Backend, Completion, Generator, Prompt, Request, SamplingParams},
    gguf::GgufModel,
    model::{Decoder, Dense, Inference, WeightProvider},
    quant::{Quantized, Rounded},
    tokenizer::{SpecialTokens, Tokenizer},
    weights::Weights,
};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    // Test runners start benchmarks too, without a model.
    let Some(model) = arguments.first().map(PathBuf::from).filter(|model| model.exists()) else { return };
    let number = |i: usize, default: usize| arguments.get(i).map_or(default, |a| a.parse().unwrap());
    let (rows, new, prompt, repeats) = (number(1, 64), number(2, 128), number(3, 16), number(4, 3));

    let (config, decoder) = load(&model, arguments.get(5).map_or("f32", String::as_str));
    let inference = Arc::new(Inference::new(&decoder).unwrap());
    drop(decoder);
    let generator = Generator::new(inference, Arc::new(tokenizer(config.vocab_size)), &[]);
    for repeat in 0..repeats {
        for temperature in [0.0, 0.9] {
            let params = SamplingParams {
                max_new_tokens: new,
                ignore_eos: true,
                temperature,
                top_p: if temperature > 0.0 { 0.95 } else { 1.0 },
                ..SamplingParams::default()
            };
            let mut requests = (0..rows).map(|row| {
                // The prompts of peers/generate.py.
                let ids = (0..prompt).map(|i| (3 + (row * 131 + i * 31 + repeat) % (config.vocab_size - 3)) as u32);
                Request { id: row.to_string(), prompt: Prompt::Tokens(ids.collect()) }
            });
            let begin = Instant::now();
            let keep = &mut |_: Completion| ControlFlow::Continue(());
            let usage = generator.complete(&mut requests, &params, keep).unwrap();
            let seconds = begin.elapsed().as_secs_f64();
            assert_eq!(usage.completion_tokens as usize, rows * new);
            let rate = usage.completion_tokens as f64 / seconds;
            println!("{{\"temperature\": {temperature}, \"seconds\": {seconds:.4}, \"tokens_per_second\": {rate:.0}}}");
        }
    }
}

fn load(model: &Path, form: &str) -> (DecoderConfig, Decoder) {
    if model.is_file() {
        let gguf = GgufModel::open(model).unwrap();
        let config = gguf.config().clone();
        let decoder = Decoder::build(&config, &mut &gguf, &Device::Cpu, DType::F32).unwrap();
        return (config, decoder);
    }
    let config = DecoderConfig::from_dir(model).unwrap();
    let weights = Weights::from_dir(model, &config).unwrap();
    let build =
        |provider: &mut dyn WeightProvider| Decoder::build(&config, provider, &Device::Cpu, DType::F32).unwrap();
    let decoder = match form {
        "f32" => Decoder::load(&config, &weights, &Device::Cpu, DType::F32).unwrap(),
        "bf16" => build(&mut Dense { weights: &weights, device: &Device::Cpu, dtype: DType::BF16 }),
        "q8_0" => build(&mut Rounded { weights: &weights, config: &config, activations: false }),
        "w8a8" => build(&mut Rounded { weights: &weights, config: &config, activations: true }),
        "nf4" => build(&mut Quantized { weights: &weights, config: &config, dtype: DType::BF16 }),
        other => panic!("no form of weights: {other}"),
    };
    (config, decoder)
}

/// One word per id: random checkpoints have no tokenizer, and generation ends in decoding.
fn tokenizer(vocab: usize) -> Tokenizer {
    let words: serde_json::Map<_, _> = (0..vocab).map(|id| (format!("w{id}"), id.into())).collect();
    let json = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": words, "unk_token": "w0" },
    });
    let inner = tokenizers::Tokenizer::from_bytes(json.to_string()).unwrap();
    Tokenizer::new(inner, SpecialTokens::default(), PathBuf::from("words")).unwrap()
}
