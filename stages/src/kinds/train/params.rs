//! The parameters of `train`.

use pipe_engine::kind::ParamProblem;
use pipe_lm::{
    origin::ModelOrigin,
    train::{AdamWConfig, Budget, OptimizerConfig, Scheduler, Stopping, TooLong, TrainConfig, Warmup},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{answers::EvalAnswers, batch::BatchParams, external::engine::Engine};
use crate::model::training::config_problem;
use crate::{
    model::{ModelRef, WeightForm, Work},
    prompts::{ChatDate, Purpose, TemplateRef, template_variables},
    rows::open_book::OpenBook,
};

/// In place of a number of steps: not before the end.
pub(super) const NEVER: u64 = u64::MAX;
/// All linear layers but the output projection.
pub(super) const ALL_LINEAR: &str = "all-linear";

/// Trains a LoRA adapter (or the whole model) on `examples`: rows with `instruction`, `output` and where there is one
/// `input`; or conversations, rows with `messages` (`{role, content}`) and no `instruction`.
///
/// Conversations are written by the model's own chat template, and the loss falls on every turn of the assistant, as
/// with TRL's `assistant_only_loss`: on what the template marks with `{% generation %}`, and where it marks nothing, on
/// what follows the prompt that the model would have been given there. Those with a turn without text are left out.
///
/// The loss falls on the answer and the token that ends it. The rows of the input `seeds`, if connected, are trained on
/// as well; an arm on seeds alone connects them as `examples`. Held-out rows come from the input `evaluation` or from
/// `eval_fraction`. Rows without an instruction or an answer, on which the template fails, or that are too long, are
/// left out, counted and said. The output `adapter` is a directory in PEFT's layout (with `method: full`, `model` is a
/// Hugging Face directory); `log` has one row per optimizer step.
///
/// `engine` names a program that trains in place of the built-in trainer, on a GPU: with transformers and PEFT (it is
/// there: `builtin:peft_trainer.py`), or one of yours. It is given the same rows in the same order, and its adapter is
/// checked.
///
/// Defaults follow QLoRA's reference (Dettmers et al. 2023, arXiv:2305.14314, artidoro/qlora), except that nothing is
/// quantised unless asked for, and 3 epochs. A killed training goes on from its last checkpoint to the same bytes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = WeightForm::with_old_name)]
pub struct TrainParams {
    /// The base model. Its files enter the key by content. Or connect the input `model`.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub model: Option<ModelRef>,
    /// The prompt in front of the answer; the same one as in `respond` and `evaluate`. Its text enters the key.
    #[serde(default)]
    #[schemars(extend("x-operational" = true, "x-variables" = template_variables(Purpose::Respond)))]
    pub template: TemplateRef,
    /// The date that the model's chat template may print (`strftime_now`), such as 2025-01-31. It is never the clock's:
    /// 2024-07-26 when left out, as Llama 3's template has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat_date: Option<ChatDate>,
    /// The domain that templates may name.
    #[serde(default)]
    pub domain: String,
    /// The passages that the prompt shows.
    #[serde(flatten)]
    pub passages: OpenBook,
    /// A program that trains in place of the built-in trainer: on a GPU, with libraries of its own. What it is given
    /// and leaves is the same; the key has its content and versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-operational" = true, "x-folder" = true))]
    pub engine: Option<Engine>,
    /// What is trained.
    #[serde(default)]
    pub method: Method,
    /// The adapter.
    #[serde(default)]
    pub lora: LoraParams,
    /// The form in which the frozen base is kept in memory. `nf4` with `method: lora` is QLoRA; so are a GGUF file's
    /// own blocks. Give stages that run the adapter the same value, and they run what was trained.
    #[serde(default, rename(serialize = "quantization"), alias = "quantization")]
    pub weights: WeightForm,
    /// How long to train. `{epochs: 3}` or `{steps: 250}`: arms with equal steps are matched in compute.
    #[serde(default = "three_epochs")]
    pub budget: Budget,
    /// The rows of an optimizer step.
    #[serde(flatten)]
    pub batch: BatchParams,
    /// Peak learning rate.
    #[serde(default = "default_learning_rate")]
    pub learning_rate: f64,
    /// Shape of the learning rate after warmup.
    #[serde(default)]
    pub lr_scheduler: Scheduler,
    /// Share of all steps over which the learning rate rises; 0.03 if neither this nor `warmup_steps` is given.
    #[serde(default)]
    pub warmup_ratio: Option<f64>,
    /// Optimizer steps over which the learning rate rises.
    #[serde(default)]
    pub warmup_steps: Option<u64>,
    /// Decoupled weight decay of AdamW.
    #[serde(default)]
    pub weight_decay: f64,
    /// AdamW's decay rates of the first and second moment.
    #[serde(default = "default_betas")]
    pub betas: [f64; 2],
    /// AdamW's epsilon.
    #[serde(default = "default_epsilon")]
    pub adam_epsilon: f64,
    /// Gradients are scaled down to this global norm; null leaves them.
    #[serde(default = "default_norm")]
    pub max_grad_norm: Option<f64>,
    /// Longest row in tokens, prompt and answer; the model's context if left out.
    #[serde(default)]
    pub max_seq_len: Option<usize>,
    /// What becomes of longer rows. A row that is cut off teaches not to stop.
    #[serde(default)]
    pub too_long: TooLong,
    /// Whether rows of similar length go into one step.
    #[serde(default)]
    pub group_by_length: bool,
    /// Whether the loss falls on the prompt, too.
    #[serde(default)]
    pub train_on_prompt: bool,
    /// Seeds the adapter, the order of the rows, dropout and `eval_fraction`.
    #[serde(default)]
    pub seed: u64,
    /// Share of `examples` held out to measure the loss on.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub eval_fraction: f64,
    /// Optimizer steps between measurements on held-out rows; only at the end if left out.
    #[serde(default)]
    pub eval_steps: Option<u64>,
    /// Have the model answer held-out rows at each measurement, too, and score the answers: that score then decides in
    /// place of the loss (`early_stopping`, `keep: best`), and the log has it as `eval_score`. `{}` is token F1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_answers: Option<EvalAnswers>,
    /// End before the budget is used up, when the loss on held-out rows falls no more. Needs `eval_steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<EarlyStopping>,
    /// Which weights are the result.
    #[serde(default, skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
    /// Fail when the mean loss over this many steps is not below that over the first as many.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub stall_window: Option<u64>,
    /// Compute activations again in the backward pass instead of keeping them: less memory, more time, the same result.
    #[serde(default)]
    #[schemars(extend("x-operational" = true))]
    pub gradient_checkpointing: bool,
    /// Optimizer steps between checkpoints.
    #[serde(default = "default_checkpoint_steps")]
    #[schemars(range(min = 1), extend("x-operational" = true))]
    pub checkpoint_steps: u64,
}

/// A low-rank adapter (LoRA, Hu et al. 2021, arXiv:2106.09685).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoraParams {
    /// Rank.
    #[schemars(range(min = 1))]
    pub r: usize,
    /// The update is scaled by alpha / r.
    pub alpha: f64,
    /// Share of the adapter's inputs that are zeroed while training.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub dropout: f64,
    /// `all-linear` (all linear layers but the output projection), a regular expression for whole module names, or a
    /// list of names such as `[q_proj, v_proj]`.
    pub target_modules: TargetNames,
    /// Scale by alpha / sqrt(r) instead (rsLoRA, Kalajdzievski 2023, arXiv:2312.03732).
    pub use_rslora: bool,
}

impl Default for LoraParams {
    fn default() -> Self {
        Self {
            r: 64,
            alpha: 16.0,
            dropout: 0.0,
            target_modules: TargetNames::One(ALL_LINEAR.to_owned()),
            use_rslora: false,
        }
    }
}

/// When a training ends before its budget is used up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EarlyStopping {
    /// End after so many evaluations in succession that were no better than the best before them.
    #[schemars(range(min = 1))]
    pub patience: u64,
    /// By how much the loss must fall to count as better, in nats per token; with `eval_answers`, the score rise.
    /// `keep: best` goes by it, too.
    #[schemars(range(min = 0.0))]
    pub min_delta: f64,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        Self { patience: 3, min_delta: 0.0 }
    }
}

/// Which weights are the result of a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those of the last step.
    #[default]
    Last,
    /// Those of the evaluation with the lowest loss on held-out rows, or with the highest score where these are
    /// answered (`eval_answers`). Needs `eval_steps`.
    Best,
}

impl Keep {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde wants")]
    fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// One text or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TargetNames {
    /// `all-linear` or a pattern.
    One(String),
    /// Names.
    Many(Vec<String>),
}

/// What is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A low-rank adapter on the frozen base.
    #[default]
    Lora,
    /// Every weight.
    Full,
}

fn three_epochs() -> Budget {
    Budget::Epochs(3.0)
}
fn default_learning_rate() -> f64 {
    2e-4
}
fn default_betas() -> [f64; 2] {
    [0.9, 0.999]
}
fn default_epsilon() -> f64 {
    1e-8
}
#[expect(clippy::unnecessary_wraps, reason = "the default of an optional parameter")]
fn default_norm() -> Option<f64> {
    Some(0.3)
}
fn default_checkpoint_steps() -> u64 {
    50
}

/// What kind of model this is, if it is one that cannot be trained.
fn untrainable(model: &ModelRef, method: Method) -> Option<&'static str> {
    match model {
        ModelRef::Endpoint(_) | ModelRef::Served(_) => Some("a model behind a server"),
        ModelRef::Files(ModelOrigin::Gguf(_)) if method == Method::Full => Some("every weight of a GGUF file"),
        ModelRef::Files(_) => None,
    }
}

impl TrainParams {
    /// What it asks of memory.
    pub(super) fn work(&self) -> Work {
        Work::Training {
            rows: self.batch.parts().unwrap_or_default().0,
            tokens: self.max_seq_len,
            checkpointing: self.gradient_checkpointing,
            rank: (self.method == Method::Lora).then_some(self.lora.r),
        }
    }

    pub(super) fn config(&self) -> TrainConfig {
        let [beta1, beta2] = self.betas;
        let adamw = AdamWConfig { beta1, beta2, eps: self.adam_epsilon, weight_decay: self.weight_decay };
        let warmup = match (self.warmup_ratio, self.warmup_steps) {
            (_, Some(steps)) => Warmup::Steps(steps),
            (ratio, None) => Warmup::Ratio(ratio.unwrap_or(0.03)),
        };
        let (micro_batch_size, gradient_accumulation_steps) = self.batch.parts().unwrap_or_default();
        TrainConfig {
            seed: self.seed,
            budget: self.budget,
            micro_batch_size,
            gradient_accumulation_steps,
            group_by_length: self.group_by_length,
            gradient_checkpointing: self.gradient_checkpointing,
            learning_rate: self.learning_rate,
            lr_scheduler: self.lr_scheduler,
            warmup,
            optimizer: OptimizerConfig::Adamw(adamw),
            max_grad_norm: self.max_grad_norm,
            stall_window: self.stall_window,
        }
    }

    /// Whether there must be held-out rows.
    pub(super) fn needs_held_out(&self) -> bool {
        self.decides() || self.eval_answers.is_some()
    }

    /// Whether held-out rows decide when the training ends, or with which weights.
    fn decides(&self) -> bool {
        self.early_stopping.is_some() || self.keep == Keep::Best
    }

    pub(super) fn stopping(&self) -> Stopping {
        Stopping {
            keep_best: self.keep == Keep::Best,
            patience: self.early_stopping.as_ref().map(|stopping| stopping.patience),
            min_delta: self.early_stopping.as_ref().map_or(0.0, |stopping| stopping.min_delta),
        }
    }

    pub(super) fn problems(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        let mut problem = |pointer: &str, message: &str, help: &str| {
            problems.push(ParamProblem { pointer: pointer.into(), message: message.into(), help: Some(help.into()) });
        };
        if self.method == Method::Full && self.weights != WeightForm::F32 {
            problem("/weights", "rounded weights cannot be trained", "leave it out, or use `method: lora`");
        }
        if let Some(what) = self.model.as_ref().and_then(|model| untrainable(model, self.method)) {
            let help =
                "give a Hugging Face directory or hub id; another model can still write the instructions and answers";
            problem("/model", &format!("{what} cannot be trained"), help);
        }
        if self.engine.is_some() && self.method == Method::Full {
            let help = "leave `engine` out, or use `method: lora`";
            problem("/engine", "a program of yours trains adapters, and the whole model is to be trained", help);
        }
        if self.engine.is_some() && self.eval_answers.is_some() {
            let help = "leave it out: the program measures the loss; a stage `evaluate` scores its adapter";
            problem("/eval_answers", "a program of yours trains, and the model that answers is not here", help);
        }
        if self.warmup_ratio.is_some() && self.warmup_steps.is_some() {
            problem("/warmup_steps", "the warmup is given twice", "give `warmup_ratio` or `warmup_steps`");
        }
        if !(0.0..1.0).contains(&self.lora.dropout) {
            problem("/lora/dropout", "a dropout lies between 0 and 1, 1 excluded", "0.05 is usual");
        }
        if !(self.lora.alpha.is_finite() && self.lora.alpha > 0.0) {
            problem("/lora/alpha", "alpha is a positive number", "twice the rank is usual");
        }
        if !(0.0..1.0).contains(&self.eval_fraction) {
            problem("/eval_fraction", "something must be left to train on", "0.05 holds every twentieth row out");
        }
        if self.eval_steps == Some(0) {
            problem("/eval_steps", "the number of steps is 0", "leave it out to measure at the end only");
        }
        if self.decides() && self.eval_steps.is_none() {
            let (pointer, what) = match &self.early_stopping {
                Some(_) => ("/early_stopping", "nothing is measured before the end, so that nothing can end it"),
                None => ("/keep", "nothing is measured before the end, so that the best is the last"),
            };
            problem(pointer, what, "say with `eval_steps` how often held-out rows are looked at");
        }
        if self.betas.iter().any(|beta| !(0.0..1.0).contains(beta)) {
            problem("/betas", "a decay rate lies between 0 and 1, 1 excluded", "[0.9, 0.999] is usual");
        }
        problems.extend(self.engine.iter().flat_map(Engine::problems));
        match self.batch.parts() {
            Ok(_) => problems.extend(config_problem(&self.config(), |name| name)),
            Err(problem) => problems.push(problem),
        }
        problems
    }
}
