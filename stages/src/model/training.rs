//! What the kinds that train share: checkpoints, progress, cancellation, errors and the log.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, Float64Array, RecordBatch, UInt64Array},
    datatypes::{Field, Schema},
};
use pipe_engine::{
    context::{Measure, StageContext},
    kind::{ParamProblem, StageError},
};
use pipe_lm::train::{
    Checkpoints, Dataset, EvalRecord, Evaluation, Example, Observer, Progress, StepRecord, Stopping, Surroundings,
    TrainConfig, TrainError, TrainLog, Trainable, train,
};

/// Checkpoints kept of a running training: the newest, and one before it in case the newest is damaged.
const KEPT_CHECKPOINTS: usize = 2;

/// The first parameter that has no meaning, if there is one. `own_name` is what the stage calls a parameter of
/// [`TrainConfig`].
pub(crate) fn config_problem(
    config: &TrainConfig,
    own_name: impl Fn(&'static str) -> &'static str,
) -> Option<ParamProblem> {
    let (pointer, error) = match config.validate().err()? {
        TrainError::BadParameter { name, value, must } => {
            let name = own_name(name);
            (format!("/{}", name.replace('.', "/")), TrainError::BadParameter { name, value, must })
        }
        error => (String::new(), error),
    };
    Some(ParamProblem { pointer, message: error.to_string(), help: None })
}

/// Refuses to train on sequences for which the model has no positions.
///
/// # Errors
/// `max_seq_len` is above the model's context.
pub(crate) fn check_context(max_seq_len: usize, context: usize) -> Result<(), StageError> {
    if max_seq_len <= context {
        return Ok(());
    }
    Err(StageError::user_help(
        format!("`max_seq_len` is {max_seq_len}, and the model's context is {context}"),
        "lower `max_seq_len`, or take a model with a longer context",
    ))
}

/// What could be made of rows with these ids. Rows of which nothing could are counted and told: one of them ends no
/// training.
///
/// # Errors
/// Nothing could be made of any.
pub(crate) fn left_over<'a>(
    cx: &StageContext,
    ids: impl Iterator<Item = &'a str>,
    made: Vec<Result<Example, StageError>>,
) -> Result<Vec<Example>, StageError> {
    let (mut examples, mut failed, mut first) = (Vec::with_capacity(made.len()), 0, None);
    for (id, made) in ids.zip(made) {
        match made {
            Ok(example) => examples.push(example),
            Err(StageError::Cancelled) => return Err(StageError::Cancelled),
            Err(error) => {
                failed += 1;
                first.get_or_insert((id, error));
            }
        }
    }
    let Some((id, error)) = first else { return Ok(examples) };
    if examples.is_empty() {
        return Err(error);
    }
    cx.counter("examples_unusable", failed);
    let all = examples.len() as u64 + failed;
    cx.warn(format!(
        "{failed} of {all} rows could not be turned into examples and were left out (row `{id}`: {error})"
    ));
    Ok(examples)
}

/// What a training of a stage is about, besides its parameters.
pub(crate) struct Training<'a> {
    /// The rows to learn from.
    pub data: &'a Dataset,
    /// Held-out rows.
    pub evaluation: Option<Evaluation<'a>>,
    /// Names the frozen weights in checkpoints.
    pub base_identity: &'a str,
    /// Optimizer steps between checkpoints.
    pub checkpoint_steps: u64,
}

/// Trains `model` inside a stage: goes on from the checkpoint that a killed or cancelled run of the same stage left
/// behind, says how far it is, stops when the run is cancelled, and leaves counts with the result.
///
/// # Errors
/// [`StageError::Cancelled`], after a checkpoint; a user error for rows and parameters that cannot be trained with.
pub(crate) fn train_in_stage(
    cx: &StageContext,
    model: &(impl Trainable + ?Sized),
    config: &TrainConfig,
    training: &Training<'_>,
) -> Result<TrainLog, StageError> {
    let checkpoints =
        Checkpoints { dir: cx.checkpoint_dir()?, every: training.checkpoint_steps, keep: KEPT_CHECKPOINTS };
    let surroundings = Surroundings {
        evaluation: training.evaluation,
        checkpoints: Some(&checkpoints),
        base_identity: training.base_identity,
    };
    let outcome = train(model, training.data, config, surroundings, &mut Watch { cx }).map_err(training_error)?;
    if let Some(step) = outcome.resumed_from {
        cx.note(format!("went on from the checkpoint of step {step}"));
    }
    if !outcome.finished {
        cx.check_cancelled()?;
        return Err(StageError::contract("a training stopped although nobody asked for it"));
    }
    let stopping = training.evaluation.map(|evaluation| evaluation.stopping).unwrap_or_default();
    leave_counts(cx, &outcome.log, stopping);
    Ok(outcome.log)
}

/// Leaves with the result what a training came to, and says what people should know of it.
pub(crate) fn leave_counts(cx: &StageContext, log: &TrainLog, stopping: Stopping) {
    if log.steps.iter().all(|step| step.learning_rate == 0.0 || step.grad_norm == 0.0) {
        let why = if log.steps.iter().all(|step| step.learning_rate == 0.0) {
            "the learning rate was 0 at every step; a warmup begins with 0, so that the budget must be longer than it"
        } else {
            "no gradient came through"
        };
        cx.warn(format!("nothing was learned, and the weights are those of the start: {why}"));
    }
    if (stopping.keep_best || stopping.patience.is_some()) && log.evals.len() == 1 && log.steps.len() > 1 {
        cx.warn(format!(
            "held-out rows were measured once, at the end: nothing could end the training before, nor be better than \
             its last weights; an `eval_steps` below the {} steps measures on the way",
            log.steps.len()
        ));
    }
    if let Some(step) = stopping.best_step(&log.evals) {
        cx.counter("best_step", step);
        cx.note(format!("the weights are those of step {step}, of {}", log.steps.len()));
    }
    let sum = |value: fn(&StepRecord) -> u64| log.steps.iter().map(value).sum();
    cx.counter("examples", log.data.rows as u64);
    cx.counter("steps", log.steps.len() as u64);
    cx.counter("tokens_trained", sum(|s| s.tokens));
    cx.counter("target_tokens_trained", sum(|s| s.target_tokens));
}

/// Reports progress, and stops a training that is to be cancelled.
pub(crate) struct Watch<'a> {
    /// Of the stage.
    pub cx: &'a StageContext,
}

impl Observer for Watch<'_> {
    fn on_eval(&mut self, record: &EvalRecord) {
        self.cx.fact("held-out loss", Measure::Value, record.loss);
        self.cx.series(record.step, &[("eval/loss", record.loss)]);
        if let Some(score) = record.score {
            self.cx.fact("held-out score", Measure::Value, score);
            self.cx.series(record.step, &[("eval/score", score)]);
        }
    }

    fn on_step(&mut self, progress: Progress<'_>) -> ControlFlow<()> {
        let step = progress.record;
        let series = [
            ("train/loss", step.loss),
            ("train/learning_rate", step.learning_rate),
            ("train/grad_norm", step.grad_norm),
            ("train/epoch", step.epoch),
        ];
        self.cx.series(step.step, &series);
        self.cx.fact("loss", Measure::Value, progress.record.loss);
        self.cx.add_to_fact("tokens", Measure::Pace, progress.record.tokens as f64);
        self.cx.progress(progress.record.step, Some(progress.total_steps), "steps");
        if self.cx.check_cancelled().is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

/// Sorts failures into those of rows and parameters, with advice, and the rest.
pub(crate) fn training_error(error: TrainError) -> StageError {
    let error = match error {
        // A mistake of the stage's own.
        TrainError::Judge(source) => {
            return source.downcast().map_or_else(|e| StageError::other("score held-out rows", e), |stage| *stage);
        }
        error => error,
    };
    let help = match &error {
        TrainError::BadExample { .. } | TrainError::NoTarget { .. } => "repair the row or leave it out",
        TrainError::NoExamples { .. } => "connect rows, or raise `max_seq_len`",
        TrainError::BadParameter { .. } => "change the parameter",
        TrainError::UnknownTarget { .. } | TrainError::Adapter(_) => "change `lora.target_modules`, or leave it out",
        TrainError::LossNotFinite { .. }
        | TrainError::GradientNotFinite { .. }
        | TrainError::ParameterNotFinite { .. } => "lower `learning_rate`",
        TrainError::LossNotFalling { .. } => "change `learning_rate`, or look at the rows",
        TrainError::NothingToTrain
        | TrainError::NoGradientFlow { .. }
        | TrainError::CheckpointMismatch { .. }
        | TrainError::Checkpoint { .. }
        | TrainError::Judge(_)
        | TrainError::Model(_)
        | TrainError::Tensor(_) => return StageError::other("train", error),
    };
    StageError::user_help(error.to_string(), help)
}

/// The column of scores in a log.
pub(crate) const EVAL_SCORE: &str = "eval_score";

/// The log as a table: one row per optimizer step. `eval_loss` is null where nothing was evaluated, and [`EVAL_SCORE`]
/// there where anything was scored.
pub(crate) fn log_table(log: &TrainLog) -> Result<RecordBatch, StageError> {
    let of_steps = |value: fn(&EvalRecord) -> Option<f64>| -> ArrayRef {
        let evals: BTreeMap<u64, f64> = log.evals.iter().filter_map(|e| Some((e.step, value(e)?))).collect();
        Arc::new(log.steps.iter().map(|s| evals.get(&s.step).copied()).collect::<Float64Array>())
    };
    let counts =
        |value: fn(&StepRecord) -> u64| -> ArrayRef { Arc::new(log.steps.iter().map(value).collect::<UInt64Array>()) };
    let numbers = |value: fn(&StepRecord) -> f64| -> ArrayRef {
        Arc::new(log.steps.iter().map(|s| Some(value(s))).collect::<Float64Array>())
    };
    let mut columns = vec![
        ("step", counts(|s| s.step)),
        ("epoch", numbers(|s| s.epoch)),
        ("loss", numbers(|s| s.loss)),
        ("eval_loss", of_steps(|e| Some(e.loss))),
        ("learning_rate", numbers(|s| s.learning_rate)),
        ("grad_norm", numbers(|s| s.grad_norm)),
        ("tokens", counts(|s| s.tokens)),
        ("target_tokens", counts(|s| s.target_tokens)),
    ];
    if log.evals.iter().any(|e| e.score.is_some()) {
        columns.push((EVAL_SCORE, of_steps(|e| e.score)));
    }
    let field = |(name, c): &(&str, ArrayRef)| Field::new(*name, c.data_type().clone(), name.starts_with("eval_"));
    let fields: Vec<Field> = columns.iter().map(field).collect();
    let columns = columns.into_iter().map(|(_, c)| c).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|e| StageError::other("put the training log into a table", e))
}
