//! Training speed and peak memory on random models of well-known shapes, or on a checkpoint.
//!
//!     cargo run --release -p pipe-lm --example train_bench -- --shape llama-6.9m --method full --rows 16 --len 256
//! cargo run --release -p pipe-lm --example train_bench -- --shape llama-7b --method qlora --rows 1 --len 512 --steps 1
//!
//! `--model DIR` trains a checkpoint instead of a random model. `benches/peers/train.py` does the same with PyTorch.

#![expect(clippy::print_stdout, reason = "a program for people")]

use candle_core::{DType, Device, Tensor};
use pipe_lm::{
    adapter::{AdapterConfig, TargetModules},
    coded::half_weight,
    config::DecoderConfig,
    model::{Decoder, ModelError, WeightProvider},
    ops::Weight,
    quant::{Nf4Builder, Quantized},
    train::{
        Budget, Dataset, Example, Observer, Progress, Stream, Surroundings, TooLong, TrainConfig, attach_lora,
        init::SeededWeights, train,
    },
    weights::{Param, Weights},
};
use pipe_random::Random as _;
use std::{collections::BTreeMap, error::Error, ops::ControlFlow, path::Path, sync::Arc, time::Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    let config = match options.text("model") {
        Some(dir) => DecoderConfig::from_dir(Path::new(dir))?,
        None => shape(options.text("shape").unwrap_or("llama-6.9m"))?,
    };
    let method = options.text("method").unwrap_or("lora");
    let start = Instant::now();
    let mut model = build(&config, options.text("model"), method == "qlora")?;
    if method == "full" {
        model.make_trainable()?;
    } else {
        let lora = AdapterConfig::new(options.number("r", 16)?, 32.0, TargetModules::AllLinear);
        attach_lora(&mut model, "bench", &lora, 1)?;
    }
    println!("model ready in {:.1} s, peak memory {:.2} GB", start.elapsed().as_secs_f64(), peak_memory_gb());

    let (rows, len, steps) = (options.number("rows", 16)?, options.number("len", 256)?, options.number("steps", 8)?);
    // One token more than the positions that are computed: the last is only a target.
    let mut random = Stream::new(1, "bench rows", &[]);
    let mut tokens = || (0..=len).map(|_| random.below(config.vocab_size) as u32).collect::<Vec<_>>();
    let examples = (0..rows * steps).map(|i| {
        let tokens = tokens();
        Example { id: format!("row-{i}"), weights: vec![1.0; tokens.len()], tokens }
    });
    let data = Dataset::new(examples.collect(), len + 1, TooLong::Drop, config.vocab_size)?;
    let training = TrainConfig {
        budget: Budget::Steps(steps as u64),
        micro_batch_size: rows,
        learning_rate: 1e-3,
        gradient_checkpointing: options.number("checkpointing", usize::from(method == "qlora"))? == 1,
        ..TrainConfig::default()
    };
    let mut clock = Clock { last: Instant::now(), seconds: Vec::new() };
    let outcome = train(&model, &data, &training, Surroundings::default(), &mut clock)?;
    let losses: Vec<_> = outcome.log.steps.iter().map(|s| format!("{:.4}", s.loss)).collect();
    // The first steps fill caches and pools.
    let warm = &mut clock.seconds[(steps / 4).min(2)..];
    warm.sort_by(f64::total_cmp);
    let median = warm[warm.len() / 2];
    println!("loss {}", losses.join(" "));
    println!("{:.0} tokens/s (median step {median:.3} s, fastest {:.3})", (rows * len) as f64 / median, warm[0]);
    println!("peak memory {:.2} GB", peak_memory_gb());
    Ok(())
}

/// Times each step.
struct Clock {
    last: Instant,
    seconds: Vec<f64>,
}

impl Observer for Clock {
    fn on_step(&mut self, _: Progress) -> ControlFlow<()> {
        self.seconds.push(self.last.elapsed().as_secs_f64());
        self.last = Instant::now();
        ControlFlow::Continue(())
    }
}

fn shape(name: &str) -> Result<DecoderConfig, Box<dyn Error>> {
    let shapes: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("../benches/peers/shapes.json"))?;
    let known = shapes.keys().cloned().collect::<Vec<_>>().join(", ");
    let shape = shapes.get(name).ok_or_else(|| format!("no shape `{name}`; there are {known}"))?;
    Ok(DecoderConfig::from_json(&shape.to_string(), Path::new("benches/peers/shapes.json"))?)
}

fn build(config: &DecoderConfig, dir: Option<&str>, quantized: bool) -> Result<Decoder, Box<dyn Error>> {
    let (cpu, weights) = (Device::Cpu, dir.map(|dir| Weights::from_dir(Path::new(dir), config)).transpose()?);
    Ok(match (weights, quantized) {
        (Some(weights), false) => Decoder::load(config, &weights, &cpu, DType::F32)?,
        (Some(weights), true) => {
            let mut source = Quantized { weights: &weights, config, dtype: DType::BF16 };
            Decoder::build(config, &mut source, &cpu, DType::BF16)?
        }
        (None, false) => {
            Decoder::build(config, &mut SeededWeights { config, seed: 1, std: 0.02, device: &cpu }, &cpu, DType::F32)?
        }
        (None, true) => Decoder::build(config, &mut RandomQuantized { config, state: 1 }, &cpu, DType::BF16)?,
    })
}

/// Random values straight into NF4, a few rows at a time: a 7B model never exists in another type.
struct RandomQuantized<'a> {
    config: &'a DecoderConfig,
    state: u64,
}

impl RandomQuantized<'_> {
    /// Uniform in ±0.035, whose standard deviation is 0.02 (a linear congruential generator, Knuth's constants).
    fn fill(&mut self, out: &mut [f32]) {
        for value in out {
            self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *value = ((self.state >> 40) as f32 / 8_388_608.0 - 1.0) * 0.035;
        }
    }
}

impl WeightProvider for RandomQuantized<'_> {
    fn matrix(&mut self, param: Param) -> Result<Weight, ModelError> {
        let shape = param.shape(self.config);
        let failed = |error: String| ModelError::Unsupported(error);
        if let Param::Layer(..) = param {
            let mut builder = Nf4Builder::new([shape[0], shape[1]]);
            let mut row = vec![0.0; shape[1] * 16];
            for rows in (0..shape[0]).step_by(16) {
                let values = &mut row[..shape[1] * 16.min(shape[0] - rows)];
                self.fill(values);
                builder.push(values).map_err(|e| failed(e.to_string()))?;
            }
            let weight = builder.finish().map_err(|e| failed(e.to_string()))?;
            return Ok(Weight::Tiles(Arc::new(weight)));
        }
        let mut values = vec![0.0; shape[0] * shape[1]];
        self.fill(&mut values);
        let tensor = Tensor::from_vec(values, shape, &Device::Cpu).and_then(|t| t.to_dtype(DType::BF16));
        let tensor = tensor.map_err(|e| failed(e.to_string()))?;
        if param == Param::Embedding {
            return Ok(Weight::Dense(tensor));
        }
        Ok(Weight::Tiles(half_weight(&tensor).map_err(|e| failed(e.to_string()))?))
    }

    fn vector(&mut self, param: Param) -> Result<Tensor, ModelError> {
        let ones = Tensor::ones(param.shape(self.config), DType::F32, &Device::Cpu);
        ones.map_err(|e| ModelError::Unsupported(e.to_string()))
    }
}

/// Largest resident size of this process so far, by the kernel's account; NaN where there is none.
fn peak_memory_gb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e9)
}

/// `--name value` pairs.
struct Options(BTreeMap<String, String>);

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let mut options = BTreeMap::new();
        for pair in args.chunks(2) {
            let (name, value) = (pair[0].strip_prefix("--"), pair.get(1));
            let (Some(name), Some(value)) = (name, value) else {
                return Err(format!("expected `--name value`, not `{}`", pair.join(" ")).into());
            };
            options.insert(name.to_owned(), value.clone());
        }
        Ok(Self(options))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Box<dyn Error>> {
        Ok(self.text(name).map(str::parse).transpose()?.unwrap_or(default))
    }
}
