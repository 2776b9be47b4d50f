//! `pretrain` on documents that a table was read from.

use pipe_testing::Lab;
use serde_json::{Value, json};

const SMALL: &str = "vocab_size: 300, max_seq_len: 32, batch_size: 4, warmup_steps: 1, architecture: { hidden_size: \
                     16, \
                     intermediate_size: 24, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 32 \
                     }";

fn stages(params: &str) -> String {
    format!(
        "  documents: {{ kind: table, params: {{ path: documents.jsonl }} }}
  base: {{ kind: pretrain, inputs: {{ documents: documents }}, params: {{ {params} }} }}\n"
    )
}

/// Eight documents of two parts.
fn documents(weight: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..8)
        .map(|i| {
            let parts = [
                json!({ "text": format!("The colour of item {i} is"), "weight": weight(i) }),
                json!({ "text": " red.", "weight": 1 }),
            ];
            json!({ "id": format!("d{i}"), "segments": parts })
        })
        .collect()
}

#[test]
fn weights_are_numbers_of_any_type() {
    let lab = Lab::with(pipe_stages::registry());
    let mut models = Vec::new();
    // Numbers of a JSONL file are Int64 or Float64.
    for weight in [json!(1), json!(1.0), json!(0.5)] {
        lab.jsonl("documents.jsonl", documents(|_| weight.clone()));
        assert_eq!(lab.run_stages(&stages(SMALL)).failures(), [""; 0]);
        assert_eq!(lab.rows("base.log").len(), 2);
        models.push(lab.digest("base.model"));
    }
    assert!(models[0] == models[1] && models[1] != models[2]);
}

#[test]
fn documents_of_another_shape_are_refused_by_name() {
    let lab = Lab::with(pipe_stages::registry());
    let part = |text: Value, weight: Value| json!([{ "text": text, "weight": weight }]);
    let cases = [
        (json!({ "text": "a b" }), "no column `segments` in the input `documents`"),
        (
            json!({ "segments": "a b" }),
            "column `segments` of the input `documents` is Utf8 where a list of {text, weight}",
        ),
        (json!({ "segments": [{ "text": "a b" }] }), "where a list of {text, weight} is wanted"),
        (json!({ "segments": part(json!("a b"), json!("much")) }), "where a list of {text, weight} is wanted"),
    ];
    for (row, message) in cases {
        lab.jsonl("documents.jsonl", [row.clone()]);
        let failure = lab.run_stages(&stages(SMALL)).failure();
        assert!(failure.contains(message), "{row}: {failure}");
    }
    for weight in [Value::Null, json!(-1.0)] {
        lab.jsonl("documents.jsonl", documents(|_| weight.clone()));
        let failure = lab.run_stages(&stages(SMALL)).failure();
        assert!(failure.contains("has no document whose segments all have a text and a weight"), "{failure}");
    }
}

#[test]
fn parameters_without_meaning_are_found_when_the_pipeline_is_read() {
    let lab = Lab::with(pipe_stages::registry());
    for (params, message) in [
        ("decay_ratio: 0", "`decay_ratio` is 0, but must be above 0"),
        ("epochs: 0", "`epochs` is 0, but must be a positive number"),
        ("batch_size: 0", "batch_size"),
        ("learning_rate: -1", "`learning_rate` is -1"),
        ("max_grad_norm: 0", "`max_grad_norm` is 0"),
        ("end_weight: -1", "end_weight"),
        ("architecture: { num_hidden_layers: 0 }", "num_hidden_layers"),
        ("architecture: { intermediate_size: 0 }", "intermediate_size"),
        ("architecture: { num_attention_heads: 5 }", "width 192 with 5 heads"),
    ] {
        let problems = lab.problems(&stages(params));
        assert!(problems.contains(message), "{params}: {problems}");
    }
    // What the model's context is, is known when it is made or loaded.
    lab.jsonl("documents.jsonl", documents(|_| json!(1)));
    let failure = lab.run_stages(&stages(&SMALL.replace("max_seq_len: 32", "max_seq_len: 33"))).failure();
    assert!(failure.contains("`max_seq_len` is 33, and the model's context is 32"), "{failure}");
}
