//! A training process that is killed with SIGKILL, again and again, ends with the same bytes as one that was left
//! alone.
#![cfg(unix)]

use candle_core::{DType, Device};
use pipe_lm::{
    adapter::{AdapterConfig, TargetModules},
    config::DecoderConfig,
    model::Decoder,
    train::{
        Budget, Checkpoints, Dataset, Evaluation, Example, Observer, Progress, Scheduler, Stopping, Surroundings,
        TooLong, TrainConfig, Warmup, attach_lora, train,
    },
    weights::Weights,
};
use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    ops::ControlFlow,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Names the child's folder. The test runs its own executable as the process to be killed.
const FOLDER: &str = "PIPE_LM_TEST_TRAINING_TO_BE_KILLED";
const STEPS: u64 = 60;
const SIGKILL: i32 = 9;

/// Says on stdout which step is done, for the process that will kill this one.
struct Aloud;

impl Observer for Aloud {
    fn on_step(&mut self, progress: Progress) -> ControlFlow<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nstep {}", progress.record.step).and_then(|()| out.flush()).unwrap();
        ControlFlow::Continue(())
    }
}

/// Trains in `folder`, resuming whatever is there. Gives the bits of the adapter and the log, and where it resumed.
fn training(folder: &Path, observer: &mut dyn Observer) -> (String, Option<u64>) {
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/train/llama");
    let model_config = DecoderConfig::from_dir(&dir).unwrap();
    let weights = Weights::from_dir(&dir, &model_config).unwrap();
    let mut model = Decoder::load(&model_config, &weights, &Device::Cpu, DType::F32).unwrap();
    let lora = AdapterConfig { lora_dropout: 0.1, ..AdapterConfig::new(4, 8.0, TargetModules::AllLinear) };
    attach_lora(&mut model, "trained", &lora, 1).unwrap();
    let row = |i: u32| {
        let tokens: Vec<u32> = (i..i + 6 + i % 17).map(|t| t % 48).collect();
        Example::completion(format!("row-{i}"), tokens[..2].to_vec(), tokens[2..].to_vec(), Some(0))
    };
    let rows = |range: std::ops::Range<u32>| Dataset::new(range.map(row).collect(), 64, TooLong::Truncate, 48).unwrap();
    let (data, held_out) = (rows(0..31), rows(100..105));
    let config = TrainConfig {
        seed: 17,
        budget: Budget::Steps(STEPS),
        micro_batch_size: 3,
        gradient_accumulation_steps: 2,
        learning_rate: 1e-2,
        lr_scheduler: Scheduler::Cosine,
        warmup: Warmup::Steps(2),
        ..TrainConfig::default()
    };
    let checkpoints = Checkpoints { dir: folder.join("checkpoints"), every: 1, keep: 2 };
    let around = Surroundings {
        evaluation: Some(Evaluation { data: &held_out, every: 7, stopping: Stopping::default(), judge: None }),
        checkpoints: Some(&checkpoints),
        base_identity: "tiny",
    };
    let outcome = train(&model, &data, &config, around, observer).unwrap();
    assert!(outcome.finished);
    let values = |var: candle_core::Var| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let bits: Vec<u32> = model.parameters().into_values().flat_map(values).map(f32::to_bits).collect();
    (format!("{bits:?}\n{:?}", outcome.log), outcome.resumed_from)
}

#[test]
fn a_killed_training_ends_with_the_same_bytes() {
    if let Some(folder) = env::var_os(FOLDER) {
        training(Path::new(&folder), &mut Aloud);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut last = 0;
    for kill_after in [1, 4, 2, 7, 3, 11] {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "a_killed_training_ends_with_the_same_bytes", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let steps: Vec<u64> =
            lines.filter_map(|line| line.strip_prefix("step ")?.parse().ok()).take(kill_after).collect();
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(SIGKILL), "killed while it trained, after step {:?}", steps.last());
        // What was done before the kill was not done again, but for the step whose checkpoint the kill met.
        assert!(steps[0] >= last, "began again at step {} although {last} was reached", steps[0]);
        last = steps[kill_after - 1];
    }
    assert!(last < STEPS, "all kills came before the end");
    let (resumed, from) = training(folder.path(), &mut ());
    assert!(from.is_some_and(|step| step + 1 >= last), "resumed at {from:?} although {last} was reached");
    let undisturbed = tempfile::tempdir().unwrap();
    let (expected, fresh) = training(undisturbed.path(), &mut ());
    assert_eq!(fresh, None);
    assert!(resumed == expected, "six kills changed the result");
    let left: Vec<_> = fs::read_dir(folder.path().join("checkpoints")).unwrap().collect();
    assert_eq!(left.len(), 2, "the newest two checkpoints, and nothing half-written");
}
