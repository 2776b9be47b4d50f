//! The training loop.

use super::{
    Checkpoints, Dataset, EvalRecord, MicroBatch, Observer, Optimizer, Order, Params, Progress, StepRecord, Stopping,
    TrainConfig, TrainError, TrainLog, Trainable, backprop, checkpoint::Identity, guard, host, schedule,
    stopping::Best,
};
use crate::ops::{self, Arena};
use std::time::Instant;

/// Held-out rows, evaluated during training and at its end.
#[derive(Debug, Clone, Copy)]
pub struct Evaluation<'a> {
    /// The rows.
    pub data: &'a Dataset,
    /// Optimizer steps between evaluations.
    pub every: u64,
    /// What follows from them.
    pub stopping: Stopping,
    /// Who scores the model besides.
    pub judge: Option<Judge<'a>>,
}

/// Scores a model while it is trained, by what it answers, say.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// What is measured; in the log, and in the identity of checkpoints.
    pub name: &'a str,
    /// The score of the parameters as they are; more is better. It must depend on nothing else.
    pub score: &'a (dyn Fn() -> Result<f64, Box<dyn std::error::Error + Send + Sync>> + Sync),
}

impl std::fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Judge").field(&self.name).finish()
    }
}

/// What surrounds a training without changing what is learned.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// Held-out rows.
    pub evaluation: Option<Evaluation<'a>>,
    /// Where to keep checkpoints, and to look for one to resume from.
    pub checkpoints: Option<&'a Checkpoints>,
    /// Names the frozen part of the model (for example its digest) in checkpoints, so that none is resumed on another.
    pub base_identity: &'a str,
}

/// How a training ended.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The record of every step, including those before a resume.
    pub log: TrainLog,
    /// Whether the budget was used up; `false` if an observer stopped it.
    pub finished: bool,
    /// The step from which a checkpoint was resumed.
    pub resumed_from: Option<u64>,
    /// The step whose weights were kept, where the best were; else they are those of the last.
    pub best_step: Option<u64>,
}

/// Trains the trainable parameters of `model` on `data`.
///
/// The result is a function of the model, the data and `config` alone: not of the number of threads, nor of where a
/// training was stopped and resumed.
///
/// # Errors
/// See [`TrainError`]; among others a loss or gradient that is not finite, and adapters that no gradient reaches.
pub fn train<M: Trainable + ?Sized>(
    model: &M,
    data: &Dataset,
    config: &TrainConfig,
    surroundings: Surroundings,
    observer: &mut dyn Observer,
) -> Result<Trained, TrainError> {
    config.validate()?;
    let params = model.parameters();
    if params.is_empty() {
        return Err(TrainError::NothingToTrain);
    }
    Loop::new(model, data, config, surroundings, params).run(observer)
}

struct Loop<'a, M: ?Sized> {
    model: &'a M,
    data: &'a Dataset,
    config: &'a TrainConfig,
    around: Surroundings<'a>,
    params: Params,
    optimizer: Optimizer,
    order: Order,
    total_steps: u64,
    /// Sums over the micro-batches of a step, in the order of `params`.
    grads: Vec<Vec<f32>>,
    /// Memory of activations and gradients, kept from step to step.
    arena: Arena,
    log: TrainLog,
    stopping: Stopping,
    best: Best,
}

/// Runs `work` on a thread of the current pool: each of its many parallel loops then begins where it is, instead of
/// waking the pool and waiting for it.
fn on_the_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

impl<'a, M: Trainable + ?Sized> Loop<'a, M> {
    fn new(model: &'a M, data: &'a Dataset, config: &'a TrainConfig, around: Surroundings<'a>, params: Params) -> Self {
        let order = Order::new(data, config.batch_shape(), config.seed);
        Self {
            model,
            data,
            config,
            around,
            optimizer: Optimizer::new(config.optimizer, &params),
            total_steps: config.total_steps(order.steps_per_epoch()),
            order,
            arena: Arena::default(),
            grads: params.values().map(|var| vec![0.0; var.elem_count()]).collect(),
            params,
            stopping: around.evaluation.map(|evaluation| evaluation.stopping).unwrap_or_default(),
            best: Best::default(),
            log: TrainLog { data: data.report(), ..TrainLog::default() },
        }
    }

    fn run(mut self, observer: &mut dyn Observer) -> Result<Trained, TrainError> {
        let identity = self.identity();
        let resumed_from = match self.around.checkpoints {
            Some(checkpoints) => {
                let (optimizer, log, best) = (&mut self.optimizer, &mut self.log, &mut self.best);
                checkpoints.resume(&identity, &self.params, optimizer, log, best)?
            }
            None => None,
        };
        let (start, mut tokens) = (Instant::now(), 0);
        let mut finished = true;
        for step in resumed_from.unwrap_or(0)..self.total_steps {
            if self.stopping.is_enough(&self.log.evals) {
                break;
            }
            let record = self.step(step, observer)?;
            self.log.steps.push(record);
            tokens += record.tokens;
            let done = step + 1;
            if let Some(window) = self.config.stall_window.filter(|window| done.is_multiple_of(*window)) {
                let losses: Vec<f64> = self.log.steps.iter().map(|s| s.loss).collect();
                guard::check_falling(&losses, window)?;
            }
            self.evaluate(done, observer)?;
            let ended = done == self.total_steps || self.stopping.is_enough(&self.log.evals);
            if ended {
                self.check_end(step)?;
            }
            let tokens_per_second = tokens as f64 / start.elapsed().as_secs_f64();
            let flow = observer.on_step(Progress { record: &record, total_steps: self.total_steps, tokens_per_second });
            let stop = flow.is_break() && !ended;
            if let Some(checkpoints) = self.around.checkpoints
                && (stop || ended || done.is_multiple_of(checkpoints.every.max(1)))
            {
                self.check_parameters(done)?;
                checkpoints.write(done, &identity, &self.params, &self.optimizer, &self.log, &self.best)?;
            }
            if stop {
                finished = false;
                break;
            }
        }
        let best_step = self.stopping.best_step(&self.log.evals);
        if finished {
            self.best.put_back(&self.params)?;
        }
        Ok(Trained { log: self.log, finished, resumed_from, best_step })
    }

    /// One optimizer step; `step` is 0-based.
    fn step(&mut self, step: u64, observer: &mut dyn Observer) -> Result<StepRecord, TrainError> {
        let (record, clip) = on_the_pool(|| self.gradients(step))?;
        observer
            .on_gradients(step, &mut self.params.keys().map(String::as_str).zip(self.grads.iter().map(Vec::as_slice)));
        on_the_pool(|| {
            if let Some(scale) = clip {
                self.grads.iter_mut().for_each(|grad| host::scale(grad, scale));
            }
            self.optimizer.step(&self.params, &self.grads, record.learning_rate)
        })?;
        Ok(record)
    }

    /// Leaves the gradients of `step` in `grads`; gives its record, and by how much to scale them if they are too
    /// large.
    fn gradients(&mut self, step: u64) -> Result<(StepRecord, Option<f32>), TrainError> {
        let window = self.order.window(step);
        let mut micros: Vec<MicroBatch> = window.iter().map(|rows| MicroBatch::pack(self.data, rows)).collect();
        let target_weight: f64 = micros.iter().map(MicroBatch::target_weight).sum();
        // The loss is that of the whole window: a mean over its unmasked tokens, not a mean of micro-batch means.
        for weight in micros.iter_mut().flat_map(|micro| &mut micro.weights) {
            *weight = (f64::from(*weight) / target_weight) as f32;
        }
        self.grads.iter_mut().for_each(|grad| grad.fill(0.0));
        let mut loss = 0.0;
        for (i, micro) in micros.iter().enumerate() {
            loss += self.accumulate(step, i as u64, micro)?;
        }
        let grad_norm = self.check_gradients(step, loss)?;
        let too_large = self.config.max_grad_norm.filter(|max| grad_norm > *max);
        let clip = too_large.map(|max| (max / (grad_norm + 1e-6)) as f32);
        let record = StepRecord {
            step: step + 1,
            epoch: (step + 1) as f64 / self.order.steps_per_epoch() as f64,
            loss,
            learning_rate: self.learning_rate(step),
            grad_norm,
            tokens: micros.iter().map(|m| m.batch.tokens.len() as u64).sum(),
            target_tokens: micros.iter().map(|m| m.target_tokens() as u64).sum(),
        };
        Ok((record, clip))
    }

    /// Adds one micro-batch's gradients; returns its share of the loss.
    fn accumulate(&mut self, step: u64, micro_index: u64, micro: &MicroBatch) -> Result<f64, TrainError> {
        let dropout = backprop::DropoutSeeds { seed: self.config.seed, step, micro: micro_index };
        let checkpointing = self.config.gradient_checkpointing;
        let (arena, sums) = (&mut self.arena, &mut self.grads);
        let loss = arena.enter(|| {
            let result = backprop::gradients(self.model, &self.params, micro, &dropout, checkpointing)?;
            for (sum, grad) in sums.iter_mut().zip(&result.grads) {
                if let Some(grad) = grad {
                    host::with_values(grad, |grad| host::add_assign(sum, grad))?;
                }
            }
            result.grads.iter().flatten().for_each(ops::reclaim);
            Ok::<_, TrainError>(result.loss)
        })?;
        if loss.is_finite() { Ok(loss) } else { Err(self.blame(step, loss, micro)) }
    }

    /// The global norm, after checking that it is finite and that gradients reach the adapters.
    fn check_gradients(&self, step: u64, loss: f64) -> Result<f64, TrainError> {
        let mut squares = 0.0;
        for (name, grad) in self.params.keys().zip(&self.grads) {
            let sum = host::sum_of_squares(grad);
            if !sum.is_finite() {
                return Err(TrainError::GradientNotFinite { step: step + 1, parameter: name.clone(), loss });
            }
            squares += sum;
        }
        let first_move = (0..self.total_steps).find(|&s| self.learning_rate(s) > 0.0).unwrap_or(0);
        if let Some(half) = guard::due(step, first_move) {
            guard::check_flow(&self.params, &self.grads, half, step)?;
        }
        Ok(squares.sqrt())
    }

    /// What the last step did is seen by no later one: the parameters must be finite, and so must be what the model
    /// says of a row with them.
    fn check_end(&mut self, step: u64) -> Result<(), TrainError> {
        self.check_parameters(step + 1)?;
        let Some(row) = self.order.window(step).into_iter().flatten().next() else { return Ok(()) };
        let micro = MicroBatch::pack(self.data, &[row]);
        let loss = on_the_pool(|| backprop::loss_only(self.model, &micro))?;
        if loss.is_finite() { Ok(()) } else { Err(self.blame(step, loss, &micro)) }
    }

    fn check_parameters(&self, done: u64) -> Result<(), TrainError> {
        for (name, var) in &self.params {
            if !host::with_values(var.as_tensor(), host::sum_of_squares)?.is_finite() {
                return Err(TrainError::ParameterNotFinite { step: done, parameter: name.clone() });
            }
        }
        Ok(())
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let config = self.config;
        config.learning_rate * schedule::factor(config.lr_scheduler, config.warmup, step, self.total_steps)
    }

    /// Finds the first row of a micro-batch whose own loss is not finite.
    fn blame(&self, step: u64, loss: f64, micro: &MicroBatch) -> TrainError {
        let broken = |row: &usize| {
            let alone = MicroBatch::pack(self.data, &[*row]);
            !backprop::loss_only(self.model, &alone).is_ok_and(f64::is_finite)
        };
        let row = micro.rows.iter().copied().find(broken).unwrap_or(micro.rows[0]);
        TrainError::LossNotFinite { step: step + 1, loss, row, id: self.data.examples()[row].id.clone() }
    }

    fn evaluate(&mut self, done: u64, observer: &mut dyn Observer) -> Result<(), TrainError> {
        if let Some(evaluation) = self.around.evaluation
            && (done == self.total_steps || done.is_multiple_of(evaluation.every.max(1)))
        {
            let loss = evaluate(self.model, evaluation.data, self.config.micro_batch_size)?;
            let score = evaluation.judge.map(|judge| (judge.score)()).transpose().map_err(TrainError::Judge)?;
            let record = EvalRecord { step: done, loss, score };
            observer.on_eval(&record);
            self.log.evals.push(record);
            if self.stopping.best_step(&self.log.evals) == Some(done) {
                self.best.keep(&self.params)?;
            }
        }
        Ok(())
    }

    fn identity(&self) -> Identity {
        let mut model = blake3::Hasher::new();
        model.update(self.around.base_identity.as_bytes());
        for (name, var) in &self.params {
            model.update(format!("\n{name} {:?}", var.dims()).as_bytes());
        }
        let eval = self.around.evaluation.map(|e| {
            let judge = e.judge.map(|judge| format!(", {}", judge.name)).unwrap_or_default();
            format!("{} every {}{}{judge}", e.data.digest().to_hex(), e.every, e.stopping.identity())
        });
        // What changes no byte of the result does not keep a training from being resumed.
        let config = TrainConfig { gradient_checkpointing: false, stall_window: None, ..self.config.clone() };
        Identity {
            config: serde_json::to_string(&config).expect("a config is plain data"),
            data: self.data.digest().to_hex().to_string(),
            eval: eval.unwrap_or_default(),
            model: model.finalize().to_hex().to_string(),
        }
    }
}

/// Weighted mean loss per unmasked token of `data`, in nats, without dropout.
pub fn evaluate<M: Trainable + ?Sized>(model: &M, data: &Dataset, micro_batch_size: usize) -> Result<f64, TrainError> {
    let rows: Vec<usize> = (0..data.examples().len()).collect();
    let (mut loss, mut weight) = (0.0, 0.0);
    for rows in rows.chunks(micro_batch_size.max(1)) {
        let micro = MicroBatch::pack(data, rows);
        loss += on_the_pool(|| backprop::loss_only(model, &micro))?;
        weight += micro.target_weight();
    }
    Ok(loss / weight)
}
