//! Training by a program of the user's: what it is given, how it is followed, and what is checked of what it leaves.

pub(super) mod engine;
mod line;
mod progress;
mod rows;
mod versions;

use std::{
    fs,
    path::{Path, PathBuf},
};

use pipe_engine::{context::StageContext, kind::StageError};
use pipe_lm::{
    adapter::{AdapterConfig, load_adapter, save_adapter},
    model::Adapter,
    train::{TrainConfig, TrainLog, fresh_lora},
};
use serde_json::{Value, json};

use self::{
    engine::Engine,
    progress::{Expected, Listener},
};
use super::{dataset::Examples, params::TrainParams};
use crate::{
    model::{
        BaseModel, model_error,
        training::{leave_counts, training_error},
    },
    programs::calls::{self, Attendance},
};

/// The form of `config.json`; raised when a trainer of before could not read it.
const FORMAT: u32 = 1;
/// The folder that the program is given, in its environment: by it also what it starts is known.
const FOLDER: &str = "PIPE_TRAINING";

/// Where everything lies.
struct Places {
    /// What the program is given; gone with the stage.
    folder: PathBuf,
    /// What it keeps for a later run of the same stage.
    kept: PathBuf,
}

impl Places {
    fn new(cx: &StageContext) -> Result<Self, StageError> {
        let places = Self { folder: cx.workdir()?, kept: cx.checkpoint_dir()? };
        for folder in [places.output(), places.checkpoints()] {
            fs::create_dir_all(&folder).map_err(|e| StageError::other(format!("make {}", folder.display()), e))?;
        }
        Ok(places)
    }

    fn rows(&self) -> PathBuf {
        self.folder.join("rows.parquet")
    }
    fn held_out(&self) -> PathBuf {
        self.folder.join("evaluation.parquet")
    }
    fn start(&self) -> PathBuf {
        self.folder.join("start")
    }
    fn output(&self) -> PathBuf {
        self.folder.join("output")
    }
    fn checkpoints(&self) -> PathBuf {
        self.kept.join("checkpoints")
    }
}

/// Has `engine` train an adapter, from `earlier` on where there is one, and leaves it in the output `adapter`.
///
/// # Errors
/// The program fails, says what cannot be, or leaves what is no adapter of that form for this base.
pub(super) fn train(
    engine: &Engine,
    params: &TrainParams,
    cx: &StageContext,
    base: &BaseModel,
    examples: &Examples,
    earlier: Option<&Path>,
) -> Result<TrainLog, StageError> {
    let places = Places::new(cx)?;
    let config = params.config();
    let steps = rows::write(&places.rows(), &examples.training, &config)?;
    if let Some(data) = &examples.held_out {
        rows::write_held_out(&places.held_out(), data, config.micro_batch_size)?;
    }
    let (asked, start) = start(params, base, earlier)?;
    save_adapter(&places.start(), &asked, &start, base.config()).map_err(model_error)?;
    let pinned = engine.pinned(cx.base_dir())?;
    let held_out = examples.held_out.is_some();
    let given = given(params, &config, &places, base, steps.len(), held_out, &json!(pinned))?;
    let path = places.folder.join("config.json");
    let text = serde_json::to_string_pretty(&given).map_err(|e| StageError::other("write the configuration", e))?;
    fs::write(&path, text).map_err(|e| StageError::other(format!("write {}", path.display()), e))?;

    let name = engine.name(cx.base_dir());
    let expected = Expected { steps: &steps, versions: &pinned, stall_window: params.stall_window, name };
    let (listener, said) = Listener::open(cx, &places.kept, expected)?;
    let words = engine.words(&places.folder)?;
    let mut program = calls::program(&words, cx, engine.passed())?;
    program.arg(&places.folder).stdout(said);
    program.env(FOLDER, &places.folder).env(calls::THREADS, cx.threads().to_string());
    // Lines are wanted as they are printed, and Python keeps those for a file to itself.
    program.env("PYTHONUNBUFFERED", "1");
    let attendance = Attendance { started: None, given_up: Some(&|| listener.is_wrong()) };
    let ended = listener
        .during(|| calls::execute(&mut program, cx, vec![places.folder.clone(), places.kept.clone()], &attendance));
    cx.check_cancelled()?;
    if ended.is_err() && !listener.is_wrong() {
        ended?;
    }
    let log = listener.finish(examples.training.report(), params.stopping(), &places.checkpoints())?;
    let left = read(&places.output(), name, base, &asked)?;
    check_moved(&log, &start, &left, name)?;
    let dir = cx.output_dir("adapter")?;
    // As the built-in trainer writes it: no path, no time, and no other word of the program's.
    save_adapter(&dir, &asked, &left, base.config()).map_err(model_error)?;
    leave_counts(cx, &log, params.stopping());
    Ok(log)
}

/// The adapter to begin with, and its configuration.
fn start(
    params: &TrainParams,
    base: &BaseModel,
    earlier: Option<&Path>,
) -> Result<(AdapterConfig, Adapter), StageError> {
    if let Some(earlier) = earlier {
        let (config, adapter) = load_adapter(earlier, base.config()).map_err(model_error)?;
        return Ok((AdapterConfig { lora_dropout: params.lora.dropout, ..config }, adapter));
    }
    let config = params.lora.config();
    let adapter = fresh_lora(&config, base.config(), params.seed, &candle_core::Device::Cpu).map_err(training_error)?;
    Ok((config, adapter))
}

/// `config.json`.
fn given(
    params: &TrainParams,
    config: &TrainConfig,
    places: &Places,
    base: &BaseModel,
    steps: usize,
    held_out: bool,
    versions: &Value,
) -> Result<Value, StageError> {
    let stopping = params.stopping();
    Ok(json!({
        "format": FORMAT,
        "base": base.files(&places.folder.join("base"))?,
        "weights": params.weights.name(),
        "rows": places.rows(),
        "evaluation": held_out.then(|| places.held_out()),
        "start": places.start(),
        "output": places.output(),
        "checkpoints": places.checkpoints(),
        "versions": versions,
        "steps": steps,
        "micro_batch_size": config.micro_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "learning_rate": config.learning_rate,
        "lr_scheduler": config.lr_scheduler,
        "warmup_steps": config.warmup.steps(steps as u64),
        "betas": params.betas,
        "adam_epsilon": params.adam_epsilon,
        "weight_decay": params.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "gradient_checkpointing": config.gradient_checkpointing,
        "seed": config.seed,
        "eval_steps": params.eval_steps,
        "patience": stopping.patience,
        "min_delta": stopping.min_delta,
        "keep_best": stopping.keep_best,
        "checkpoint_steps": params.checkpoint_steps,
    }))
}

/// Reads what the program left.
///
/// # Errors
/// It is no adapter for this base, one of another rank, scale or other modules than asked for, or has a number that is
/// not finite.
fn read(output: &Path, name: &str, base: &BaseModel, asked: &AdapterConfig) -> Result<Adapter, StageError> {
    let wrong = |what: String| {
        let help = "it leaves an adapter in PEFT's layout in the folder `output` of config.json, of the rank, scale \
                    and modules of the one in `start`: `model.save_pretrained(output)`";
        StageError::user_help(format!("what {name} left is not the adapter that was asked for: {what}"), help)
    };
    if !output.join("adapter_config.json").is_file() {
        return Err(wrong("there is no adapter_config.json".to_owned()));
    }
    let (found, adapter) = load_adapter(output, base.config()).map_err(|e| wrong(e.to_string()))?;
    let targets = asked.targets(base.config()).map_err(|e| wrong(e.to_string()))?;
    if let Some(module) = adapter.modules.keys().find(|module| !targets.iter().any(|(path, ..)| path == *module)) {
        return Err(wrong(format!("`{module}` was to have none")));
    }
    for (path, ..) in &targets {
        let Some(weights) = adapter.modules.get(path) else { return Err(wrong(format!("`{path}` has none"))) };
        let of = |config: &AdapterConfig| Ok((config.rank(path)?, config.scale(path)?));
        let (rank, scale) = of(asked).map_err(|e: pipe_lm::adapter::AdapterProblem| wrong(e.to_string()))?;
        let (other, factor) = of(&found).map_err(|e: pipe_lm::adapter::AdapterProblem| wrong(e.to_string()))?;
        if rank != other {
            return Err(wrong(format!("the rank of `{path}` is {other}, not {rank}")));
        }
        if (scale - factor).abs() > 1e-6 * scale.abs() {
            return Err(wrong(format!("the scale of `{path}` (alpha over rank) is {factor}, not {scale}")));
        }
        for (letter, matrix) in [("A", &weights.a), ("B", &weights.b)] {
            let sum = matrix.abs().and_then(|m| m.sum_all()?.to_scalar::<f32>());
            if !sum.is_ok_and(f32::is_finite) {
                return Err(wrong(format!("`{path}.lora_{letter}` has numbers that are not finite")));
            }
        }
    }
    Ok(adapter)
}

/// An adapter that is the one it began with has learned nothing, whatever the losses say.
fn check_moved(log: &TrainLog, start: &Adapter, left: &Adapter, name: &str) -> Result<(), StageError> {
    let values = |matrix: &candle_core::Tensor| matrix.flatten_all().and_then(|m| m.to_vec1::<f32>()).ok();
    let same = left.modules.iter().all(|(path, weights)| {
        let before = start.modules.get(path);
        before.is_some_and(|before| values(&before.a) == values(&weights.a) && values(&before.b) == values(&weights.b))
    });
    if same && log.steps.iter().any(|step| step.learning_rate > 0.0 && step.grad_norm > 0.0) {
        return Err(StageError::user_help(
            format!("{name} left the adapter as it was given to it"),
            "it trains the one that it loads from `start`, and leaves that one in `output`",
        ));
    }
    Ok(())
}
