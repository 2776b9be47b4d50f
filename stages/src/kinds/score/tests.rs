use std::fs;

use pipe_testing::Lab;
use serde_json::{Value, json};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/lm/tests/golden/likelihoods");

/// With the harness's items, and its prompt: the question alone.
fn lab() -> Lab {
    let lab = Lab::with(crate::registry());
    for name in ["choices.jsonl", "texts.jsonl"] {
        lab.write(name, &fs::read_to_string(format!("{FOLDER}/{name}")).unwrap());
    }
    lab.write("question.jinja", "{{ instruction }}");
    lab
}

fn expected() -> Value {
    serde_json::from_str(&fs::read_to_string(format!("{FOLDER}/expected.json")).unwrap()).unwrap()
}

const CHOICES: &str = "  choices: { kind: table, params: { path: choices.jsonl } }
  s:
    kind: score
    inputs: { items: choices }
    params: { model: 'builtin:nano', template: question.jinja, target_delimiter: ' ', max_refused: 0.2 }
";

fn close(found: &Value, expect: &Value, within: f64, what: &str) {
    let (found, expect) = (found.as_f64().unwrap(), expect.as_f64().unwrap());
    assert!((found - expect).abs() <= within * expect.abs().max(1.0), "{what}: {found}, expected {expect}");
}

#[test]
fn choices_are_taken_as_the_harness_takes_them() {
    let lab = lab();
    let ran = lab.run_stages(CHOICES);
    assert_eq!(ran.failures(), [""; 0]);
    let (rows, expected) = (lab.rows("s"), expected());
    let blank = rows.iter().filter(|row| row["outcome"] == "no_instruction").count();
    assert_eq!((rows.len(), blank), (8, 1), "the harness asks without a question; nobody is asked nothing here");
    for row in rows.iter().filter(|row| row["outcome"] == "scored") {
        let expect = &expected["choices"][row["id"].as_str().unwrap()];
        for (logprob, expect) in row["logprobs"].as_array().unwrap().iter().zip(expect["answers"].as_array().unwrap()) {
            close(logprob, &expect[0], 1e-5, &row["id"].to_string());
        }
        for name in ["acc", "acc_norm", "acc_bytes"] {
            assert_eq!(row[name], expect[name], "{name} of {}", row["id"]);
        }
    }
    let right: f64 = rows.iter().filter_map(|row| row["acc"].as_f64()).sum();
    let scores = &lab.rows("s.scores")[0];
    assert_eq!((&scores["n"], &scores["acc"]), (&json!(8), &json!(right / 8.0)));
    assert_eq!(lab.count("s", "no_instruction"), 1);
}

#[test]
fn whole_texts_have_the_perplexities_that_the_harness_says() {
    let lab = lab();
    let ran = lab.run_stages(
        "  texts: { kind: table, params: { path: texts.jsonl } }
  s:
    kind: score
    inputs: { items: texts }
    params: { model: 'builtin:nano', output_type: loglikelihood_rolling }
",
    );
    assert_eq!(ran.failures(), [""; 0]);
    let (scores, expected) = (&lab.rows("s.scores")[0], &expected()["results"]["texts"]);
    for name in ["word_perplexity", "byte_perplexity", "bits_per_byte"] {
        close(&scores[name], &expected[name], 1e-5, name);
        assert!(scores[format!("{name}_low")].as_f64() <= scores[name].as_f64(), "{name}");
    }
}

#[test]
fn what_is_kept_is_not_asked_for_again() {
    let lab = lab();
    assert_eq!(lab.run_stages(CHOICES).stats("s").rows_computed, 8);
    let mut lines = fs::read_to_string(format!("{FOLDER}/choices.jsonl")).unwrap();
    lines
        .push_str("{\"id\": \"new\", \"instruction\": \"Is it?\", \"labels\": [\"yes\", \"no\"], \"output\": \"B\"}\n");
    lab.write("choices.jsonl", &lines);
    let ran = lab.run_stages(&CHOICES.replace("max_refused", "bootstrap: { resamples: 10 }, max_refused"));
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!((ran.stats("s").rows_computed, ran.stats("s").rows_reused), (1, 8));
    let last = &lab.rows("s")[8];
    assert_eq!((&last["id"], &last["reference"]), (&json!("new"), &json!("no")), "a letter names a choice");
}

#[test]
fn right_answers_are_scored_and_arms_compared() {
    let lab = lab();
    let ran = lab.run_stages(
        "  world: { kind: embedded_world, params: { seeds: 8, exam_items: 6 } }
  adapter:
    kind: train
    inputs: { examples: world.seeds }
    params: { model: 'builtin:nano', budget: { steps: 4 }, batch_size: 4, learning_rate: 4e-3 }
  base:
    kind: score
    inputs: { items: world.exam, seeds: world.seeds }
    params: { model: 'builtin:nano', output_type: loglikelihood, num_fewshot: 1 }
  adapted: { like: base, inputs: { adapter: adapter } }
  verdicts:
    kind: compare
    inputs: { base: base, adapted: adapted, exact: base.scores }
    params: { metrics: [bits_per_byte, acc] }
",
    );
    assert_eq!(ran.failures(), [""; 0]);
    let (base, adapted) = (lab.rows("base"), lab.rows("adapted"));
    assert!(base.iter().zip(&adapted).all(|(a, b)| a["bits_per_byte"] != b["bits_per_byte"]));
    let bits: f64 = base.iter().map(|row| row["bits_per_byte"].as_f64().unwrap()).sum();
    assert!(bits > 0.0 && bits / 6.0 < 16.0, "{bits}");
    let first = &lab.rows("verdicts")[0];
    assert_eq!(first["metric"], "bits_per_byte");
    // Of bits less is better, and nobody had to say so: the verdict follows, and what became of items does.
    let less = first["difference"].as_f64().unwrap() < 0.0;
    let flips = lab.rows("verdicts.flips");
    let of_bits: Vec<_> = flips.iter().filter(|row| row["metric"] == "bits_per_byte").collect();
    assert!(less && first["verdict"] != "worse" && of_bits.len() == 6, "{first}");
    for flip in of_bits {
        let less = flip["difference"].as_f64().unwrap() < 0.0;
        assert_eq!(flip["flip"], if less { "improved" } else { "regressed" });
    }
    assert!(first["signature"].as_str().unwrap().starts_with("bits_per_byte|-log2 p / utf-8 bytes|"), "{first}");
}

#[test]
fn what_cannot_be_scored_is_said_before_the_run_or_counted() {
    let lab = lab();
    let server = CHOICES.replace("'builtin:nano'", "{ endpoint: 'http://localhost:1/v1', model: m, server: ollama }");
    let problems = lab.problems(&server);
    assert!(problems.contains("Ollama's server does not tell how probable a text is"), "{problems}");
    let texts = CHOICES.replace("template: question.jinja,", "output_type: loglikelihood_rolling, num_fewshot: 2,");
    assert!(lab.problems(&texts).contains("whole texts have no prompt in front of them"));
    let row = |id: &str, instruction: &str, right: &str| {
        let labels = ["yes", "no"];
        json!({ "id": id, "instruction": instruction, "labels": labels, "output": right })
    };
    lab.jsonl("choices.jsonl", [row("long", &"word ".repeat(600), "yes"), row("odd", "Is it?", "perhaps")]);
    let ran = lab.run_stages(&CHOICES.replace("0.2", "0.5"));
    assert_eq!(ran.failures(), [""; 0]);
    let rows = lab.rows("s");
    assert_eq!((&rows[0]["outcome"], &rows[0]["acc"]), (&json!("too_long"), &json!(0.0)));
    assert_eq!((&rows[1]["outcome"], &rows[1]["acc"]), (&json!("scored"), &json!(null)));
    let told = ran.warnings().join("\n");
    assert!(told.contains("the answer `perhaps` of the item `odd` is none of its choices"), "{told}");
    lab.jsonl("choices.jsonl", [row("odd", "Is it?", "perhaps")]);
    assert!(lab.run_stages(CHOICES).failure().contains("is none of its choices"));
}

#[test]
fn a_null_among_choices_moves_no_answer() {
    let lab = lab();
    let item = |labels: Value, right: &str| {
        lab.jsonl("choices.jsonl", [json!({ "id": "i", "instruction": "Is it?", "labels": labels, "output": right })]);
        lab.run_stages(&CHOICES.replace("path: choices.jsonl", "path: choices.jsonl, schema: { output: string }"))
    };
    for right in ["1", "B"] {
        let failure = item(json!([null, "yes", "no"]), right).failure();
        assert!(failure.contains("a null stands among the choices (`labels`) of the item `i`"), "{failure}");
    }
    assert_eq!(item(json!([null, "yes", "no"]), "no").failures(), [""; 0], "a text is where it is");
    assert_eq!(lab.rows("s")[0]["reference"], "no");
    assert_eq!(item(json!(["yes", "no", null, null]), "B").failures(), [""; 0], "lists are filled up with nulls");
    assert_eq!(lab.rows("s")[0]["reference"], "no");
}

#[test]
fn a_column_of_answers_that_is_named_must_be_there() {
    let lab = lab();
    let item = json!({ "id": "i", "instruction": "Is it?", "labels": ["yes", "no"], "references": ["no"] });
    lab.jsonl("choices.jsonl", [item]);
    assert_eq!(lab.run_stages(CHOICES).failures(), [""; 0]);
    let failure = lab.run_stages(&CHOICES.replace("template:", "answer: gold, template:")).failure();
    assert!(failure.contains("no column `gold` in the input `items`"), "{failure}");
}
