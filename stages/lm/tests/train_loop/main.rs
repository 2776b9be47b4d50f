//! What the training loop promises: the same bytes wherever it is interrupted and on however many threads, the same
//! gradients with recomputation, and failures that say what happened. The model is the tiny Llama of `golden/train`.

use candle_core::{DType, Device};
use pipe_lm::{
    adapter::{AdapterConfig, TargetModules, load_adapter, save_adapter},
    config::DecoderConfig,
    model::{Decoder, ModelError, PackedBatch},
    train::{
        Budget, Checkpoints, Dataset, Evaluation, Example, Observer, Params, Progress, Scheduler, Stopping, Stream,
        Surroundings, TooLong, TrainConfig, TrainError, Trainable, Trained, Warmup, attach_lora, evaluate, train,
    },
    weights::Weights,
};
use pipe_random::Random as _;
mod stopping;

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

const VOCAB: usize = 48;

fn model(lora: &AdapterConfig) -> Decoder {
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/train/llama");
    let config = DecoderConfig::from_dir(&dir).unwrap();
    let weights = Weights::from_dir(&dir, &config).unwrap();
    let mut decoder = Decoder::load(&config, &weights, &Device::Cpu, DType::F32).unwrap();
    attach_lora(&mut decoder, "trained", lora, 1).unwrap();
    decoder
}

fn lora() -> AdapterConfig {
    AdapterConfig { lora_dropout: 0.1, ..AdapterConfig::new(4, 8.0, TargetModules::AllLinear) }
}

/// Rows in which each token is followed by its successor: something that can be learned.
fn rows(n: usize, seed: u64) -> Dataset {
    let mut random = Stream::new(seed, "test rows", &[]);
    let row = |i| {
        let (first, len) = (random.below(VOCAB) as u32, 4 + random.below(20) as u32);
        let tokens: Vec<u32> = (first..first + len).map(|t| t % VOCAB as u32).collect();
        Example::completion(format!("row-{i}"), tokens[..2].to_vec(), tokens[2..].to_vec(), Some(0))
    };
    Dataset::new((0..n).map(row).collect(), 64, TooLong::Truncate, VOCAB).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig {
        seed: 17,
        budget: Budget::Steps(12),
        micro_batch_size: 3,
        gradient_accumulation_steps: 2,
        group_by_length: true,
        learning_rate: 1e-2,
        lr_scheduler: Scheduler::Cosine,
        warmup: Warmup::Steps(2),
        ..TrainConfig::default()
    }
}

fn bytes(model: &dyn Trainable) -> Vec<u32> {
    let values = |var: candle_core::Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    model.parameters().into_values().flat_map(values).map(f32::to_bits).collect()
}

fn run(model: &Decoder, config: &TrainConfig, checkpoints: Option<&Checkpoints>, stop_at: u64) -> Trained {
    let (data, held_out) = (rows(31, 1), rows(5, 2));
    let evaluation = Some(Evaluation { data: &held_out, every: 4, stopping: Stopping::default() });
    let around = Surroundings { evaluation, checkpoints, base_identity: "tiny" };
    train(model, &data, config, around, &mut StopAt(stop_at)).unwrap()
}

struct StopAt(u64);

impl Observer for StopAt {
    fn on_step(&mut self, progress: Progress) -> ControlFlow<()> {
        if progress.record.step == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

const NEVER: u64 = u64::MAX;

#[test]
fn the_loss_falls() {
    let model = model(&AdapterConfig { lora_dropout: 0.0, ..lora() });
    let outcome = run(&model, &TrainConfig { budget: Budget::Epochs(12.0), ..config() }, None, NEVER);
    let (first, last) = (outcome.log.steps[0].loss, outcome.log.steps.last().unwrap().loss);
    assert!(last < 0.7 * first, "{first} -> {last}");
    let evals = &outcome.log.evals;
    assert!(evals.last().unwrap().loss < evals[0].loss);
    assert_eq!(outcome.log.steps.len(), 12 * 31_usize.div_ceil(6));
}

#[test]
fn stopping_and_resuming_changes_no_byte() {
    let expect_model = model(&lora());
    let expect = run(&expect_model, &config(), None, NEVER);
    for stops in [vec![1], vec![5], vec![11], vec![2, 3, 9]] {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints { dir: dir.path().join("ck"), every: 100, keep: 1 };
        for &stop in &stops {
            assert!(!run(&model(&lora()), &config(), Some(&checkpoints), stop).finished);
        }
        let resumed_model = model(&lora());
        let resumed = run(&resumed_model, &config(), Some(&checkpoints), NEVER);
        assert_eq!(resumed.resumed_from, stops.last().copied());
        assert_eq!(resumed.log, expect.log, "stopped at {stops:?}");
        assert!(bytes(&resumed_model) == bytes(&expect_model), "stopped at {stops:?}");
    }
}

/// What a killed process leaves behind at any moment: the checkpoints up to some step, perhaps a half-written one.
#[test]
fn a_kill_at_any_moment_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let all = Checkpoints { dir: dir.path().join("all"), every: 2, keep: 100 };
    let expect_model = model(&lora());
    run(&expect_model, &config(), Some(&all), NEVER);
    for killed_after in [0, 2, 6, 10] {
        let left = Checkpoints { dir: dir.path().join(format!("left-{killed_after}")), every: 2, keep: 2 };
        fs::create_dir_all(left.dir.join(".writing-x")).unwrap();
        fs::write(left.dir.join(".writing-x/state.safetensors"), b"half").unwrap();
        for step in (2..=killed_after).step_by(2) {
            copy_dir(&all.dir.join(format!("step-{step:08}")), &left.dir.join(format!("step-{step:08}")));
        }
        let resumed_model = model(&lora());
        let resumed = run(&resumed_model, &config(), Some(&left), NEVER);
        assert_eq!(resumed.resumed_from, (killed_after > 0).then_some(killed_after));
        assert!(bytes(&resumed_model) == bytes(&expect_model), "killed after {killed_after}");
        let mut kept: Vec<_> = fs::read_dir(&left.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        kept.sort();
        assert_eq!(kept, ["step-00000010", "step-00000012"], "only the newest two, and no half-written one");
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn damage(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(path, content).unwrap();
}

#[test]
fn a_damaged_checkpoint_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints { dir: dir.path().to_owned(), every: 3, keep: 2 };
    run(&model(&lora()), &config(), Some(&checkpoints), 6);
    damage(&dir.path().join("step-00000006/state.safetensors"));
    assert_eq!(run(&model(&lora()), &config(), Some(&checkpoints), 8).resumed_from, Some(3));
    fs::remove_dir_all(dir.path().join("step-00000008")).unwrap();
    assert_eq!(run(&model(&lora()), &config(), Some(&checkpoints), 8).resumed_from, Some(6));
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints { dir: dir.path().to_owned(), every: 3, keep: 2 };
    run(&model(&lora()), &config(), Some(&checkpoints), 7);
    damage(&dir.path().join("step-00000007/state.safetensors"));
    let (resumed_model, expect_model) = (model(&lora()), model(&lora()));
    let resumed = run(&resumed_model, &config(), Some(&checkpoints), NEVER);
    run(&expect_model, &config(), None, NEVER);
    assert_eq!(resumed.resumed_from, Some(6));
    assert!(bytes(&resumed_model) == bytes(&expect_model));
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints { dir: dir.path().to_owned(), every: 3, keep: 2 };
    run(&model(&lora()), &config(), Some(&checkpoints), 4);
    let check = |r, config: &TrainConfig, data: &Dataset, what: &str| {
        let held_out = rows(5, 2);
        let evaluation = Some(Evaluation { data: &held_out, every: 4, stopping: Stopping::default() });
        let around = Surroundings { evaluation, checkpoints: Some(&checkpoints), base_identity: "tiny" };
        let error = train(&model(&AdapterConfig { r, ..lora() }), data, config, around, &mut ()).unwrap_err();
        assert!(matches!(&error, TrainError::CheckpointMismatch { what: w, .. } if w == what), "{error}");
    };
    check(4, &TrainConfig { learning_rate: 2e-2, ..config() }, &rows(31, 1), "configuration");
    check(4, &config(), &rows(31, 9), "set of examples");
    check(8, &config(), &rows(31, 1), "model");
}

#[test]
fn a_training_is_resumed_with_and_without_gradient_checkpointing() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints { dir: dir.path().to_owned(), every: 3, keep: 1 };
    run(&model(&lora()), &config(), Some(&checkpoints), 4);
    let (resumed_model, expect_model) = (model(&lora()), model(&lora()));
    let frugal = TrainConfig { gradient_checkpointing: true, ..config() };
    assert_eq!(run(&resumed_model, &frugal, Some(&checkpoints), NEVER).resumed_from, Some(4));
    run(&expect_model, &config(), None, NEVER);
    assert!(bytes(&resumed_model) == bytes(&expect_model));
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let trained = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let model = model(&lora());
            let outcome = run(&model, &config(), None, NEVER);
            (bytes(&model), outcome.log)
        })
    });
    assert!(trained[0] == trained[1] && trained[0] == trained[2]);
}

/// With dropout and accumulation: the recomputed forward draws the same masks.
#[test]
fn gradient_checkpointing_changes_no_byte() {
    let trained = [false, true].map(|gradient_checkpointing| {
        let model = model(&lora());
        let outcome = run(&model, &TrainConfig { gradient_checkpointing, ..config() }, None, NEVER);
        (bytes(&model), outcome.log)
    });
    assert!(trained[0] == trained[1]);
    let trained = [false, true].map(|gradient_checkpointing| {
        let mut model = model(&lora());
        model.set_adapter(None).unwrap();
        model.make_trainable().unwrap();
        let outcome = run(&model, &TrainConfig { gradient_checkpointing, ..config() }, None, NEVER);
        (bytes(&model), outcome.log)
    });
    assert!(trained[0] == trained[1], "full training, tied embedding");
}

#[test]
fn a_trained_adapter_survives_disk() {
    let trained = model(&lora());
    run(&trained, &config(), None, NEVER);
    let dir = tempfile::tempdir().unwrap();
    save_adapter(dir.path(), &lora(), &trained.adapter("trained").unwrap(), trained.config()).unwrap();
    let (_, loaded) = load_adapter(dir.path(), trained.config()).unwrap();
    let mut fresh = model(&lora());
    fresh.add_adapter("loaded", &loaded).unwrap();
    fresh.set_adapter(Some("loaded")).unwrap();
    let data = rows(9, 3);
    assert_eq!(evaluate(&fresh, &data, 3).unwrap().to_bits(), evaluate(&trained, &data, 3).unwrap().to_bits());
}

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

/// Sizes of a batch that overflow are those of one step for all the data.
#[test]
fn a_batch_of_any_size_is_all_the_data_at_most() {
    let one = |accumulation: usize| {
        let model = model(&lora());
        let config = TrainConfig { gradient_accumulation_steps: accumulation, budget: Budget::Steps(2), ..config() };
        (run(&model, &config, None, NEVER).log.steps, bytes(&model))
    };
    let all = one(11);
    for accumulation in [1 << 60, usize::MAX] {
        assert!(one(accumulation) == all, "{accumulation}");
    }
}
