//! The real checkpoint of the acceptance data.

use std::sync::Arc;

use candle_core::{DType, Device};
use pipe_lm::{
    config::{DecoderConfig, GenerationDefaults},
    generate::{Ends, Generator, Request, SamplingParams},
    model::{Decoder, Inference},
    tokenizer::Tokenizer,
    weights::Weights,
};

use crate::{common::run, data};

/// 200 greedy tokens of three prompts are those of `transformers` (tests/golden/make_logits.py --stories).
#[test]
#[ignore = "reads PIPE_TEST_DATA"]
fn greedy_stories_equal_transformers() {
    let dir = data::folder("tinystories-656k");
    let config = DecoderConfig::from_dir(&dir).unwrap();
    let weights = Weights::from_dir(&dir, &config).unwrap();
    let decoder = Decoder::load(&config, &weights, &Device::Cpu, DType::F32).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_dir(&dir).unwrap());
    let eos = Ends::of(&config, &GenerationDefaults::from_dir(&dir).unwrap(), &tokenizer, None).ids;
    let generator = Generator::new(Arc::new(Inference::new(&decoder).unwrap()), tokenizer, &eos);
    let golden: serde_json::Value = serde_json::from_str(include_str!("../golden/greedy_stories.json")).unwrap();
    let rows = golden.as_array().unwrap();
    let requests = rows.iter().map(|row| {
        let prompt = row["prompt"].as_str().unwrap();
        Request::text(prompt, prompt)
    });
    let params = SamplingParams { max_new_tokens: 200, ignore_eos: true, ..SamplingParams::default() };
    let done = run(&generator, requests.collect(), &params).unwrap();
    assert_eq!(done.len(), rows.len());
    for row in rows {
        let expected: Vec<u32> = serde_json::from_value(row["greedy"].clone()).unwrap();
        assert_eq!(expected.len(), 200);
        assert_eq!(done[row["prompt"].as_str().unwrap()].tokens, expected, "{}", row["prompt"]);
    }
}
