//! One row ends no stage: it ends with an outcome, which is counted and said.

use pipe_engine::events::EventKind;
use pipe_testing::{Lab, Ran};
use serde_json::{Value, json};

use crate::{models::random_model, tables::seeds, train_evaluate::questions};

fn warnings(ran: &Ran) -> String {
    let all = ran.pick(|e| if let EventKind::Warning { message, .. } = e { Some(message.clone()) } else { None });
    all.join("\n")
}

/// A lab with a model whose context is 96 tokens, and five rows, of which the third is longer.
fn five() -> Lab {
    let lab = Lab::with(pipe_stages::registry());
    std::fs::create_dir(lab.path("model")).unwrap();
    random_model(&lab.path("model"), 1);
    lab.write("seeds.jsonl", &seeds());
    let row = |i: usize| {
        let instruction = if i == 2 { "many words ".repeat(60) } else { format!("What is item {i}?") };
        json!({ "id": format!("q{i}"), "instruction": instruction, "output": format!("It is thing {i}.") })
    };
    lab.jsonl("rows.jsonl", (0..5).map(row));
    lab
}

fn ask(kind: &str, more: &str) -> String {
    let port = if kind == "evaluate" { "items" } else { "instructions" };
    format!(
        "  rows: {{ kind: table, params: {{ path: rows.jsonl }} }}
  s: {{ kind: {kind}, inputs: {{ {port}: rows }}, params: {{ model: model, max_new_tokens: 4{more} }} }}\n"
    )
}

#[test]
fn a_prompt_longer_than_the_context_is_an_outcome() {
    let lab = five();
    let ran = lab.run_stages(&ask("evaluate", ""));
    assert_eq!(ran.failures(), [""; 0]);
    let rows = lab.rows("s.predictions");
    assert_eq!((rows.len(), &rows[2]["finish_reason"], &rows[2]["prediction"]), (5, &json!("too_long"), &json!("")));
    assert_eq!(rows[2]["token_f1"], json!(0.0));
    assert_eq!((lab.count("s", "attempted"), lab.count("s", "too_long")), (5, 1));
    assert_eq!(lab.rows("s.scores")[0]["n"], json!(5));
    let said = warnings(&ran);
    assert!(said.contains("of 5 rows 1 did not fit into the model's context (row `q2`: its prompt has"), "{said}");
    assert!(said.contains("the model's context is 96): they are scored 0"), "{said}");

    let filters = ", filters: { truncated: false, empty: false, echo: false }";
    let ran = lab.run_stages(&ask("respond", filters));
    assert_eq!(ran.failures(), [""; 0]);
    let ids: Vec<Value> = lab.rows("s.responses").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, ["q0", "q1", "q3", "q4"]);
    assert_eq!((lab.count("s", "too_long"), lab.counter("s", "rows_too_long")), (1, 1));
    assert!(warnings(&ran).contains("they were dropped"));
}

#[test]
fn a_larger_share_than_max_refused_fails_the_stage_and_no_answer_is_lost() {
    let lab = five();
    let strict = ask("evaluate", ", max_refused: 0.1");
    let failure = lab.run_stages(&strict).failure();
    assert!(failure.contains("more than `max_refused: 0.1` allows") && failure.contains("row `q2`"), "{failure}");
    // Another share asks the model nothing.
    for share in ["0.2", "1"] {
        let ran = lab.run_stages(&ask("evaluate", &format!(", max_refused: {share}")));
        assert_eq!((ran.failures().len(), ran.stats("s").rows_computed), (0, 0), "{:?}", ran.failures());
    }
    lab.jsonl("rows.jsonl", [json!({ "id": "q", "instruction": "many words ".repeat(60), "output": "x" })]);
    assert!(
        lab.run_stages(&ask("respond", "")).failure().contains("of 1 rows 1 did not fit"),
        "none of one is too few"
    );
}

#[test]
fn an_attempt_that_shows_too_long_a_seed_is_dropped() {
    let lab = five();
    let long = |i: usize| format!("{}\n", json!({ "id": format!("long{i}"), "instruction": "many words ".repeat(60) }));
    lab.write("seeds.jsonl", &(seeds() + &(0..5).map(long).collect::<String>()));
    let filters = "{ min_words: 1, first_character: false, rouge_l: null, forbidden_words: [], duplicates: false }";
    let ran = lab.run_stages(&format!(
        "  seeds: {{ kind: table, params: {{ path: seeds.jsonl }} }}
  s: {{ kind: generate, inputs: {{ seeds: seeds }}, params: {{ model: model, count: 20, num_demonstrations: 1, stop: \
  [\"e\", \"a\", \"t\"], filters: {filters} }} }}\n"
    ));
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!(lab.table("s.instructions").num_rows(), 20);
    assert!(lab.count("s", "too_long") > 0, "{:?}", lab.yields("s"));
    assert!(warnings(&ran).contains("an attempt that shows the seeds `long"), "{}", warnings(&ran));
}

#[test]
fn rows_without_an_answer_are_left_out_of_training_and_of_scores() {
    let lab = questions();
    let row = |i: usize, output: Value| json!({ "id": i, "instruction": format!("What is {i}?"), "output": output });
    lab.jsonl("rows.jsonl", [row(0, json!("red")), row(1, json!("")), row(2, json!(null)), row(3, json!("blue"))]);
    let ran = lab.run_stages(
        "  rows: { kind: table, params: { path: rows.jsonl } }
  taught: { kind: train, inputs: { examples: rows }, params: { model: base, budget: { steps: 40 } } }
  scores: { kind: evaluate, inputs: { items: rows }, params: { model: base, max_new_tokens: 4 } }\n",
    );
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!((lab.counter("taught", "examples"), lab.counter("taught", "examples_empty")), (2, 2));
    assert_eq!((lab.count("scores", "no_reference"), lab.count("scores", "attempted")), (2, 4));
    assert_eq!(lab.rows("scores.scores")[0]["n"], json!(2));
    let predictions = lab.rows("scores.predictions");
    assert_eq!((&predictions[1]["finish_reason"], predictions[1].get("token_f1")), (&json!("no_reference"), None));
    let said = warnings(&ran);
    assert!(said.contains("2 of 4 rows of `examples` have no answer and were left out (row 2 is the first)"), "{said}");
    assert!(said.contains("2 of 4 items have no answer to compare with"), "{said}");
}

#[test]
fn empty_documents_passages_and_queries_end_no_stage() {
    let lab = Lab::with(pipe_stages::registry());
    let document = |text: &str| json!({ "segments": [{ "text": text, "weight": 1.0 }] });
    let mut documents: Vec<Value> = (0..12).map(|i| document(&format!("item {i} is thing {}", i * 7))).collect();
    documents.extend([document(""), json!({ "segments": [] })]);
    lab.jsonl("documents.jsonl", documents);
    lab.jsonl("corpus.jsonl", [json!({ "text": "" }), json!({ "text": "the liver" }), json!({ "text": null })]);
    lab.jsonl("queries.jsonl", [json!({ "instruction": "liver" }), json!({ "instruction": " " })]);
    let ran = lab.run_stages(
        "  documents: { kind: table, params: { path: documents.jsonl } }
  corpus: { kind: table, params: { path: corpus.jsonl } }
  queries: { kind: table, params: { path: queries.jsonl } }
  found: { kind: retrieve, inputs: { queries: queries, corpus: corpus } }
  base: { kind: pretrain, inputs: { documents: documents }, params: { vocab_size: 270, max_seq_len: 32, batch_size: 4, \
  warmup_steps: 1, architecture: { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: \
  2, max_position_embeddings: 32 } } }\n",
    );
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!((lab.counter("base", "documents_empty"), lab.counter("base", "examples")), (2, 12));
    let found: Vec<usize> =
        lab.rows("found.rows").iter().map(|row| row["passages"].as_array().map_or(0, Vec::len)).collect();
    assert_eq!((found, lab.counter("found", "queries_empty")), (vec![1, 0], 1));
    let said = warnings(&ran);
    assert!(said.contains("2 of 14 rows of `documents` have no text"), "{said}");
    assert!(said.contains("2 rows of `corpus` have no text") && said.contains("1 of 2 rows of `queries`"), "{said}");
}

#[test]
fn a_training_in_which_nothing_is_learned_says_so() {
    let lab = questions();
    let train = |steps: usize| {
        format!(
            "  rows: {{ kind: table, params: {{ path: rows.jsonl }} }}
  taught: {{ kind: train, inputs: {{ examples: rows }}, params: {{ model: base, budget: {{ steps: {steps} }} }} }}\n"
        )
    };
    let said = warnings(&lab.run_stages(&train(1)));
    assert!(said.contains("nothing was learned") && said.contains("warmup"), "{said}");
    assert!(!warnings(&lab.run_stages(&train(2))).contains("nothing was learned"));
}

/// Five rows, of which one has no instruction and one an input that the template `t.jinja` fails on.
fn broken() -> Lab {
    let lab = five();
    let row = |i: usize| {
        let instruction = if i == 1 { " ".to_owned() } else { format!("What is item {i}?") };
        let input = if i == 3 { "none" } else { "a-b" };
        let output = format!("It is thing {i}.");
        json!({ "id": format!("q{i}"), "instruction": instruction, "input": input, "output": output })
    };
    lab.jsonl("rows.jsonl", (0..5).map(row));
    lab.write(
        "t.jinja",
        "{{ instruction }} {{ (input|split('-'))[1] ~ '' }}\nOutput:{% if output is defined %} {{ output }}{% endif %}",
    );
    lab
}

#[test]
fn rows_that_cannot_be_asked_are_outcomes() {
    let lab = broken();
    let ran = lab.run_stages(&ask("evaluate", ", template: t.jinja"));
    assert_eq!(ran.failures(), [""; 0]);
    let reasons: Vec<Value> = lab.rows("s.predictions").iter().map(|row| row["finish_reason"].clone()).collect();
    assert_eq!((&reasons[1], &reasons[3]), (&json!("no_instruction"), &json!("unrendered")));
    assert_eq!(
        (lab.count("s", "attempted"), lab.count("s", "no_instruction"), lab.count("s", "unrendered")),
        (5, 1, 1)
    );
    let predictions = lab.rows("s.predictions");
    for row in [1, 3] {
        assert_eq!((&predictions[row]["prediction"], &predictions[row]["token_f1"]), (&json!(""), &json!(0.0)));
    }
    assert_eq!(lab.rows("s.scores")[0]["n"], json!(5));
    let said = warnings(&ran);
    assert!(
        said.contains("of 5 rows 1 had no instruction, 1 could not be rendered by the template (row `q1`"),
        "{said}"
    );

    let filters = ", template: t.jinja, filters: { truncated: false, empty: false, echo: false }";
    let ran = lab.run_stages(&ask("respond", filters));
    assert_eq!(ran.failures(), [""; 0]);
    let ids: Vec<Value> = lab.rows("s.responses").iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, ["q0", "q2", "q4"]);
    assert_eq!((lab.count("s", "no_instruction"), lab.counter("s", "rows_unrendered")), (1, 1));
    let strict = lab.run_stages(&ask("respond", &format!("{filters}, max_refused: 0.3"))).failure();
    assert!(strict.contains("more than `max_refused: 0.3` allows"), "{strict}");
    // A template that fails on all rows is wrong itself, however many may go without an answer.
    lab.write("t.jinja", "{{ (input|split('#'))[1] ~ '' }}");
    for kind in ["respond", "evaluate"] {
        let failure = lab.run_stages(&ask(kind, ", template: t.jinja, max_refused: 1")).failure();
        assert!(failure.contains("failed to render the template"), "{failure}");
    }
}

#[test]
fn seeds_that_can_be_shown_to_nobody_are_left_out() {
    let lab = five();
    let no_output = json!({ "id": "empty", "instruction": "What is nothing?", "output": null });
    lab.write("seeds.jsonl", &format!("{no_output}\n{{\"id\": \"blank\", \"instruction\": \" \"}}\n{}", seeds()));
    let filters = "{ min_words: 1, first_character: false, rouge_l: null, forbidden_words: [], duplicates: false }";
    let ran = lab.run_stages(&format!(
        "  seeds: {{ kind: table, params: {{ path: seeds.jsonl }} }}
  rows: {{ kind: table, params: {{ path: rows.jsonl }} }}
  new: {{ kind: generate, inputs: {{ seeds: seeds }}, params: {{ model: model, count: 5, num_demonstrations: 1, stop: \
  [\"e\", \"a\", \"t\"], filters: {filters} }} }}
  answers: {{ kind: respond, inputs: {{ instructions: rows, seeds: seeds }}, params: {{ model: model, \
  num_demonstrations: 1, max_new_tokens: 4, filters: {{ truncated: false, empty: false }} }} }}
  scores: {{ kind: evaluate, inputs: {{ items: rows, seeds: seeds }}, params: {{ model: model, num_fewshot: 1, \
  max_new_tokens: 4 }} }}\n"
    ));
    assert_eq!(ran.failures(), [""; 0]);
    let counts = ["new", "answers", "scores"].map(|stage| lab.counter(stage, "seeds_empty"));
    assert_eq!(counts, [1, 2, 2]);
    assert_eq!(lab.rows("answers.responses")[0]["demonstrations"], json!(["s0"]));
    assert!(warnings(&ran).contains("2 of 14 rows of `seeds` have no instruction or no `output` and were left out"));
}

#[test]
fn a_model_that_computes_no_numbers_fails_whatever_may_go_without_an_answer() {
    let lab = five();
    let file = lab.path("model/model.safetensors");
    let mut tensors = candle_core::safetensors::load(&file, &candle_core::Device::Cpu).unwrap();
    let norm = tensors.get_mut("model.norm.weight").unwrap();
    *norm = (norm.ones_like().unwrap() * f64::NAN).unwrap();
    candle_core::safetensors::save(&tensors, &file).unwrap();
    for kind in ["evaluate", "respond"] {
        let failure = lab.run_stages(&ask(kind, ", max_refused: 1")).failure();
        assert!(failure.contains("4 made the model compute what is not a number"), "{failure}");
        assert!(failure.contains("damaged or overflow"), "{failure}");
    }
    let ran = lab.run_stages(
        "  seeds: { kind: table, params: { path: seeds.jsonl } }
  s: { kind: generate, inputs: { seeds: seeds }, params: { model: model, count: 50, \
  num_demonstrations: 1, max_refused: 1 } }\n",
    );
    assert!(ran.failure().contains("damaged or overflow"));
}

#[test]
fn one_row_ends_no_training_and_no_search() {
    let lab = broken();
    let segment = |text: Value, weight: Value| json!({ "segments": [{ "text": text, "weight": weight }] });
    let mut documents: Vec<Value> =
        (0..12).map(|i| segment(json!(format!("item {i} is {}", i * 7)), json!(1.0))).collect();
    documents.extend([
        segment(json!(null), json!(1.0)),
        segment(json!("x"), json!(null)),
        segment(json!("x"), json!(-1.0)),
    ]);
    lab.jsonl("documents.jsonl", documents);
    lab.jsonl("corpus.jsonl", [json!({ "text": "thing b" }), json!({ "text": "the liver" })]);
    let ran = lab.run_stages(
        "  documents: { kind: table, params: { path: documents.jsonl } }
  corpus: { kind: table, params: { path: corpus.jsonl } }
  rows: { kind: table, params: { path: rows.jsonl } }
  found: { kind: retrieve, inputs: { queries: rows, corpus: corpus }, params: { query_template: \
  \"{{ instruction|trim }} {{ (input|split('-'))[1] ~ '' }}\" } }
  taught: { kind: train, inputs: { examples: rows }, params: { model: model, template: t.jinja, budget: { steps: 2 } } }
  base: { kind: pretrain, inputs: { documents: documents }, params: { vocab_size: 270, max_seq_len: 32, batch_size: 4, \
  warmup_steps: 1, architecture: { hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: \
  2, max_position_embeddings: 32 } } }\n",
    );
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!((lab.counter("base", "documents_broken"), lab.counter("base", "examples")), (3, 12));
    assert_eq!((lab.counter("taught", "examples"), lab.counter("taught", "examples_without_instruction")), (3, 1));
    assert_eq!(lab.counter("taught", "examples_unusable"), 1);
    assert_eq!((lab.count("found", "query_failed"), lab.counter("found", "queries_failed")), (1, 1));
    assert_eq!((lab.count("found", "attempted"), lab.count("found", "found")), (5, 4));
    let said = warnings(&ran);
    assert!(said.contains("1 of 4 rows could not be turned into examples and were left out (row `q3`"), "{said}");
    assert!(said.contains("3 of 15 rows of `documents` have a segment without a text or a usable weight"), "{said}");
    // What fails on all rows is wrong itself.
    let ran = lab.run_stages(
        "  rows: { kind: table, params: { path: rows.jsonl } }
  corpus: { kind: table, params: { path: corpus.jsonl } }
  found: { kind: retrieve, inputs: { queries: rows, corpus: corpus }, \
  params: { query_template: \"{{ nothing }}\" } }\n",
    );
    assert!(ran.failure().contains("failed to render `query_template` for row 1"));
}

#[test]
fn one_item_whose_answer_is_no_label_or_whose_task_is_named_all_ends_no_exam() {
    let lab = five();
    let row = |i: usize, output: &str, task: &str| {
        json!({ "id": i, "task": task, "instruction": format!("Is item {i} a \
        thing?"), "output": output, "labels": ["yes", "no"] })
    };
    lab.jsonl("rows.jsonl", [row(0, "yes", "all"), row(1, "perhaps", "all"), row(2, "no", "b")]);
    let ran = lab.run_stages(&ask("evaluate", ""));
    assert_eq!(ran.failures(), [""; 0]);
    let scores = lab.rows("s.scores");
    assert_eq!((scores.len(), &scores[0]["n"], &scores[0]["accuracy_n"]), (1, &json!(3), &json!(2)));
    let tasks: Vec<(Value, Value)> =
        lab.rows("s.tasks").iter().map(|row| (row["task"].clone(), row["n"].clone())).collect();
    assert_eq!(tasks, [(json!("all"), json!(2)), (json!("b"), json!(1))]);
    assert_eq!(lab.counter("s", "items_without_label"), 1);
    assert!(warnings(&ran).contains("1 of 3 items with `labels` have no accuracy: the answer `perhaps` of row 2"));
}
