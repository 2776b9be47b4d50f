//! `train`: an adapter, or a whole model, from instructions with answers.

mod answers;
mod batch;
mod dataset;
mod external;
mod params;

use std::path::Path;

use candle_core::DType;
use pipe_engine::{
    context::StageContext,
    kind::{
        Column, Highlight, InputPort, OutputPort, ParamProblem, PortType, Ports, Preview, Role, Source, SourceHost,
        StageError, StageKind,
    },
};
use pipe_lm::{
    adapter::{AdapterConfig, Merged, TargetModules, load_adapter, save_adapter},
    export::{MAX_SHARD_BYTES, export_hf},
    model::Decoder,
    train::{Evaluation, Judge, TrainLog, attach_lora, continue_lora},
    weights::Weights,
};

pub use self::answers::EvalAnswers;
pub use self::batch::BatchParams;
pub use self::external::engine::Engine;
pub use self::params::{EarlyStopping, Keep, LoraParams, Method, TargetNames, TrainParams};
use self::{dataset::Examples, params::NEVER};
use crate::model::training::{EVAL_SCORE, Training, check_context, log_table, train_in_stage, training_error};
use crate::rows::ports;
use crate::{
    model::{
        self, Asked, BaseModel, InFlight, ModelRef, WeightForm, adapter_rank, estimate, model_error, model_port,
        resolve_local,
    },
    prompts::Purpose,
};

/// The kind.
pub struct Train;

/// The name of the adapter inside the decoder.
const ADAPTER: &str = "trained";

impl StageKind for Train {
    type Params = TrainParams;
    const NAME: &'static str = "train";
    // 1: the first.
    const VERSION: u32 = 1;

    fn ports(&self, params: &TrainParams) -> Ports {
        let examples = |name: &'static str, required, about| {
            InputPort::new(name, PortType::Table, required)
                .about(about)
                .needs([ports::instruction().or("messages"), ports::output().or("references").or("messages")])
                .takes([ports::id(), ports::input(), ports::passages()])
        };
        let trained = match params.method {
            Method::Lora => OutputPort::new("adapter", PortType::Files).about("A LoRA adapter in PEFT's layout."),
            Method::Full => {
                OutputPort::new("model", PortType::Files).about("The whole model, as a Hugging Face directory.")
            }
        };
        let log = ports::training_log();
        let log = match &params.eval_answers {
            Some(_) => log.gives([Column::number(EVAL_SCORE, "What the answers to held-out rows were worth.")]),
            None => log,
        };
        Ports {
            inputs: vec![
                examples("examples", true, "The rows that are trained on.").role(Role::Seeds),
                examples("seeds", false, "Further rows that are trained on, written by people.").role(Role::Seeds),
                examples("evaluation", false, "Rows that are measured on the way, and not trained on."),
                InputPort::new("adapter", PortType::Files, false).about(
                    "An adapter in PEFT's layout to go on from: its rank, scale and modules are kept, whatever `lora` \
                     says but for its dropout.",
                ),
                model_port(params.model.as_ref()),
            ],
            open_inputs: false,
            outputs: vec![trained, log],
        }
    }

    fn check(&self, params: &TrainParams) -> Vec<ParamProblem> {
        params.problems()
    }

    fn check_files(&self, params: &TrainParams, folder: &Path) -> Vec<ParamProblem> {
        params.template.problems(Purpose::Respond, folder)
    }

    fn sources(&self, params: &TrainParams) -> Result<Vec<Source>, StageError> {
        let mut sources = match &params.engine {
            None => ModelRef::sources(params.model.as_ref()),
            // What a program computes is of its class, not of this machine's.
            Some(engine) => {
                let model = params.model.as_ref().map(ModelRef::source);
                model.into_iter().chain(engine.key_sources()).collect()
            }
        };
        sources.push(params.template.source(Purpose::Respond));
        Ok(sources)
    }

    fn highlights(&self, _: &TrainParams) -> Vec<Highlight> {
        vec![
            Highlight::Count { counter: "steps", heading: "steps" },
            Highlight::Count { counter: "tokens_trained", heading: "tokens trained" },
        ]
    }

    fn preview(&self, params: &TrainParams, host: &dyn SourceHost) -> Result<Preview, StageError> {
        let template = Some((&params.template, Purpose::Respond));
        // What a program does with them is its own affair.
        let weights = if params.engine.is_none() { params.weights } else { WeightForm::default() };
        let asked = Asked { weights, template, ..Asked::default() };
        let mut preview = model::preview(params.model.as_ref(), &asked, host)?;
        if let Some(seen) = model::seen(params.model.as_ref(), host)? {
            if params.method == Method::Lora {
                params.lora.config().targets(&seen.config).map_err(|e| training_error(e.into()))?;
            }
            check_context(params.max_seq_len.unwrap_or(0), seen.config.max_position_embeddings)?;
            // What a program takes, and of which device, nobody knows but itself.
            preview.memory = params.engine.is_none().then(|| estimate(&seen, params.weights, params.work()));
        }
        // One that is gone on from keeps its own.
        if params.method == Method::Lora && !host.connected("adapter") {
            preview.columns.insert("adapter".to_owned(), vec![adapter_rank(params.lora.r)]);
        }
        if let Some(engine) = &params.engine {
            engine.look(host)?;
            preview.place = Some(format!("program {}", engine.name(host.base_dir())));
        }
        Ok(preview)
    }

    fn run(&self, params: &TrainParams, cx: &mut StageContext) -> Result<(), StageError> {
        let base = resolve_local(cx, params.model.as_ref())?;
        let examples = Examples::read(params, cx, &base)?;
        cx.check_cancelled()?;
        if let Some(engine) = &params.engine {
            let earlier = cx.optional_files("adapter")?;
            let log = external::train(engine, params, cx, &base, &examples, earlier.as_deref())?;
            return write_log(cx, &log);
        }
        let mut adapter = params.lora.config();
        let decoder = match (params.method, cx.optional_files("adapter")?) {
            (Method::Lora, None) => {
                let mut decoder = Decoder::clone(&*base.decoder(params.weights)?);
                attach_lora(&mut decoder, ADAPTER, &adapter, params.seed).map_err(training_error)?;
                decoder
            }
            (Method::Lora, Some(earlier)) => {
                let (config, weights) = load_adapter(&earlier, base.config()).map_err(model_error)?;
                adapter = AdapterConfig { lora_dropout: params.lora.dropout, ..config };
                let mut decoder = Decoder::clone(&*base.decoder(params.weights)?);
                continue_lora(&mut decoder, ADAPTER, &weights, params.lora.dropout).map_err(training_error)?;
                decoder
            }
            (Method::Full, None) => base.trainable()?,
            (Method::Full, Some(_)) => {
                return Err(StageError::user_help(
                    "an adapter is connected, and the whole model is to be trained",
                    "leave the input `adapter` out, or use `method: lora`; `export` folds an adapter into its base",
                ));
            }
        };
        let every = params.eval_steps.unwrap_or(NEVER);
        let answered = || -> Result<f64, StageError> {
            let Some((exam, answers)) = examples.exam.as_ref().zip(params.eval_answers.as_ref()) else {
                return Err(StageError::contract("nobody is to be examined"));
            };
            let options = InFlight::of(cx, answers.slots);
            let model = match params.method {
                Method::Lora => {
                    let now = decoder.adapter(ADAPTER).map_err(model_error)?;
                    base.generator_with(params.weights, &now, options)?
                }
                Method::Full => base.generator_of(&decoder, options)?,
            };
            exam.score(cx, &model)
        };
        let score = || answered().map_err(Into::into);
        let identity = params.eval_answers.as_ref().map(EvalAnswers::identity);
        let judge = examples.exam.as_ref().zip(identity.as_deref()).map(|(_, name)| Judge { name, score: &score });
        let stopping = params.stopping();
        let training = Training {
            data: &examples.training,
            evaluation: examples.held_out.as_ref().map(|data| Evaluation { data, every, stopping, judge }),
            base_identity: "",
            checkpoint_steps: params.checkpoint_steps,
        };
        let log = train_in_stage(cx, &decoder, &params.config(), &training)?;
        match params.method {
            Method::Lora => {
                let trained = decoder.adapter(ADAPTER).map_err(model_error)?;
                let dir = cx.output_dir("adapter")?;
                save_adapter(&dir, &adapter, &trained, decoder.config()).map_err(model_error)?;
            }
            Method::Full => save_model(cx, &base, &decoder)?,
        }
        write_log(cx, &log)
    }
}

fn write_log(cx: &StageContext, log: &TrainLog) -> Result<(), StageError> {
    let log = log_table(log)?;
    cx.write_batches("log", log.schema_ref(), [&log])?;
    Ok(())
}

/// A Hugging Face directory with the trained weights in f32 and the base's tokenizer and configuration.
fn save_model(cx: &StageContext, base: &BaseModel, decoder: &Decoder) -> Result<(), StageError> {
    let detached = decoder.dense_tensors().into_iter().map(|(name, tensor)| (name, tensor.detach())).collect();
    let weights = Weights::from_tensors(detached, base.config()).map_err(model_error)?;
    let merged = Merged::new(&weights, base.config(), None, Some(DType::F32));
    export_hf(&cx.output_dir("model")?, base.folder()?, &merged, base.ends(), MAX_SHARD_BYTES).map_err(model_error)?;
    Ok(())
}

impl LoraParams {
    /// Without the base's name: where that lies must not change the adapter.
    fn config(&self) -> AdapterConfig {
        let targets = match &self.target_modules {
            TargetNames::One(name) if name == params::ALL_LINEAR => TargetModules::AllLinear,
            TargetNames::One(pattern) => TargetModules::Pattern(pattern.clone()),
            TargetNames::Many(names) => TargetModules::Names(names.clone()),
        };
        AdapterConfig {
            lora_dropout: self.dropout,
            use_rslora: self.use_rslora,
            ..AdapterConfig::new(self.r, self.alpha, targets)
        }
    }
}

/// What the kind makes of little.
#[cfg(test)]
pub(crate) const GOLDEN: crate::golden::Golden = crate::golden::Golden {
    stage: "inputs: { examples: respond }, params: { model: MODEL, lora: { r: 2 }, budget: { steps: 2 }, \
        warmup_steps: 0 }",
    version: 1,
    outputs: &[
        ("adapter", "a90cef078aeb3f07b640175424d87c3d55bbb442e4da079817ab02ec955dc27d"),
        ("log", "6a33e84b42e51e2029d7a8dfab9878783b447e4248ae2a37a138549e73cb1ea8"),
    ],
};
