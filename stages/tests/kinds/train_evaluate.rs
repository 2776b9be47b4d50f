//! Training and evaluation of a small model, as a pipeline runs them.

use pipe_engine::events::{EventKind, RunEnd};
use pipe_testing::Lab;
use serde_json::json;

use crate::{models::trained_model, tables::numbers};

/// A base, rows to learn, an adapter, and the exam before and after.
const PIPELINE: &str = r"  rows: { kind: table, params: { path: rows.jsonl } }
  exam: { kind: table, params: { path: exam.jsonl } }
  train:
    kind: train
    inputs: { examples: rows }
    params: TRAIN
  before: { kind: evaluate, inputs: { items: exam }, params: { model: base, max_new_tokens: 8 } }
  after: { kind: evaluate, inputs: { items: exam, adapter: train }, params: { model: base, max_new_tokens: 8 } }
";

pub(crate) const TRAIN: &str = "{ model: base, lora: { r: 8, alpha: 16 }, learning_rate: 0.02, budget: { epochs: 30 }, \
                     micro_batch_size: 4, gradient_accumulation_steps: 2, max_grad_norm: 1.0, seed: 3 }";

pub(crate) fn with(train: &str) -> String {
    PIPELINE.replace("TRAIN", train)
}

const COLOURS: [&str; 4] = ["red", "green", "blue", "white"];

/// A lab with a base model, questions about colours, and an exam of the same.
pub(crate) fn questions() -> Lab {
    let lab = Lab::with(pipe_stages::registry());
    let question = |i: usize| format!("What is the colour of item {i}?");
    // The base has the form of the answers, and the wrong colours.
    let wrong = |i: usize| (format!("Instruction: {}\nOutput:", question(i)), format!(" {}\n", COLOURS[(i + 1) % 4]));
    trained_model(&lab.path("base"), &(0..16).map(wrong).collect::<Vec<_>>(), 128);
    let row = |i: usize| {
        let task = format!("t{}", i % 2);
        json!({ "id": format!("row-{i}"), "task": task, "instruction": question(i), "output": COLOURS[i % 4] })
    };
    lab.jsonl("rows.jsonl", (0..16).map(row));
    lab.jsonl("exam.jsonl", (0..12).map(row));
    lab
}

#[test]
fn training_is_seen_in_the_exam() {
    let lab = questions();
    let ran = lab.run_stages(&with(TRAIN));
    assert_eq!(ran.failures(), [""; 0]);
    let log = lab.table("train.log");
    let losses = numbers(&log, "loss");
    assert_eq!(losses.len(), 30 * 2);
    assert!(losses[59] < 0.2 * losses[0], "{} -> {}", losses[0], losses[59]);
    assert!((numbers(&log, "epoch")[59] - 30.0).abs() < 1e-9);

    let f1 = |stage: &str| numbers(&lab.table(&format!("{stage}.scores")), "token_f1");
    let (before, after) = (f1("before"), f1("after"));
    assert_eq!(after.len(), 1, "over all items");
    assert!(before[0] < 0.3 && after[0] > 0.6, "{before:?} -> {after:?}");

    let arms = ran.pick(|e| if let EventKind::Arms { arms } = e { Some(arms.clone()) } else { None }).concat();
    let shown: Vec<_> = arms.iter().map(|arm| (arm.stage.as_str(), arm.scores[0].value)).collect();
    assert_eq!(shown, [("before", Some(before[0])), ("after", Some(after[0]))]);
    let tokens: f64 = numbers(&log, "tokens").iter().sum();
    let counts: Vec<(&str, u64)> = arms[1].counts.iter().map(|of| (&*of.name, of.count)).collect();
    assert_eq!(counts, [("steps", 60), ("tokens_trained", tokens as u64)]);
    assert!(arms[0].counts.is_empty(), "nothing was trained for it");

    let again = lab.run_stages(&with(TRAIN));
    assert_eq!((again.summary.ran, again.pick(|e| matches!(e, EventKind::Arms { .. }).then_some(())).len()), (0, 1));
}

#[test]
fn predictions_say_what_was_asked_and_answered() {
    let lab = questions();
    lab.run_stages(&with(TRAIN));
    let rows = lab.rows("after.predictions");
    assert_eq!(rows.len(), 12);
    let row = &rows[5];
    assert_eq!((&row["id"], &row["references"]), (&json!("row-5"), &json!(["green"])));
    assert_eq!(row["instruction"], "What is the colour of item 5?");
    let mean = rows.iter().map(|row| row["exact_match"].as_f64().unwrap()).sum::<f64>() / 12.0;
    let scores = lab.rows("after.scores");
    assert!((scores[0]["exact_match"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert_eq!((scores.len(), &scores[0]["task"], &scores[0]["n"]), (1, &json!("all"), &json!(12)));
    let tasks = lab.rows("after.tasks");
    assert_eq!(tasks.iter().map(|row| row["n"].as_i64().unwrap()).sum::<i64>(), 12);
    assert!(tasks.len() == 2 && tasks.iter().all(|row| row["task"] != "all"), "{tasks:?}");
    let right = |row: &serde_json::Value| row["prediction"] == row["references"][0];
    assert!(rows.iter().all(|row| right(row) == (row["exact_match"] == 1.0)));
}

#[test]
fn a_cancelled_training_ends_with_the_same_bytes() {
    // Long enough for the run to be cancelled in its middle.
    let pipeline = with(&TRAIN.replace("{ epochs: 30 }", "{ steps: 400 }"));
    let whole = questions();
    whole.run_stages(&pipeline);
    let expect = (whole.digest("train.adapter"), whole.digest("train.log"));
    for stop in [1, 60, 150] {
        let lab = questions();
        let reached =
            |e: &EventKind| matches!(e, EventKind::Progress { done, unit, .. } if unit == "steps" && *done >= stop);
        let stopped = lab.run_until(&pipeline, reached);
        assert_eq!(stopped.summary.outcome, RunEnd::Cancelled, "at step {stop}");
        let resumed = lab.run_stages(&pipeline);
        assert_eq!(resumed.failures(), [""; 0]);
        let notes = resumed.pick(|e| if let EventKind::Log { line, .. } = e { Some(line.clone()) } else { None });
        assert!(notes.iter().any(|line| line.starts_with("went on from the checkpoint of step")), "{notes:?}");
        assert_eq!((lab.digest("train.adapter"), lab.digest("train.log")), expect, "stopped at step {stop}");
    }
}

#[test]
fn edits_rerun_what_they_touch() {
    let lab = questions();
    lab.run_stages(&with(TRAIN));
    let nothing: [&str; 0] = [];
    let operational =
        TRAIN.replace("seed: 3", "seed: 3, checkpoint_steps: 7, gradient_checkpointing: true, stall_window: 30");
    assert_eq!(lab.run_stages(&with(&operational)).computed(), nothing);
    let spelt_out =
        TRAIN.replace("seed: 3", "seed: 3, template: plain, method: lora, warmup_ratio: null, max_passage_words: null");
    assert_eq!(lab.run_stages(&with(&spelt_out)).computed(), nothing);
    assert_eq!(lab.run_stages(&with(&TRAIN.replace("r: 8", "r: 4"))).computed(), ["after", "train"]);
    lab.write("other.jinja", "Q: {{ instruction }}\nA:{% if output is defined %} {{ output }}{{ \"\\n\" }}{% endif %}");
    let template = TRAIN.replace("seed: 3", "seed: 3, template: other.jinja");
    assert_eq!(lab.run_stages(&with(&template)).computed(), ["after", "train"]);
    lab.write(
        "other.jinja",
        "Question: {{ instruction }}\nA:{% if output is defined %} {{ output }}{{ \"\\n\" }}{% endif %}",
    );
    assert_eq!(lab.run_stages(&with(&template)).computed(), ["after", "train"]);
}

#[test]
fn draws_are_a_rows_own_and_other_metrics_ask_the_model_nothing() {
    let stages = |n: usize, more: &str| {
        let params =
            format!("model: base, temperature: 1, num_fewshot: 1, fewshot_selection: random, max_new_tokens: 8{more}");
        format!(
            "  exam: {{ kind: table, params: {{ path: bare{n}.jsonl }} }}
  seeds: {{ kind: table, params: {{ path: rows.jsonl }} }}
  e: {{ kind: evaluate, inputs: {{ items: exam, seeds: seeds }}, params: {{ {params} }} }}\n"
        )
    };
    let lab = || {
        let lab = questions();
        let bare = |i: usize| json!({ "instruction": format!("What is the colour of item {i}?"), "output": "red" });
        for n in [5, 12] {
            lab.jsonl(&format!("bare{n}.jsonl"), (0..n).map(bare));
        }
        lab
    };
    // Items without ids: what is drawn for the last seven must not depend on whether the first five were answered
    // before.
    let (warm, cold) = (lab(), lab());
    assert_eq!(warm.run_stages(&stages(5, "")).failures(), [""; 0]);
    let ran = warm.run_stages(&stages(12, ""));
    assert_eq!((ran.stats("e").rows_computed, ran.stats("e").rows_reused), (7, 5));
    cold.run_stages(&stages(12, ""));
    assert_eq!(warm.digest("e.predictions"), cold.digest("e.predictions"));

    let ran = warm.run_stages(&stages(12, ", metrics: [contains], bootstrap: { seed: 5 }"));
    assert_eq!((ran.stats("e").rows_computed, ran.stats("e").rows_reused), (0, 12));
    let answers = |lab: &Lab| lab.table("e.predictions").column_by_name("prediction").unwrap().clone();
    assert_eq!(answers(&warm).as_ref(), answers(&cold).as_ref());
}

#[test]
fn the_number_of_slots_changes_no_byte_and_rows_are_reused() {
    let lab = questions();
    let slots = |n: u32| {
        PIPELINE.replace("TRAIN", TRAIN).replace("max_new_tokens: 8", &format!("max_new_tokens: 8, slots: {n}"))
    };
    lab.run_stages(&slots(1));
    let expect = lab.digest("after.predictions");
    let other = questions();
    other.run_stages(&slots(5));
    assert_eq!(other.digest("after.predictions"), expect);
    let mut rows: Vec<_> = lab.lines("exam.jsonl");
    rows.insert(
        3,
        json!({ "id": "new", "task": "t0", "instruction": "What is the colour of item 30?", "output": "blue" }),
    );
    lab.jsonl("exam.jsonl", rows);
    let ran = lab.run_stages(&slots(3));
    let stats = ran.pick(|e| match e {
        EventKind::Finished { node, stats, .. } if node.label.0.starts_with("after") => {
            Some((stats.rows_computed, stats.rows_reused))
        }
        _ => None,
    });
    assert_eq!(stats, [(1, 12)]);
    assert_eq!(lab.rows("after.predictions").len(), 13);
}

#[test]
fn whole_models_and_quantised_bases_are_trained() {
    let lab = questions();
    let pipeline = |train: &str, input: &str| {
        format!(
            "  rows: {{ kind: table, params: {{ path: rows.jsonl }} }}\n  \
             train: {{ kind: train, inputs: {{ examples: rows }}, params: {train} }}\n  \
             after: {{ kind: evaluate, inputs: {{ items: rows, {input} }}, params: {{ max_new_tokens: 8{} }} }}\n",
            if input.starts_with("adapter") { ", model: base" } else { "" }
        )
    };
    let f1 = || numbers(&lab.table("after.scores"), "token_f1")[0];
    let full = "{ model: base, method: full, learning_rate: 0.005, lr_scheduler: linear, budget: { steps: 120 }, \
                warmup_steps: 5, micro_batch_size: 8, max_grad_norm: 1.0 }";
    assert_eq!(lab.run_stages(&pipeline(full, "model: train.model")).failures(), [""; 0]);
    assert!(f1() > 0.6, "full: {}", f1());
    let quantised = TRAIN.replace("seed: 3", "seed: 3, quantization: nf4, group_by_length: true");
    let as_trained =
        pipeline(&quantised, "adapter: train.adapter").replace("model: base }", "model: base, quantization: nf4 }");
    assert_eq!(lab.run_stages(&as_trained).failures(), [""; 0]);
    assert!(f1() > 0.5, "nf4, examined on nf4: {}", f1());
    let losses = numbers(&lab.table("train.log"), "loss");
    assert!(losses[59] < 0.3 * losses[0], "nf4: {} -> {}", losses[0], losses[59]);
}

#[test]
fn held_out_rows_and_seeds_have_their_part() {
    let lab = questions();
    let seeds_only = "
  rows: { kind: table, params: { path: rows.jsonl } }
  seeds: { kind: table, params: { path: exam.jsonl } }
  mixed:
    kind: train
    inputs: { examples: rows, seeds: seeds }
    params: { model: base, budget: { steps: 4 }, eval_fraction: 0.25, eval_steps: 2, learning_rate: 0.001 }
  alone: { kind: train, inputs: { examples: seeds, evaluation: rows }, params: { model: base, budget: { steps: 3 } } }
";
    assert_eq!(lab.run_stages(seeds_only).failures(), [""; 0]);
    assert_eq!(lab.counter("mixed", "examples"), 12 + 12);
    assert_eq!(lab.counter("alone", "examples"), 12);
    let measured = |stage: &str| -> Vec<bool> {
        lab.rows(&format!("{stage}.log")).iter().map(|row| row.get("eval_loss").is_some_and(|v| !v.is_null())).collect()
    };
    assert_eq!(measured("mixed"), [false, true, false, true]);
    assert_eq!(measured("alone"), [false, false, true]);
    let none = seeds_only.replace("eval_fraction: 0.25, ", "");
    let told = lab.run_stages(&none).warnings().join("\n");
    assert!(told.contains("`eval_steps` measures nothing, for want of held-out rows"), "{told}");
    assert_eq!(measured("mixed"), [false; 4]);
}

#[test]
fn prompts_show_seeds_and_passages() {
    let lab = questions();
    let passage = |i: usize| json!({ "id": "c", "text": format!("Item {i} is {}.", COLOURS[i % 4]), "score": 1.0 });
    let item = |i: usize| {
        json!({ "id": i, "instruction": format!("Colour of item \
    {i}?"), "references": [COLOURS[i % 4], "x"], "passages": [passage(i), passage(i)] })
    };
    lab.jsonl("open.jsonl", (0..4).map(item));
    let evaluate = |params: &str| {
        format!(
            "  open: {{ kind: table, params: {{ path: open.jsonl }} }}\n  \
             seeds: {{ kind: table, params: {{ path: rows.jsonl }} }}\n  \
             e: {{ kind: evaluate, inputs: {{ items: open, seeds: seeds }}, params: {{ model: base, max_new_tokens: 4, \
             {params} }} }}\n"
        )
    };
    let prompt_tokens = |params: &str| -> u64 {
        assert_eq!(lab.run_stages(&evaluate(params)).failures(), [""; 0], "{params}");
        lab.rows("e.predictions").iter().map(|row| row["prompt_tokens"].as_u64().unwrap()).sum()
    };
    let bare = prompt_tokens("open_book: false");
    let open = prompt_tokens("open_book: true");
    let shown = prompt_tokens("num_fewshot: 2");
    let both = prompt_tokens("num_fewshot: 2, fewshot_selection: random, open_book: true");
    assert!(bare < open && bare < shown && open < both && shown < both, "{bare} {open} {shown} {both}");

    // Less of the passages, in the exam and in training.
    let fewer = prompt_tokens("open_book: true, max_passages: 1");
    let shorter = prompt_tokens("open_book: true, max_passages: 1, max_passage_words: 2");
    assert!(bare < shorter && shorter < fewer && fewer < open, "{bare} {shorter} {fewer} {open}");
    let trained_tokens = |params: &str| {
        let train = format!(
            "  t: {{ kind: train, inputs: {{ examples: open }}, params: {{ model: base, budget: {{ steps: 1 }}, \
             {params} }} }}\n"
        );
        assert_eq!(lab.run_stages(&(evaluate("open_book: false") + &train)).failures(), [""; 0], "{params}");
        numbers(&lab.table("t.log"), "tokens")[0]
    };
    let open = trained_tokens("open_book: true");
    let fewer = trained_tokens("open_book: true, max_passages: 1");
    let shorter = trained_tokens("open_book: true, max_passages: 1, max_passage_words: 2");
    assert!(shorter < fewer && fewer < open, "{shorter} {fewer} {open}");
}

#[test]
fn mistakes_are_named() {
    let lab = questions();
    lab.write("nothing.jsonl", "");
    lab.jsonl("no_output.jsonl", [json!({ "instruction": "Q" })]);
    lab.jsonl(
        "null_output.jsonl",
        [json!({ "instruction": "Q", "output": " " }), json!({ "instruction": "R", "output": null })],
    );
    lab.jsonl(
        "twice.jsonl",
        [
            json!({ "id": "x", "instruction": "Q", "output": "A" }),
            json!({ "id": "x", "instruction": "R", "output": "A" }),
        ],
    );
    lab.jsonl("labels.jsonl", [json!({ "instruction": "Q", "output": "B", "labels": ["A", "C"] })]);
    lab.jsonl("inputs.jsonl", ["", "it"].map(|input| json!({ "instruction": "Q", "input": input, "output": "A" })));
    lab.write("stop.jinja", "{% set stop = [input] if input else [] %}{{ instruction }}");
    lab.jsonl("long.jsonl", [json!({ "id": "epic", "instruction": "word ".repeat(200), "output": "A" })]);
    let fail = |kind: &str, file: &str, params: &str| -> String {
        let port = if kind == "train" { "examples" } else { "items" };
        let schema = if file == "nothing.jsonl" { ", schema: { instruction: string, output: string }" } else { "" };
        let failures = lab
            .run_stages(&format!(
                "  t: {{ kind: table, params: {{ path: {file}{schema} }} }}\n  \
                 s: {{ kind: {kind}, inputs: {{ {port}: t }}, params: {{ model: base{params} }} }}\n"
            ))
            .failures();
        assert_eq!(failures.len(), 1, "{kind} {file} {params}: {failures:?}");
        failures[0].clone()
    };
    for (kind, file, params, message) in [
        ("train", "nothing.jsonl", "", "s: the input `examples` has no rows"),
        ("evaluate", "nothing.jsonl", "", "s: the input `items` has no rows"),
        ("train", "no_output.jsonl", "", "`output`"),
        ("evaluate", "no_output.jsonl", "", "`output`"),
        ("train", "null_output.jsonl", "", "no row of the input `examples` has an answer"),
        ("evaluate", "null_output.jsonl", "", "no row of the input `items` has an answer to compare with"),
        ("evaluate", "twice.jsonl", "", "rows 1 and 2 of the input `items` have the same id `x`"),
        ("evaluate", "labels.jsonl", "", "the answer `B` of row 1 of the input `items` is none of its `labels`"),
        (
            "evaluate",
            "inputs.jsonl",
            ", template: stop.jinja",
            "sets `stop` to [\"it\"] for row 2 of the input `items`",
        ),
        ("evaluate", "rows.jsonl", ", open_book: true", "no row of the input `items` has `passages`"),
        ("train", "rows.jsonl", ", open_book: true", "no row of the input `examples` has `passages`"),
        ("train", "long.jsonl", "", "there is no example to train on"),
        ("evaluate", "long.jsonl", "", "epic"),
        ("train", "rows.jsonl", ", max_seq_len: 4096", "`max_seq_len` is 4096, and the model's context is 128"),
        (
            "train",
            "rows.jsonl",
            ", lora: { target_modules: [query] }",
            "`target_modules` is [\"query\"], and no linear layer",
        ),
        ("train", "rows.jsonl", ", template: chat", "has no chat template"),
    ] {
        let error = fail(kind, file, params);
        assert!(error.contains(message), "{message}: {error}");
    }
}
