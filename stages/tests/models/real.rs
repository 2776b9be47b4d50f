//! Training and evaluation of a trained base model, from the folder that PIPE_TEST_DATA names.

use std::path::PathBuf;

use crate::lab::{Lab, numbers};

#[expect(clippy::print_stderr, reason = "a skipped check must say so")]
fn data() -> Option<PathBuf> {
    let data = std::env::var_os("PIPE_TEST_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("skipped: PIPE_TEST_DATA is not set");
    }
    data.map(|data| data.join("spike-genres"))
}

/// `transformers` 5.x, greedy and in f32, scores .1295 token F1 with the base. Its 160 seeds teach the style of answers.
#[test]
fn seeds_alone_teach_the_style_of_answers() {
    let Some(data) = data() else { return };
    let lab = Lab::new();
    let data = data.display();
    let ran = lab.run(&format!(
        "
pipeline: p
stages:
  seeds: {{ kind: table, params: {{ path: {data}/seeds.jsonl, id: id }} }}
  exam: {{ kind: table, params: {{ path: {data}/exam.jsonl, id: id }} }}
  base: {{ kind: evaluate, inputs: {{ items: exam }}, params: {{ model: {data}, max_new_tokens: 44 }} }}
  train:
    kind: train
    inputs: {{ examples: seeds }}
    params: {{ model: {data}, lora: {{ r: 16, alpha: 32 }}, learning_rate: 0.004, micro_batch_size: 32, budget: {{ epochs: 8 }} }}
  tuned: {{ kind: evaluate, inputs: {{ items: exam, adapter: train }}, params: {{ model: {data}, max_new_tokens: 44 }} }}
"
    ));
    assert_eq!(ran.failures(), [""; 0]);
    let all = |stage: &str, column: &str| *numbers(&lab.table(&format!("{stage}.scores")), column).last().unwrap();
    let (base, tuned) = (all("base", "token_f1"), all("tuned", "token_f1"));
    assert!((base - 0.129_525).abs() < 1e-4, "base {base}");
    assert!(tuned > base + 0.15, "{base} -> {tuned}");
    assert!(all("tuned", "token_f1_low") > all("base", "token_f1_high"));
}
