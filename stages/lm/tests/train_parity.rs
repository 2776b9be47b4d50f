//! The first five optimizer steps against PyTorch and PEFT (`golden/make_train.py`): losses, every gradient, gradient
//! norms before clipping, and the weights afterwards.

use candle_core::{DType, Device};
use pipe_lm::{
    config::DecoderConfig,
    model::{Adapter, Decoder, LoraWeights},
    quant::Quantized,
    train::{
        AdamWConfig, Budget, Dataset, Example, MuonConfig, Observer, OptimizerConfig, Scheduler, Surroundings, TooLong,
        TrainConfig, train,
    },
    weights::Weights,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

type Tensors = BTreeMap<String, Vec<f32>>;

fn folder(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/train").join(model)
}

fn read(path: &Path) -> Tensors {
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    tensors.into_iter().map(|(name, t)| (name, t.flatten_all().unwrap().to_vec1().unwrap())).collect()
}

fn dataset(model: &str) -> Dataset {
    #[derive(serde::Deserialize)]
    struct Row {
        tokens: Vec<u32>,
        weights: Vec<f32>,
    }
    let rows: Vec<Row> = serde_json::from_slice(&std::fs::read(folder(model).join("rows.json")).unwrap()).unwrap();
    let examples = rows.into_iter().enumerate();
    let examples = examples.map(|(i, r)| Example { id: format!("row-{i}"), tokens: r.tokens, weights: r.weights });
    Dataset::new(examples.collect(), 64, TooLong::Truncate, 48).unwrap()
}

fn load(model: &str, quantized: bool) -> Decoder {
    let config = DecoderConfig::from_dir(&folder(model)).unwrap();
    let weights = Weights::from_dir(&folder(model), &config).unwrap();
    if quantized {
        let mut source = Quantized { weights: &weights, config: &config, dtype: DType::F32 };
        Decoder::build(&config, &mut source, &Device::Cpu, DType::F32).unwrap()
    } else {
        Decoder::load(&config, &weights, &Device::Cpu, DType::F32).unwrap()
    }
}

/// Gives the decoder the adapter that PEFT initialised, as trainable variables.
fn attach(decoder: &mut Decoder, model: &str) {
    let tensors = candle_core::safetensors::load(folder(model).join("lora_init.safetensors"), &Device::Cpu).unwrap();
    let var = |path: &str, half: &str| {
        let name = format!("base_model.model.{path}.lora_{half}.weight");
        candle_core::Var::from_tensor(&tensors[&name]).unwrap().into_inner()
    };
    let modules = decoder.linears().map(|linear| {
        let (a, b) = (var(linear.path(), "A"), var(linear.path(), "B"));
        (linear.path().to_owned(), LoraWeights { a, b, scale: 2.0, dropout: 0.0 })
    });
    let adapter = Adapter { modules: modules.collect() };
    decoder.add_adapter("trained", &adapter).unwrap();
    decoder.set_adapter(Some("trained")).unwrap();
}

#[derive(Default)]
struct Recorder(BTreeMap<u64, Tensors>);

impl Observer for Recorder {
    fn on_gradients(&mut self, step: u64, gradients: &mut dyn Iterator<Item = (&str, &[f32])>) {
        self.0.insert(step, gradients.map(|(name, g)| (name.to_owned(), g.to_vec())).collect());
    }
}

/// Largest difference relative to the largest value of the tensor.
fn relative(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    let scale = theirs.iter().fold(1e-12f32, |max, x| max.max(x.abs()));
    ours.iter().zip(theirs).fold(0f32, |max, (a, b)| max.max((a - b).abs())) / scale
}

fn check(model: &str, golden: &str, decoder: &Decoder, optimizer: OptimizerConfig) {
    for gradient_checkpointing in [false, true] {
        let start: Vec<_> = decoder.parameters().into_values().map(|v| (v.copy().unwrap(), v)).collect();
        let config = TrainConfig {
            budget: Budget::Steps(5),
            micro_batch_size: 2,
            gradient_accumulation_steps: 2,
            gradient_checkpointing,
            learning_rate: 1e-2,
            lr_scheduler: Scheduler::Constant,
            optimizer,
            max_grad_norm: Some(0.5),
            ..TrainConfig::default()
        };
        let mut recorder = Recorder::default();
        let outcome = train(decoder, &dataset(model), &config, Surroundings::default(), &mut recorder).unwrap();
        let expect = read(&folder(model).join(format!("{golden}.safetensors")));
        let what = format!("{model} {golden}, checkpointing {gradient_checkpointing}");
        for (i, step) in outcome.log.steps.iter().enumerate() {
            let (loss, norm) = (f64::from(expect["losses"][i]), f64::from(expect["grad_norms"][i]));
            assert!((step.loss - loss).abs() <= 1e-4 * loss, "{what}: loss {} is not {loss} at step {i}", step.loss);
            assert!((step.grad_norm - norm).abs() <= 1e-4 * norm, "{what}: norm {} not {norm}", step.grad_norm);
        }
        let mut compared = 0;
        for (step, gradients) in &recorder.0 {
            for (name, gradient) in gradients {
                if let Some(theirs) = expect.get(&format!("grad.{step}.{name}")) {
                    // A starts with a zero gradient, which has no scale of its own.
                    let zero = theirs.iter().all(|&g| g == 0.0) && gradient.iter().all(|&g| g == 0.0);
                    let difference = if zero { 0.0 } else { relative(gradient, theirs) };
                    assert!(difference <= 1e-4, "{what}: gradient of {name} at step {step} differs by {difference}");
                    compared += 1;
                }
            }
        }
        assert_eq!(compared, expect.keys().filter(|k| k.starts_with("grad.")).count(), "{what}: gradients compared");
        for (name, var) in decoder.parameters() {
            let ours = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let difference = relative(&ours, &expect[&format!("final.{name}")]);
            assert!(difference <= 1e-4, "{what}: {name} differs by {difference} after five steps");
        }
        for (initial, var) in start {
            var.set(&initial).unwrap();
        }
    }
}

const ADAMW: OptimizerConfig =
    OptimizerConfig::Adamw(AdamWConfig { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 });

#[test]
fn lora_equals_peft() {
    for model in ["llama", "qwen2"] {
        let mut decoder = load(model, false);
        attach(&mut decoder, model);
        check(model, "lora", &decoder, ADAMW);
    }
}

/// The base holds the very values that bitsandbytes dequantises to.
#[test]
fn qlora_equals_peft_on_bitsandbytes_weights() {
    for model in ["llama", "qwen2"] {
        let mut decoder = load(model, true);
        attach(&mut decoder, model);
        check(model, "qlora", &decoder, ADAMW);
    }
}

#[test]
fn full_training_equals_pytorch() {
    for model in ["llama", "qwen2"] {
        let mut decoder = load(model, false);
        decoder.make_trainable().unwrap();
        check(model, "full", &decoder, ADAMW);
    }
}

#[test]
fn muon_equals_pytorch_in_f32() {
    let mut decoder = load("llama", false);
    decoder.make_trainable().unwrap();
    let muon = MuonConfig { weight_decay: 0.05, ..MuonConfig::default() };
    let rest = AdamWConfig { beta2: 0.98, weight_decay: 0.0, ..AdamWConfig::default() };
    check("llama", "muon", &decoder, OptimizerConfig::Muon(muon, rest));
}
