//! What the training loop promises: the same bytes wherever it is interrupted and on however many threads, the same
//! gradients with recomputation, and failures that say what happened. The model is the tiny Llama of `golden/train`.

use candle_core::{DType, Device};
use pipe_lm::{
    adapter::{AdapterConfig, TargetModules, load_adapter, save_adapter},
    config::DecoderConfig,
    model::Decoder,
    train::{
        Budget, Checkpoints, Dataset, Evaluation, Example, Observer, Progress, Scheduler, Stopping, Stream,
        Surroundings, TooLong, TrainConfig, TrainError, Trainable, Trained, Warmup, attach_lora, evaluate, train,
    },
    weights::Weights,
};
use pipe_random::Random as _;
mod failing;
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
    let evaluation = Some(Evaluation { data: &held_out, every: 4, stopping: Stopping::default(), judge: None });
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
        let evaluation = Some(Evaluation { data: &held_out, every: 4, stopping: Stopping::default(), judge: None });
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
