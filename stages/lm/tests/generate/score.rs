//! Log-probabilities of given texts: against lm-evaluation-harness, and the same whatever they are read with.

use std::{collections::BTreeMap, ops::ControlFlow, path::PathBuf, sync::Arc};

use candle_core::{DType, Device};
use pipe_lm::{
    config::DecoderConfig,
    generate::{
        FinishReason, Generator, GeneratorOptions, Likelihood, Prompt, ScoreRequest, ScoreText, Scored, Scorer,
    },
    model::{Decoder, Inference},
    tokenizer::Tokenizer,
    weights::Weights,
};
use serde_json::Value;

use crate::common::{decoder, generator};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/likelihoods");

fn nano() -> Generator {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/models/nano");
    let config = DecoderConfig::from_dir(&folder).unwrap();
    let weights = Weights::from_dir(&folder, &config).unwrap();
    let decoder = Decoder::load(&config, &weights, &Device::Cpu, DType::F32).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_dir(&folder).unwrap());
    Generator::new(Arc::new(Inference::new(&decoder).unwrap()), tokenizer, &config.eos_token_ids)
}

fn lines(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(format!("{FOLDER}/expected.json")).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn after(id: &str, context: &str, continuations: &[String]) -> ScoreRequest {
    let context = Prompt::Text(context.to_owned());
    let text = ScoreText::Continuations { context, continuations: continuations.to_vec() };
    ScoreRequest { id: id.to_owned(), text }
}

fn choices() -> Vec<ScoreRequest> {
    let request = |line: &Value| {
        let labels: Vec<String> = line["labels"].as_array().unwrap().iter().map(|l| format!(" {}", text(l))).collect();
        after(&text(&line["id"]), line["instruction"].as_str().unwrap(), &labels)
    };
    lines("choices.jsonl").iter().map(request).collect()
}

fn texts() -> Vec<ScoreRequest> {
    let request = |line: &Value| ScoreRequest { id: text(&line["id"]), text: ScoreText::Whole(text(&line["text"])) };
    lines("texts.jsonl").iter().map(request).collect()
}

type Found = BTreeMap<String, Result<Vec<Likelihood>, (FinishReason, String)>>;

fn scores(generator: &Generator, requests: Vec<ScoreRequest>) -> Found {
    let mut found = BTreeMap::new();
    let mut sink = |scored: Scored| {
        assert!(found.insert(scored.id, scored.found).is_none());
        ControlFlow::Continue(())
    };
    generator.score(&mut requests.into_iter(), &mut sink).unwrap();
    found
}

/// f32 sums in another order: a ten-thousandth of a unit per token is far above what they differ by.
fn close(found: Likelihood, expect: &Value, what: &str) {
    let expect = expect.as_f64().unwrap();
    let error = (found.logprob - expect).abs();
    assert!(error < 1e-4 + 2e-6 * expect.abs(), "{what}: {found:?}, expected {expect}");
}

#[test]
fn continuations_are_as_probable_as_the_harness_says() {
    let (found, expected) = (scores(&nano(), choices()), expected());
    assert_eq!(found.len(), expected["choices"].as_object().unwrap().len());
    for (id, found) in found {
        let answers = expected["choices"][&id]["answers"].as_array().unwrap();
        for (found, expect) in found.unwrap().into_iter().zip(answers) {
            close(found, &expect[0], &id);
            assert_eq!(found.greedy, expect[1].as_bool().unwrap());
        }
    }
}

#[test]
fn white_space_between_the_two_belongs_where_the_harness_puts_it() {
    let generator = nano();
    for pair in expected()["pairs"].as_array().unwrap() {
        let request = after("x", pair[0].as_str().unwrap(), &[text(&pair[1])]);
        let found = scores(&generator, vec![request]).remove("x").unwrap().unwrap()[0];
        close(found, &pair[2], &pair.to_string());
        assert_eq!(found.greedy, pair[3].as_bool().unwrap(), "{pair}");
    }
}

#[test]
fn whole_texts_are_as_probable_as_the_harness_says_windows_and_all() {
    let (found, expected) = (scores(&nano(), texts()), expected());
    assert!(found["t4"].as_ref().unwrap()[0].tokens > 5 * 512);
    for (id, found) in found {
        close(found.unwrap()[0], &expected["texts"][&id], &id);
    }
}

/// To the last bit.
#[test]
fn scores_do_not_depend_on_what_they_are_read_with() {
    type Bits = (u64, usize, bool);
    let bits = |found: Found| -> Vec<(String, Vec<Bits>)> {
        let of = |l: Likelihood| (l.logprob.to_bits(), l.tokens, l.greedy);
        found.into_iter().map(|(id, found)| (id, found.unwrap().into_iter().map(of).collect())).collect()
    };
    let generator = nano();
    let all = || choices().into_iter().chain(texts());
    let expect = bits(scores(&generator, all().collect()));
    for options in [
        GeneratorOptions { slots: 1, ..GeneratorOptions::default() },
        GeneratorOptions { slots: 2, prompt_tokens_per_step: 7, ..GeneratorOptions::default() },
        GeneratorOptions { prompt_tokens_per_step: 100, max_cache_bytes: 4 << 20, ..GeneratorOptions::default() },
    ] {
        let found = scores(&generator.clone().with_options(options), all().rev().collect());
        assert_eq!(bits(found), expect, "{options:?}");
    }
    let alone = all().flat_map(|request| bits(scores(&generator, vec![request])));
    let mut alone: Vec<_> = alone.collect();
    alone.sort();
    assert_eq!(alone, expect);
}

/// The probability of each token in a generation is that of the same token in a text that is given.
#[test]
fn a_text_is_as_probable_as_when_it_was_written() {
    use pipe_lm::generate::{Request, SamplingParams};

    let decoder = decoder("qwen3", DType::F32);
    let generator = generator(&decoder, &[2]);
    let params = SamplingParams { logprobs: true, ignore_eos: true, max_new_tokens: 12, ..SamplingParams::default() };
    let request = Request::text("x", "What is it?");
    let written = crate::common::run(&generator, vec![request], &params).unwrap().remove("x").unwrap();
    let text = ScoreText::Continuations {
        context: Prompt::Text("What is it?".to_owned()),
        continuations: vec![written.text.clone()],
    };
    let scored = scores(&generator, vec![ScoreRequest { id: "x".to_owned(), text }]);
    let scored = scored["x"].as_ref().unwrap()[0];
    // Special tokens are no part of the text.
    if scored.tokens == written.tokens.len() {
        let sum: f64 = written.logprobs.unwrap().into_iter().map(f64::from).sum();
        assert!(scored.greedy && (scored.logprob - sum).abs() < 1e-4, "{scored:?} and {sum}");
    } else {
        panic!("{} tokens were written, {} scored: {:?}", written.tokens.len(), scored.tokens, written.text);
    }
}

#[test]
fn a_row_that_does_not_fit_ends_no_other() {
    let long = "word ".repeat(600);
    let requests = vec![after("long", &long, &[" x".to_owned()]), after("short", "A", &[" x".to_owned()])];
    let found = scores(&nano(), requests);
    assert!(found["short"].is_ok());
    let (finish, why) = found["long"].as_ref().unwrap_err();
    assert_eq!(*finish, FinishReason::TooLong);
    assert!(why.ends_with("the model's context is 512"), "{why}");
}
