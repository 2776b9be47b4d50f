//! On files that the harness itself has written: `stages/tests/golden/lm_eval/make_samples.py`.

use pipe_testing::Lab;
use serde_json::{Value, json};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/lm_eval");

fn lab(stages: &str) -> Lab {
    let lab = Lab::with(crate::registry());
    let ran = lab.run_stages(&stages.replace("FILES", FILES));
    assert_eq!(ran.failures(), [""; 0]);
    lab
}

#[test]
fn a_text_is_an_answer_and_scores_are_numbers() {
    let lab =
        lab("  t: { kind: table, params: { path: 'FILES/parrot-1/samples_capitals_*.jsonl', shape: lm_eval } }\n");
    let rows = lab.rows("t");
    assert_eq!(rows.len(), 8);
    let mut first = rows[1].clone();
    let hash = first.as_object_mut().unwrap().remove("doc_hash").unwrap();
    assert_eq!(hash.as_str().map(str::len), Some(64));
    let prompt = "Q: Repeat the last word: blue sky";
    assert_eq!(
        first,
        json!({ "id": "capitals/1", "task": "capitals", "instruction": prompt, "output": "sky", "labels": [],
                "prediction": "sky", "filter": "none", "exact_match": 1.0 })
    );
}

#[test]
fn of_choices_the_most_likely_is_the_answer() {
    let lab = lab("  t: { kind: table, params: { path: 'FILES/parrot-1/samples_choices_*.jsonl', shape: lm_eval } }\n");
    let rows = lab.rows("t");
    assert_eq!((&rows[0]["output"], &rows[0]["prediction"]), (&json!("door"), &json!("door")));
    assert_eq!(rows[0]["labels"], json!(["door", "window", "roof tile"]));
    // What the harness calls accurate is so by our reading, too.
    for row in rows {
        assert_eq!(row["acc"] == json!(1.0), row["output"] == row["prediction"], "{row}");
    }
}

#[test]
fn two_runs_of_the_harness_are_compared() {
    let lab = lab("  one: { kind: table, params: { path: 'FILES/parrot-1/samples_capitals_*.jsonl', shape: lm_eval } }
  two: { kind: table, params: { path: 'FILES/parrot-2/samples_capitals_*.jsonl', shape: lm_eval } }
  verdicts: { kind: compare, inputs: { one: one, two: two } }
  again: { kind: evaluate, inputs: { items: one }, params: { predictions: prediction, metrics: [exact_match] } }
");
    let rows = lab.rows("verdicts");
    let effect: &Value = rows.iter().find(|row| row["metric"] == "exact_match" && row["task"] == "all").unwrap();
    // As its own table has them.
    assert_eq!((&effect["baseline_mean"], &effect["mean"]), (&json!(0.375), &json!(0.5)));
    assert_eq!(effect["items"], 8);
    assert_eq!(lab.rows("again.scores")[0]["exact_match"], 0.375);
}

#[test]
fn other_files_are_refused() {
    let lab = Lab::with(crate::registry());
    lab.jsonl("rows.jsonl", [json!({ "question": "Q", "answer": "A" })]);
    let ran = lab.run_stages("  t: { kind: table, params: { path: rows.jsonl, shape: lm_eval } }\n");
    let failure = ran.failure();
    assert!(failure.contains("not of the shape `lm_eval`: there is no column `doc_id`"), "{failure}");
}
