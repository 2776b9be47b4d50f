//! Tokens per second of training on the model shapes that the project promises speeds for, to be paired
//! with `peers/training.py` on the same machine: `cargo bench -p pipe-lm --bench training -- [CASE...]`.
//!
//! Weights and data are random; speed does not depend on them.

#![expect(clippy::print_stdout, reason = "a program that reports to people")]

use std::{
    ops::ControlFlow,
    path::Path,
    time::{Duration, Instant},
};

use candle_core::{DType, Device};
use pipe_lm::{
    adapter::{AdapterConfig, TargetModules},
    config::DecoderConfig,
    model::Decoder,
    train::{
        Budget, Dataset, Example, Observer, Progress, Scheduler, Stream, Surroundings, TooLong, TrainConfig,
        attach_lora, init::SeededWeights, train,
    },
};
use pipe_random::Random as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A shape of model and the work done on it.
struct Case {
    name: &'static str,
    /// hidden, layers, heads, key/value heads, intermediate, vocabulary.
    shape: [usize; 6],
    tied: bool,
    /// Rows of one optimizer step.
    rows: usize,
    /// Tokens of a row.
    tokens: usize,
    /// Rank of the adapter, 0 for full training.
    rank: usize,
}

const TINY: [usize; 6] = [256, 6, 8, 8, 704, 4096];
const EMBEDDED: [usize; 6] = [192, 4, 6, 6, 512, 2048];
const SMOL: [usize; 6] = [576, 30, 9, 3, 1536, 49152];

const CASES: [Case; 3] = [
    Case { name: "full-6.9m", shape: TINY, tied: false, rows: 16, tokens: 256, rank: 0 },
    Case { name: "lora-embedded", shape: EMBEDDED, tied: true, rows: 32, tokens: 64, rank: 16 },
    Case { name: "lora-135m", shape: SMOL, tied: true, rows: 4, tokens: 256, rank: 16 },
];

fn decoder(case: &Case) -> Decoder {
    let [hidden, layers, heads, kv_heads, ff, vocab] = case.shape;
    let json = format!(
        r#"{{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": {hidden},
        "num_hidden_layers": {layers}, "num_attention_heads": {heads}, "num_key_value_heads": {kv_heads},
        "intermediate_size": {ff}, "vocab_size": {vocab}, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": {}, "torch_dtype": "float32"}}"#,
        case.tied
    );
    let config = DecoderConfig::from_json(&json, Path::new("config.json")).expect("a plain Llama");
    let mut weights = SeededWeights { config: &config, seed: 0, std: 0.02, device: &Device::Cpu };
    Decoder::build(&config, &mut weights, &Device::Cpu, DType::F32).expect("seeded weights fit")
}

fn tokens(count: usize, vocab: usize, seed: u64) -> Vec<u32> {
    let mut stream = Stream::new(seed, "tokens", &[]);
    (0..count).map(|_| stream.below(vocab) as u32).collect()
}

/// Measures the steps after the first ones, which meet cold caches and memory that is not there yet.
struct Stopwatch {
    /// When the warm-up ended.
    warm: Option<Instant>,
    /// Steps and time since the warm-up.
    measured: (u64, Duration),
}

/// Steps before the measurement.
const WARM_UP: u64 = 2;
/// Length of the measurement, and the least number of steps in it.
const MEASURE: (Duration, u64) = (Duration::from_secs(8), 2);

impl Observer for Stopwatch {
    fn on_step(&mut self, progress: Progress) -> ControlFlow<()> {
        if progress.record.step == WARM_UP {
            self.warm = Some(Instant::now());
        }
        if let Some(warm) = self.warm {
            self.measured = (progress.record.step - WARM_UP, warm.elapsed());
        }
        let (steps, time) = self.measured;
        if steps >= MEASURE.1 && time >= MEASURE.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Tokens per second over about eight seconds, after two steps to warm up.
fn speed(case: &Case) -> f64 {
    let &Case { rows, tokens: length, rank, .. } = case;
    let mut model = decoder(case);
    if rank == 0 {
        model.make_trainable().expect("dense weights");
    } else {
        attach_lora(&mut model, "bench", &AdapterConfig::new(rank, 32.0, TargetModules::AllLinear), 0)
            .expect("linear layers");
    }
    let vocab = case.shape[5];
    let example = |i: usize| Example {
        id: format!("row-{i}"),
        tokens: tokens(length, vocab, i as u64),
        weights: vec![1.0; length],
    };
    let data = Dataset::new((0..rows).map(example).collect(), length, TooLong::Truncate, vocab).expect("good rows");
    let config = TrainConfig {
        budget: Budget::Steps(10_000),
        micro_batch_size: rows,
        lr_scheduler: Scheduler::Constant,
        learning_rate: 1e-5,
        ..TrainConfig::default()
    };
    let mut watch = Stopwatch { warm: None, measured: (0, Duration::ZERO) };
    train(&model, &data, &config, Surroundings::default(), &mut watch).expect("training runs");
    let (steps, time) = watch.measured;
    (rows * length) as f64 * steps as f64 / time.as_secs_f64()
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for case in CASES.iter().filter(|case| wanted.is_empty() || wanted.iter().any(|name| name == case.name)) {
        println!("{:20} {:10.0} tokens/s", case.name, speed(case));
    }
}
