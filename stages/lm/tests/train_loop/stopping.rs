//! Held-out rows that end a training, and the weights that are kept.

use pipe_lm::{
    model::Decoder,
    train::{Budget, Checkpoints, Evaluation, Stopping, Surroundings, TrainConfig, Trained, evaluate, train},
};

use crate::{StopAt, bytes, config, lora, model, rows};

/// With a learning rate at which the held-out loss soon rises again.
fn overfitting() -> TrainConfig {
    TrainConfig { budget: Budget::Steps(30), learning_rate: 5e-2, ..config() }
}

fn run(model: &Decoder, stopping: Stopping, checkpoints: Option<&Checkpoints>, stop_at: u64) -> Trained {
    let (data, held_out) = (rows(6, 1), rows(5, 2));
    let evaluation = Some(Evaluation { data: &held_out, every: 3, stopping, judge: None });
    let around = Surroundings { evaluation, checkpoints, base_identity: "tiny" };
    train(model, &data, &overfitting(), around, &mut StopAt(stop_at)).unwrap()
}

#[test]
fn the_best_weights_are_kept_and_patience_ends_a_training() {
    let held_out = rows(5, 2);
    let whole = model(&lora());
    let to_the_end = run(&whole, Stopping::default(), None, u64::MAX);
    let losses: Vec<f64> = to_the_end.log.evals.iter().map(|record| record.loss).collect();
    let lowest = losses.iter().copied().fold(f64::MAX, f64::min);
    let at = losses.iter().position(|loss| *loss == lowest).unwrap();
    assert!(at + 4 < losses.len(), "the held-out loss has to rise again: {losses:?}");

    let best = model(&lora());
    let stopping = Stopping { keep_best: true, patience: None, min_delta: 0.0 };
    let kept = run(&best, stopping, None, u64::MAX);
    assert_eq!((kept.best_step, &kept.log), (Some(3 * (at as u64 + 1)), &to_the_end.log));
    assert_eq!(evaluate(&best, &held_out, 3).unwrap(), lowest);
    assert!(bytes(&best) != bytes(&whole));

    let early = model(&lora());
    let stopped = run(&early, Stopping { patience: Some(2), ..stopping }, None, u64::MAX);
    assert!(stopped.finished && stopped.log.steps.len() < 30);
    assert_eq!(stopped.log.evals[..], to_the_end.log.evals[..stopped.log.evals.len()]);
    let last = stopped.log.evals.len();
    let best_of = stopped.best_step.unwrap() as usize / 3;
    assert_eq!(last, best_of + 2, "two after the best");
}

#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let stopping = Stopping { keep_best: true, patience: Some(3), min_delta: 0.0 };
    let expect_model = model(&lora());
    let expect = run(&expect_model, stopping, None, u64::MAX);
    let steps = expect.log.steps.len() as u64;
    for stops in [vec![2], vec![4, 7], vec![steps - 1], vec![steps]] {
        let dir = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints { dir: dir.path().join("ck"), every: 100, keep: 1 };
        for &stop in &stops {
            // At its own end a training is over, whatever an observer says.
            assert_eq!(run(&model(&lora()), stopping, Some(&checkpoints), stop).finished, stop == steps);
        }
        let resumed_model = model(&lora());
        let resumed = run(&resumed_model, stopping, Some(&checkpoints), u64::MAX);
        assert_eq!((resumed.resumed_from, resumed.best_step), (stops.last().copied(), expect.best_step));
        assert_eq!(resumed.log, expect.log, "stopped at {stops:?}");
        assert!(bytes(&resumed_model) == bytes(&expect_model), "stopped at {stops:?}");
    }
}
