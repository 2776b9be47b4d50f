//! LoRA on a real, small base model: the 160 seeds beside it.

use candle_core::{DType, Device};
use pipe_lm::{
    adapter::{AdapterConfig, TargetModules},
    config::DecoderConfig,
    model::Decoder,
    tokenizer::Tokenizer,
    train::{
        Budget, Dataset, Evaluation, Example, Scheduler, Stopping, Surroundings, TooLong, TrainConfig, TrainLog,
        Warmup, attach_lora, train,
    },
    weights::Weights,
};
use std::path::Path;

#[path = "../../../tests/support/data.rs"]
mod data;

fn example(row: &serde_json::Value, tokenizer: &Tokenizer) -> Example {
    let text = |key: &str| row[key].as_str().unwrap();
    let encode = |text: &str| tokenizer.encode(text, false).unwrap();
    let prompt = encode(&format!("Instruction: {}\nOutput:", text("instruction")));
    Example::completion(text("id"), prompt, encode(&format!(" {}\n", text("output"))), Some(1))
}

fn specialise(dir: &Path, quantized: bool) -> TrainLog {
    let config = DecoderConfig::from_dir(dir).unwrap();
    let weights = Weights::from_dir(dir, &config).unwrap();
    let mut model = if quantized {
        let mut source = pipe_lm::quant::Quantized { weights: &weights, config: &config, dtype: DType::F32 };
        Decoder::build(&config, &mut source, &Device::Cpu, DType::F32).unwrap()
    } else {
        Decoder::load(&config, &weights, &Device::Cpu, DType::F32).unwrap()
    };
    let lora = AdapterConfig::new(16, 32.0, TargetModules::AllLinear);
    attach_lora(&mut model, "seeds", &lora, 17).unwrap();

    let tokenizer = Tokenizer::from_dir(dir).unwrap();
    let rows = std::fs::read_to_string(dir.join("seeds.jsonl")).unwrap();
    let rows: Vec<serde_json::Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let examples: Vec<Example> = rows.iter().map(|row| example(row, &tokenizer)).collect();
    let dataset = |rows: &[Example]| Dataset::new(rows.to_vec(), 256, TooLong::Drop, config.vocab_size).unwrap();
    let (data, held_out) = (dataset(&examples[..128]), dataset(&examples[128..]));
    let training = TrainConfig {
        seed: 17,
        budget: Budget::Epochs(4.0),
        micro_batch_size: 16,
        learning_rate: 2e-3,
        lr_scheduler: Scheduler::Linear,
        warmup: Warmup::Ratio(0.05),
        stall_window: Some(8),
        ..TrainConfig::default()
    };
    let evaluation = Some(Evaluation { data: &held_out, every: 8, stopping: Stopping::default(), judge: None });
    train(&model, &data, &training, Surroundings { evaluation, ..Surroundings::default() }, &mut ()).unwrap().log
}

#[test]
#[ignore = "reads PIPE_TEST_DATA"]
fn a_real_base_model_learns_from_its_seeds() {
    let dir = data::folder("spike-base");
    let log = specialise(&dir, false);
    assert_eq!(log.steps.len(), 32);
    let (first, last) = (log.evals[0].loss, log.evals.last().unwrap().loss);
    assert!(log.steps[31].loss < 0.6 * log.steps[0].loss, "{log:?}");
    assert!(last < first, "held out: {first} -> {last}");
    assert_eq!(specialise(&dir, false), log, "the same bits again");
    let quantized = specialise(&dir, true);
    assert!(quantized.steps[31].loss < 0.6 * quantized.steps[0].loss, "{quantized:?}");
}
