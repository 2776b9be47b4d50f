//! Trainings that cannot be right fail, and say what happened.

use std::fs;

use pipe_lm::{
    adapter::{AdapterConfig, TargetModules},
    model::{Decoder, ModelError, PackedBatch},
    train::{
        Budget, Checkpoints, Dataset, Example, Params, Scheduler, Surroundings, TooLong, TrainConfig, TrainError,
        Trainable, Warmup, attach_lora, train,
    },
};

use crate::{VOCAB, config, lora, model, rows};

/// A model in which something is broken.
struct Broken<'a> {
    inner: &'a Decoder,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Layer 1 stops the gradient, as an operation without a backward pass does.
    Detached,
    /// The loss of rows that hold this token is NaN.
    NanOn(u32),
}

impl Trainable for Broken<'_> {
    fn parameters(&self) -> Params {
        self.inner.parameters()
    }
    fn num_layers(&self) -> usize {
        self.inner.num_layers()
    }
    fn embed(&self, batch: &PackedBatch) -> Result<candle_core::Tensor, ModelError> {
        self.inner.embed(batch)
    }
    fn layer(
        &self,
        index: usize,
        x: &candle_core::Tensor,
        batch: &PackedBatch,
        seed: Option<u64>,
    ) -> Result<candle_core::Tensor, ModelError> {
        let x = if self.fault == Fault::Detached && index == 1 { &x.detach() } else { x };
        self.inner.layer(index, x, batch, seed)
    }
    fn loss(
        &self,
        x: &candle_core::Tensor,
        targets: &[u32],
        weights: &[f32],
    ) -> Result<candle_core::Tensor, ModelError> {
        let loss = self.inner.loss(x, targets, weights)?;
        match self.fault {
            Fault::NanOn(token) if targets.contains(&token) => Ok(loss.affine(f64::NAN, 0.0).unwrap()),
            _ => Ok(loss),
        }
    }
}

fn fail(fault: Fault, data: &Dataset) -> TrainError {
    let inner = model(&AdapterConfig { lora_dropout: 0.0, ..lora() });
    let config = TrainConfig { warmup: Warmup::Steps(0), ..config() };
    train(&Broken { inner: &inner, fault }, data, &config, Surroundings::default(), &mut ()).unwrap_err()
}

#[test]
fn a_blocked_gradient_is_reported() {
    assert_eq!(
        fail(Fault::Detached, &rows(31, 1)).to_string(),
        "no gradient reaches `base_model.model.model.layers.0.mlp.down_proj.lora_B.weight` at step 1 (6 other \
         parameters likewise): training would be silently without effect"
    );
}

#[test]
fn a_loss_that_is_not_finite_names_the_row() {
    let mut examples = rows(12, 1).examples().to_vec();
    examples.retain(|e| !e.tokens.contains(&40));
    let bad = examples.len();
    examples.push(Example::completion("culprit", vec![1], vec![40], None));
    let data = Dataset::new(examples, 64, TooLong::Truncate, VOCAB).unwrap();
    let error = fail(Fault::NanOn(40), &data);
    assert!(matches!(&error, TrainError::LossNotFinite { row, id, .. } if *row == bad && id == "culprit"), "{error}");
}

#[test]
fn a_loss_that_does_not_fall_is_reported() {
    let model = model(&lora());
    // A rate so low that nothing is learned, with all rows in every step.
    let config = TrainConfig {
        learning_rate: 1e-9,
        micro_batch_size: 31,
        warmup: Warmup::Steps(0),
        budget: Budget::Steps(40),
        stall_window: Some(5),
        ..config()
    };
    let error = train(&model, &rows(31, 1), &config, Surroundings::default(), &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::LossNotFalling { window: 5, .. }), "{error}");
}

#[test]
fn rows_that_cannot_be_trained_on_are_named() {
    let check = |example: Example, expect: &str| {
        let good = Example::completion("good", vec![1], vec![2], None);
        let error = Dataset::new(vec![good, example], 8, TooLong::Truncate, VOCAB).unwrap_err();
        assert_eq!(error.to_string(), expect);
    };
    check(
        Example::completion("masked", vec![1, 2, 3], vec![], None),
        "row 1 (`masked`) has no unmasked token among its 3: its loss would be 0/0; give it a completion or leave it \
         out",
    );
    check(
        Example::completion("alien", vec![1], vec![99], None),
        "row 1 (`alien`) cannot be trained on: token id 99 is outside the vocabulary of 48",
    );
    let negative = Example { id: "negative".to_owned(), tokens: vec![1, 2], weights: vec![0.0, -1.0] };
    check(negative, "row 1 (`negative`) cannot be trained on: the loss weight -1 is not a finite number of at least 0");
}

#[test]
fn long_rows_are_cut_or_dropped_and_counted() {
    let long = || Example::completion("long", vec![1; 4], vec![2; 10], None);
    let hopeless = || Example::completion("hopeless", vec![1; 10], vec![2], None);
    let short = || Example::completion("short", vec![1], vec![2], Some(3));
    let cut = Dataset::new(vec![long(), hopeless(), short()], 8, TooLong::Truncate, VOCAB).unwrap();
    assert_eq!((cut.report().rows, cut.report().truncated, cut.report().dropped), (2, 1, 1));
    assert_eq!(cut.report().target_tokens, 4 + 2);
    let dropped = Dataset::new(vec![long(), hopeless(), short()], 8, TooLong::Drop, VOCAB).unwrap();
    assert_eq!((dropped.report().rows, dropped.report().dropped), (1, 2));
    assert_eq!(dropped.examples()[0].weights, [0.0, 1.0, 1.0], "the end token is trained");
}

#[test]
fn unknown_targets_and_bad_parameters_are_refused() {
    let mut decoder = model(&lora());
    let targets = TargetModules::Names(vec!["q_proj".to_owned(), "query".to_owned()]);
    let error = attach_lora(&mut decoder, "x", &AdapterConfig { target_modules: targets, ..lora() }, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the target module `query` is no linear layer of the model; it has down_proj, gate_proj, k_proj, o_proj, \
         q_proj, up_proj, v_proj"
    );
    let bad = TrainConfig { max_grad_norm: Some(0.0), ..config() };
    let error = train(&decoder, &rows(6, 1), &bad, Surroundings::default(), &mut ()).unwrap_err();
    assert_eq!(error.to_string(), "`max_grad_norm` is 0, but must be a positive number");
}

/// No later step sees what the last one did: a model that is no longer one must not come out, nor a checkpoint of it.
#[test]
fn a_training_that_diverges_in_its_last_step_fails() {
    // Parameters of 1e30, whose products overflow; parameters that are infinite; after a step at rate 0.
    for (learning_rate, warmup, steps) in [(1e30, 0, 1), (1e39, 0, 1), (1e30, 1, 2)] {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints { dir: dir.path().join("ck"), every: steps, keep: 1 };
        let config = TrainConfig {
            budget: Budget::Steps(steps),
            learning_rate,
            warmup: Warmup::Steps(warmup),
            lr_scheduler: Scheduler::Constant,
            ..config()
        };
        let around = Surroundings { checkpoints: Some(&checkpoints), ..Surroundings::default() };
        let error = train(&model(&lora()), &rows(31, 1), &config, around, &mut ()).unwrap_err();
        let told = matches!(
            error,
            TrainError::LossNotFinite { step, .. } | TrainError::ParameterNotFinite { step, .. } if step == steps
        );
        assert!(told, "{learning_rate}: {error}");
        let left = fs::read_dir(&checkpoints.dir).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{learning_rate}");
    }
}
