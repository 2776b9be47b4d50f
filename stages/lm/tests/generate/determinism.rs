//! The same rows whatever the batch size, slot, order, thread count, sharing, or point of resume: to the last bit.

use std::{collections::BTreeMap, path::Path};

use candle_core::{DType, Device};
use pipe_lm::{
    config::DecoderConfig,
    generate::{Completion, Generator, GeneratorOptions, Request, SamplingParams},
    model::Decoder,
    quant::Rounded,
    train::init::SeededWeights,
    weights::Weights,
};

use crate::{
    common::{decoder, generator, golden, run, tokens},
    local::adapter,
};

/// `rows` rows with prompts of many lengths, most of which begin alike.
fn requests(rows: u32) -> Vec<Request> {
    let shared: Vec<u32> = (0..40).map(|i| 4 + (i * 31) % 90).collect();
    (0..rows)
        .map(|i| {
            let own = (0..=(i % 13)).map(|j| 4 + (i * 17 + j * 5) % 90);
            let common = match i % 4 {
                0 => &shared[..0],
                1 => &shared[..20],
                _ => &shared[..],
            };
            tokens(&format!("row {i}"), &common.iter().copied().chain(own).collect::<Vec<_>>())
        })
        .collect()
}

fn params() -> SamplingParams {
    SamplingParams {
        temperature: 0.9,
        top_p: 0.95,
        repetition_penalty: 1.1,
        max_new_tokens: 20,
        logprobs: true,
        seed: [3; 32],
        ..SamplingParams::default()
    }
}

/// Everything that a completion is, floats by their bits.
fn bits(done: BTreeMap<String, Completion>) -> Vec<(String, Vec<u32>, Vec<u32>, String)> {
    done.into_values()
        .map(|c| {
            let logprobs = c.logprobs.unwrap().into_iter().map(f32::to_bits).collect();
            (c.id, c.tokens, logprobs, c.text)
        })
        .collect()
}

fn with(generator: &Generator, change: impl FnOnce(&mut GeneratorOptions)) -> Generator {
    let mut options = GeneratorOptions::default();
    change(&mut options);
    generator.clone().with_options(options)
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

fn assert_same_rows(generator: &Generator, rows: u32) {
    let requests = || requests(rows);
    let reference = bits(run(generator, requests(), &params()).unwrap());
    assert_eq!(reference.len(), rows as usize);
    let distinct: std::collections::BTreeSet<_> = reference.iter().map(|row| &row.1).collect();
    assert!(3 * distinct.len() > 2 * reference.len(), "rows must differ for this to mean anything");
    let check = |what: &str, generator: Generator, requests: Vec<Request>, threads| {
        let found = on_threads(threads, || bits(run(&generator, requests, &params()).unwrap()));
        for row in &found {
            let expected = reference.iter().find(|expected| expected.0 == row.0).unwrap();
            assert_eq!(row, expected, "{what}");
        }
        assert!(!found.is_empty());
    };
    let reversed = || requests().into_iter().rev().collect::<Vec<_>>();
    let shuffled = || {
        let mut all = requests();
        all.sort_by_key(|request| *blake3::hash(request.id.as_bytes()).as_bytes());
        all
    };
    check("one thread", generator.clone(), requests(), 1);
    check("one slot", with(generator, |o| o.slots = 1), requests(), 2);
    check("three slots, reversed, one thread", with(generator, |o| o.slots = 3), reversed(), 1);
    check("64 slots, shuffled", generator.clone(), shuffled(), 2);
    check("nothing shared", with(generator, |o| o.share_prefixes = false), shuffled(), 2);
    check("prompts in pieces of five", with(generator, |o| o.prompt_tokens_per_step = 5), shuffled(), 2);
    check("little memory", with(generator, |o| o.max_cache_bytes = 200_000), shuffled(), 2);
    // What a run interrupted halfway would have left to do.
    let rest = requests().split_off(reference.len() / 2);
    check("the rest", generator.clone(), rest, 2);
}

#[test]
fn llama() {
    assert_same_rows(&generator(&decoder("llama2_gqa", DType::F32), &[]), 90);
}

#[test]
fn sliding_window() {
    assert_same_rows(&generator(&decoder("mistral_window", DType::F32), &[]), 90);
}

#[test]
fn alibi_in_sixteen_bits() {
    assert_same_rows(&generator(&decoder("mpt_6_heads", DType::F16), &[]), 90);
}

#[test]
fn qk_norm_with_an_adapter() {
    let mut decoder = decoder("qwen3", DType::BF16);
    let adapter = adapter(&decoder, 1);
    decoder.add_adapter("a", &adapter).unwrap();
    assert_same_rows(&generator(&decoder, &[]).with_adapter(Some("a")).unwrap(), 90);
}

#[test]
fn activations_in_eight_bits_with_an_adapter() {
    let config = DecoderConfig::from_dir(&golden("qwen3")).unwrap();
    let weights = Weights::from_dir(&golden("qwen3"), &config).unwrap();
    let [rounding, plain] = [true, false].map(|activations| {
        let mut source = Rounded { weights: &weights, config: &config, activations };
        let mut decoder = Decoder::build(&config, &mut source, &Device::Cpu, DType::F32).unwrap();
        decoder.add_adapter("a", &adapter(&decoder, 1)).unwrap();
        generator(&decoder, &[]).with_adapter(Some("a")).unwrap()
    });
    assert_same_rows(&rounding, 90);
    let greedy = SamplingParams { temperature: 0.0, max_new_tokens: 1, logprobs: true, ..params() };
    let first = |generator| -> Vec<f32> {
        run(generator, requests(90), &greedy).unwrap().into_values().map(|row| row.logprobs.unwrap()[0]).collect()
    };
    let (rounding, plain) = (first(&rounding), first(&plain));
    let mut off: Vec<f32> = rounding.iter().zip(&plain).map(|(a, b)| (a - b).abs()).collect();
    off.sort_by(f32::total_cmp);
    assert!(off[45] > 0.0 && off[45] < 0.02, "half of the rows: {}", off[45]);
}

#[test]
fn a_model_large_enough_for_a_team_of_threads() {
    let json = r#"{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 640,
        "num_hidden_layers": 4, "num_attention_heads": 10, "num_key_value_heads": 5, "intermediate_size": 1728,
        "vocab_size": 97, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": true, "torch_dtype": "float32"}"#;
    let config = DecoderConfig::from_json(json, Path::new("config.json")).unwrap();
    let mut weights = SeededWeights { config: &config, seed: 0, std: 0.1, device: &Device::Cpu };
    let decoder = Decoder::build(&config, &mut weights, &Device::Cpu, DType::F32).unwrap();
    assert_same_rows(&generator(&decoder, &[]), 24);
}

#[test]
fn another_seed_gives_other_rows() {
    let generator = generator(&decoder("llama2_gqa", DType::F32), &[]);
    let draw = |seed| {
        let params = SamplingParams { seed: [seed; 32], ..params() };
        bits(run(&generator, requests(90), &params).unwrap())
    };
    assert_eq!(draw(1), draw(1));
    let (first, second) = (draw(1), draw(2));
    let equal = first.iter().zip(&second).filter(|(a, b)| a.1 == b.1).count();
    assert!(equal < 5, "{equal} of 90 rows are the same under two seeds");
}
