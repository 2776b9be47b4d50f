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

    let missing = lab.run_stages(&with(&TRAIN.replace("seed: 3", "seed: 3, eval_steps: 5, keep: best"))).failure();
    assert!(missing.contains("there are none"), "{missing}");
    assert!(lab.problems(&stages("keep: best")).contains("the best is the last"));
    assert!(lab.problems(&stages("early_stopping: {}")).contains("nothing can end it"));
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
}
