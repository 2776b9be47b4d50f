//! `pretrain`: a small base model and its tokenizer, from texts.

mod documents;

use std::path::Path;

use candle_core::{DType, Device};
use pipe_engine::{
    context::StageContext,
    kind::{Column, InputPort, OutputPort, ParamProblem, PortType, Ports, Source, StageError, StageKind},
};
use pipe_lm::{
    config::DecoderConfig,
    fresh::{self, Architecture},
    model::Decoder,
    tokenizer::{Tokenizer, train_bpe},
    train::{AdamWConfig, Budget, MuonConfig, OptimizerConfig, Scheduler, TrainConfig, Warmup},
    weights::Weights,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::documents::Documents;
use crate::{
    model::{
        numeric_class,
        training::{Training, check_context, config_problem, log_table, train_in_stage},
    },
    rows::ports,
};

/// Pretrains a small Llama model on `documents`, each a list of `segments` {text, weight}: the weight scales the loss
/// of predicting the segment's tokens, so that what the model shall learn to say counts more than what it reads.
///
/// Without the input `base` a byte-level BPE tokenizer is learned from the documents and the model starts from seeded
/// random weights; with it, tokenizer and model go on from there (a second phase with another mixture), and
/// `architecture` and `vocab_size` have no effect. Every document is a sequence of its own and ends with the
/// end-of-text token; those without a text, or with a segment without text or weight, are left out, counted and said.
/// The output `model` is a Hugging Face directory; `log` has one row per optimizer step. A killed
/// training goes on from its last checkpoint to the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainParams {
    /// Seeds the initial weights and the order of the documents.
    #[serde(default)]
    pub seed: u64,
    /// Size of a new model.
    #[serde(default)]
    pub architecture: Architecture,
    /// Most tokens in a new tokenizer.
    #[serde(default = "default_vocab")]
    #[schemars(range(min = 258))]
    pub vocab_size: usize,
    /// Documents longer than this many tokens are cut off.
    #[serde(default = "default_seq_len")]
    #[schemars(range(min = 2))]
    pub max_seq_len: usize,
    /// Passes over the documents.
    #[serde(default = "default_epochs")]
    pub epochs: f64,
    /// Documents per optimizer step.
    #[serde(default = "default_batch")]
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Peak learning rate, of both optimizers.
    #[serde(default = "default_learning_rate")]
    pub learning_rate: f64,
    /// Optimizer steps over which the learning rate rises.
    #[serde(default = "default_warmup")]
    pub warmup_steps: u64,
    /// Share of all steps, at the end, over which the learning rate falls to zero in a straight line.
    #[serde(default = "default_decay")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub decay_ratio: f64,
    /// Optimizer of the matrices inside the layers; embeddings and norms always have AdamW.
    #[serde(default)]
    pub optimizer: PretrainOptimizer,
    /// Decoupled weight decay of the matrices inside the layers.
    #[serde(default = "default_weight_decay")]
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm.
    #[serde(default = "default_norm")]
    pub max_grad_norm: f64,
    /// Loss weight of the token that ends a document.
    #[serde(default = "default_end_weight")]
    #[schemars(range(min = 0.0))]
    pub end_weight: f32,
    /// Type of the saved weights.
    #[serde(default)]
    pub dtype: SavedDtype,
    /// Optimizer steps between checkpoints.
    #[serde(default = "default_checkpoint_steps")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub checkpoint_steps: u64,
}

/// Optimizer of the matrices inside the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PretrainOptimizer {
    /// Muon (Jordan et al. 2024), its rate scaled to match AdamW's.
    #[default]
    Muon,
    /// AdamW.
    Adamw,
}

/// Type of the saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SavedDtype {
    /// 16 bits: half the size.
    #[default]
    Float16,
    /// 32 bits: what was trained.
    Float32,
}

fn default_vocab() -> usize {
    2048
}
fn default_seq_len() -> usize {
    320
}
fn default_epochs() -> f64 {
    1.0
}
fn default_batch() -> usize {
    32
}
fn default_learning_rate() -> f64 {
    3e-3
}
fn default_warmup() -> u64 {
    50
}
fn default_decay() -> f64 {
    0.6
}
fn default_weight_decay() -> f64 {
    0.05
}
fn default_norm() -> f64 {
    1.0
}
fn default_end_weight() -> f32 {
    0.3
}
fn default_checkpoint_steps() -> u64 {
    100
}

/// The kind.
pub struct Pretrain;

impl StageKind for Pretrain {
    type Params = PretrainParams;
    const NAME: &'static str = "pretrain";
    // 1: the first.
    const VERSION: u32 = 1;

    fn ports(&self, _: &PretrainParams) -> Ports {
        Ports {
            inputs: vec![
                InputPort::new("documents", PortType::Table, true)
                    .about("What is trained on.")
                    .needs([Column::new(
                        "segments",
                        "list of {text, weight}",
                        "The document's parts, with the weight of their loss.",
                    )])
                    .takes([ports::id()]),
                InputPort::new("base", PortType::Files, false)
                    .about("A model to go on from, as this kind writes it; a new one is made where it is missing."),
            ],
            open_inputs: false,
            outputs: vec![
                OutputPort::new("model", PortType::Files).about("The model, as a Hugging Face directory."),
                ports::training_log(),
            ],
        }
    }

    fn sources(&self, _: &PretrainParams) -> Result<Vec<Source>, StageError> {
        Ok(numeric_class().into_iter().collect())
    }

    fn check(&self, params: &PretrainParams) -> Vec<ParamProblem> {
        let own_name = |name| match name {
            "budget.epochs" => "epochs",
            "micro_batch_size" => "batch_size",
            name => name,
        };
        let heads = params.architecture.check_heads().err().map(|error| ParamProblem {
            pointer: "/architecture".into(),
            message: format!("failed to {error}"),
            help: None,
        });
        config_problem(&params.config(), own_name).into_iter().chain(heads).collect()
    }

    fn run(&self, params: &PretrainParams, cx: &mut StageContext) -> Result<(), StageError> {
        let documents = Documents::read(cx)?;
        let (decoder, tokenizer) = match cx.optional_files("base")? {
            Some(dir) => load(params, &dir)?,
            None => start(params, &documents)?,
        };
        cx.check_cancelled()?;
        let data = documents.dataset(cx, params, &tokenizer)?;
        let training =
            Training { data: &data, evaluation: None, base_identity: "", checkpoint_steps: params.checkpoint_steps };
        let log = train_in_stage(cx, &decoder, &params.config(), &training)?;
        let dtype = match params.dtype {
            SavedDtype::Float16 => DType::F16,
            SavedDtype::Float32 => DType::F32,
        };
        fresh::save(&cx.output_dir("model")?, &decoder, &tokenizer, dtype)
            .map_err(|e| StageError::other("save the model", e))?;
        let log = log_table(&log)?;
        cx.write_batches("log", log.schema_ref(), [&log])?;
        Ok(())
    }
}

impl PretrainParams {
    fn config(&self) -> TrainConfig {
        let adamw = AdamWConfig { weight_decay: 0.0, ..AdamWConfig::default() };
        let optimizer = match self.optimizer {
            PretrainOptimizer::Muon => {
                OptimizerConfig::Muon(MuonConfig { weight_decay: self.weight_decay, ..MuonConfig::default() }, adamw)
            }
            PretrainOptimizer::Adamw => {
                OptimizerConfig::Adamw(AdamWConfig { weight_decay: self.weight_decay, ..adamw })
            }
        };
        TrainConfig {
            seed: self.seed,
            budget: Budget::Epochs(self.epochs),
            micro_batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            lr_scheduler: Scheduler::WarmupStableDecay { decay_ratio: self.decay_ratio },
            warmup: Warmup::Steps(self.warmup_steps),
            optimizer,
            max_grad_norm: Some(self.max_grad_norm),
            ..TrainConfig::default()
        }
    }
}

/// A new model with a tokenizer of its own.
fn start(params: &PretrainParams, documents: &Documents) -> Result<(Decoder, Tokenizer), StageError> {
    let architecture = &params.architecture;
    check_context(params.max_seq_len, architecture.max_position_embeddings)?;
    let tokenizer =
        train_bpe(documents.texts(), params.vocab_size).map_err(|e| StageError::other("learn a tokenizer", e))?;
    let decoder =
        architecture.decoder(&tokenizer, params.seed).map_err(|e| StageError::other("make a new model", e))?;
    Ok((decoder, tokenizer))
}

fn load(params: &PretrainParams, dir: &Path) -> Result<(Decoder, Tokenizer), StageError> {
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| StageError::other("load the input `base`", e);
    let config = DecoderConfig::from_dir(dir).map_err(|e| failed(e.into()))?;
    check_context(params.max_seq_len, config.max_position_embeddings)?;
    let tokenizer = Tokenizer::from_dir(dir).map_err(|e| failed(e.into()))?;
    let weights = Weights::from_dir(dir, &config).map_err(|e| failed(e.into()))?;
    let mut decoder = Decoder::load(&config, &weights, &Device::Cpu, DType::F32).map_err(|e| failed(e.into()))?;
    decoder.make_trainable().map_err(|e| failed(e.into()))?;
    Ok((decoder, tokenizer))
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { documents: embedded_texts }, params: { vocab_size: 270, max_seq_len: 48, batch_size: 4, \
        warmup_steps: 1, architecture: { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, \
        num_attention_heads: 2, max_position_embeddings: 48 } }",
    version: 1,
    outputs: &[
        ("log", "6b9adc4b87dbab582568618ad37a15ab56f2b843335581fc78a20838ee2628e8"),
        ("model", "4feb6da1be8d2d6a78d72d1ae64aa62484ffe743bba6034c47fd9e188c578d6f"),
    ],
};
