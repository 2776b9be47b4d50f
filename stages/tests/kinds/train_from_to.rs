//! Where a training begins, and when it ends: an earlier adapter, held-out rows.

use serde_json::json;

use crate::{
    tables::numbers,
    train_evaluate::{TRAIN, questions, with},
};

#[test]
fn held_out_rows_end_a_training_and_choose_its_weights() {
    let lab = questions();
    // What is held out is answered in another way: the better the rows are known, the worse.
    let other =
        |i: usize| json!({ "id": i, "instruction": format!("What is the colour of item {i}?"), "output": "dark" });
    lab.jsonl("held_out.jsonl", (0..4).map(other));
    let stages = |params: &str| {
        let train = TRAIN.replace("seed: 3", &format!("seed: 3, {params}"));
        let held_out = "  held_out: { kind: table, params: { path: held_out.jsonl } }\n";
        with(&train).replace("inputs: { examples: rows }", "inputs: { examples: rows, evaluation: held_out }")
            + held_out
    };
    assert_eq!(lab.run_stages(&stages("eval_steps: 5")).failures(), [""; 0]);
    let last = (lab.digest("train.adapter"), numbers(&lab.table("train.log"), "loss").len());
    let best = lab.run_stages(&stages("eval_steps: 5, keep: best"));
    assert_eq!((best.failures().len(), numbers(&lab.table("train.log"), "loss").len()), (0, last.1));
    assert_ne!(lab.digest("train.adapter"), last.0);
    let step = best.stats("train").counters["best_step"];
    let rows = lab.rows("train.log");
    let lowest = rows.iter().filter_map(|row| row["eval_loss"].as_f64()).fold(f64::MAX, f64::min);
    assert_eq!(rows[step as usize - 1]["eval_loss"].as_f64(), Some(lowest));

    let early = "eval_steps: 5, keep: best, early_stopping: { patience: 1 }";
    assert_eq!(lab.run_stages(&stages(early)).failures(), [""; 0]);
    assert!(lab.rows("train.log").len() < last.1);

    let once = lab.run_stages(&stages("eval_steps: 5000, early_stopping: {}"));
    assert!(once.warnings().join("\n").contains("measured once, at the end"), "{:?}", once.warnings());

    let missing = lab.run_stages(&with(&TRAIN.replace("seed: 3", "seed: 3, eval_steps: 5, keep: best"))).failure();
    assert!(missing.contains("there are none"), "{missing}");
    assert!(lab.problems(&stages("keep: best")).contains("the best is the last"));
    assert!(lab.problems(&stages("early_stopping: {}")).contains("nothing can end it"));
}

#[test]
fn held_out_rows_are_answered_as_in_an_exam() {
    let lab = questions();
    let stages = |params: &str| {
        with(&TRAIN.replace("seed: 3", &format!("seed: 3, {params}")))
            .replace("inputs: { examples: rows }", "inputs: { examples: rows, evaluation: exam }")
    };
    let answered = "eval_answers: { max_new_tokens: 8 }";
    assert_eq!(lab.run_stages(&stages(&format!("eval_steps: 4, {answered}"))).failures(), [""; 0]);
    let last = lab.digest("train.adapter");
    let scores = |lab: &pipe_testing::Lab| -> Vec<f64> {
        lab.rows("train.log").iter().filter_map(|row| row["eval_score"].as_f64()).collect()
    };
    let all = scores(&lab);
    let exam = numbers(&lab.table("after.scores"), "token_f1")[0];
    assert_eq!((all.len(), all.last()), (60 / 4, Some(&exam)), "as the stage `evaluate` scores the same adapter");

    // It decides in place of the loss: the first of the highest.
    let best = lab.run_stages(&stages(&format!("eval_steps: 4, keep: best, {answered}")));
    assert_eq!(best.failures(), [""; 0]);
    let highest = all.iter().copied().fold(f64::MIN, f64::max);
    let step = 4 * (1 + all.iter().position(|score| *score == highest).unwrap());
    assert_eq!(best.stats("train").counters["best_step"], step as u64);
    assert_eq!(numbers(&lab.table("after.scores"), "token_f1"), [highest]);
    // A training ends where the score rises no more, though the loss still falls.
    let losses: Vec<f64> = lab.rows("train.log").iter().filter_map(|row| row["eval_loss"].as_f64()).collect();
    let end = (1..all.len()).find(|&i| all[..i].iter().any(|score| *score >= all[i])).unwrap();
    assert!(losses[end] < losses[end - 1], "{losses:?} {all:?}");
    let early = format!("eval_steps: 4, early_stopping: {{ patience: 1 }}, {answered}");
    assert_eq!(lab.run_stages(&stages(&early)).failures(), [""; 0]);
    assert_eq!(lab.rows("train.log").len(), 4 * (end + 1));

    // Without it nothing is another than before; of all weights likewise.
    assert_eq!(lab.run_stages(&stages("eval_steps: 4")).failures(), [""; 0]);
    assert_eq!((lab.digest("train.adapter"), scores(&lab).len()), (last, 0));
    let full = format!("method: full, {answered}").replace(" 8 ", " 2, rows: 3 ");
    let whole = stages(&full).replace("budget: { epochs: 30 }", "budget: { steps: 2 }").replace(", adapter: train", "");
    assert_eq!(lab.run_stages(&whole).failures(), [""; 0]);
    assert_eq!(scores(&lab).len(), 1);

    let missing = lab.run_stages(&with(&TRAIN.replace("seed: 3", &format!("seed: 3, {answered}")))).failure();
    assert!(missing.contains("there are none"), "{missing}");
    assert!(lab.problems(&stages("eval_answers: { rows: 0 }")).contains("rows"));
    let engine = "engine: { program: [python3, t.py] }, eval_answers: {}";
    assert!(lab.problems(&stages(engine)).contains("the model that answers is not here"));
}

#[test]
fn a_training_goes_on_from_an_adapter() {
    let lab = questions();
    let short = TRAIN.replace("epochs: 30", "epochs: 10");
    let stages = with(&short)
        + &format!(
            "  more: {{ kind: train, inputs: {{ examples: rows, adapter: train }}, params: {} }}
  whole: {{ kind: train, inputs: {{ examples: rows, adapter: train }}, params: {{ model: base, method: full }} }}\n",
            short.replace("r: 8", "r: 2").replace("seed: 3", "seed: 4")
        );
    let ran = lab.run_stages(&stages);
    assert!(ran.failure().contains("the whole model is to be trained"), "{}", ran.failure());
    let losses = |stage: &str| numbers(&lab.table(&format!("{stage}.log")), "loss");
    let (first, more) = (losses("train"), losses("more"));
    assert!(more[0] < 0.7 * first[0], "it begins where the other ended: {first:?} {more:?}");
    assert!(more.last() < first.last());

    let whole = short.replace("lora: ", "method: full, lora: ").replace("epochs: 10", "steps: 1");
    let stages = with(&whole).replace(", adapter: train", "")
        + &format!("  more: {{ kind: train, inputs: {{ examples: rows, adapter: train }}, params: {short} }}\n");
    let refused = lab.run_stages(&stages).failure();
    assert!(refused.contains("no adapter_config.json, but a whole model"), "{refused}");
}
