//! Small models, made on the spot.

use std::{fs, path::Path};

use pipe_lm::{
    fresh::{Architecture, save},
    tokenizer::train_bpe,
    train::{Budget, Dataset, Example, Surroundings, TooLong, TrainConfig, train},
};

/// Writes a random model with a context of 96 tokens.
pub(crate) fn random_model(dir: &Path, seed: u64) {
    let texts = (0..80).map(|i| format!("Instruction: What is item {i}?\nOutput: It is thing {i}.\n"));
    let tokenizer = train_bpe(texts, 300).unwrap();
    let architecture = Architecture {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 96,
    };
    let decoder = architecture.decoder(&tokenizer, seed).unwrap();
    save(dir, &decoder, &tokenizer, candle_core::DType::F32).unwrap();
}

/// A small Llama, with a tokenizer of its own, that was trained to answer (prompt, completion) pairs.
pub(crate) fn trained_model(dir: &Path, pairs: &[(String, String)], context: usize) {
    let tokenizer = train_bpe(pairs.iter().map(|(prompt, completion)| format!("{prompt}{completion}")), 400).unwrap();
    let architecture = Architecture {
        hidden_size: 48,
        intermediate_size: 96,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        max_position_embeddings: context,
    };
    let decoder = architecture.decoder(&tokenizer, 5).unwrap();
    let tokens = |text: &str| tokenizer.encode(text, false).unwrap();
    let example = |(prompt, completion): &(String, String)| {
        Example::completion(prompt, tokens(prompt), tokens(completion), tokenizer.eos())
    };
    let data = pairs.iter().map(example).collect();
    let data = Dataset::new(data, context, TooLong::Truncate, tokenizer.len()).unwrap();
    let config =
        TrainConfig { budget: Budget::Steps(100), micro_batch_size: 16, learning_rate: 0.01, ..TrainConfig::default() };
    train(&decoder, &data, &config, Surroundings::default(), &mut ()).unwrap();
    fs::create_dir(dir).unwrap();
    save(dir, &decoder, &tokenizer, candle_core::DType::F32).unwrap();
}
