//! What `plan` knows before a run: what would fail, what is there already, how much is to do and where.

use std::path::Path;

use serde_json::{Value, json};

use crate::TestEnvironment;

fn nano() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/models/nano").display().to_string()
}

fn questions(count: usize) -> String {
    let row = |i: usize| json!({ "id": i, "instruction": format!("Say {i}."), "output": format!("{i}") });
    (0..count).map(|i| row(i).to_string() + "\n").collect()
}

/// The node of a stage in a plan.
fn node(plan: &Value, stage: &str) -> Value {
    plan["nodes"].as_array().unwrap().iter().find(|node| node["stage"] == stage).unwrap().clone()
}

#[test]
fn rows_that_are_in_the_memo_are_counted_before_a_run() {
    let pipeline = "pipeline: p\nstages:\n  rows: { kind: table, params: { path: rows.jsonl } }\n  answers: { kind: \
                    respond, inputs: { instructions: rows }, params: { model: MODEL, max_new_tokens: 2 } }\n  more: { \
                    kind: generate, inputs: { seeds: rows }, params: { model: MODEL, count: 3, max_new_tokens: 8, \
                    max_attempts: 8, filters: { rouge_l: null } } }\n";
    let pipeline = pipeline.replace("MODEL", &nano());
    let project = TestEnvironment::with(&[("p.yaml", &pipeline), ("rows.jsonl", &questions(3))]);
    project.ok(&["run", "p.yaml", "--only", "rows"]);
    let plan = project.json(&["plan", "p.yaml", "--format", "json"]);
    assert_eq!(node(&plan, "answers")["remembered"], Value::Null);
    assert_eq!((&node(&plan, "answers")["rows"], &node(&plan, "answers")["place"]), (&json!(3), &json!("cpu")));
    let text = project.ok(&["plan", "p.yaml"]).stdout;
    assert!(text.contains("▶ answers  never ran  3 rows  [cpu, ~"), "{text}");
    project.pipe(&["run", "p.yaml", "--keep-going"]);

    project.write("rows.jsonl", &questions(5));
    project.ok(&["run", "p.yaml", "--only", "rows"]);
    let plan = project.json(&["plan", "p.yaml", "--format", "json"]);
    assert_eq!(node(&plan, "answers")["remembered"], json!({ "rows": 3, "of": 5 }));
    let text = project.ok(&["plan", "p.yaml"]).stdout;
    assert!(text.contains("3 of 5 rows in the memo") && text.contains("of work, by earlier runs"), "{text}");
    // A filter asks for nothing anew.
    project.write("p.yaml", &pipeline.replace("max_new_tokens: 2", "max_new_tokens: 2, filters: { truncated: false }"));
    project.write("rows.jsonl", &questions(3));
    project.ok(&["run", "p.yaml", "--only", "rows"]);
    let plan = project.json(&["plan", "p.yaml", "--format", "json"]);
    assert_eq!(node(&plan, "answers")["remembered"], json!({ "rows": 3, "of": 3 }));

    // A run that is forced forgets them.
    let forced = project.json(&["plan", "p.yaml", "--force=answers", "--format", "json"]);
    assert_eq!((&node(&forced, "answers")["remembered"], &node(&forced, "answers")["rows"]), (&Value::Null, &json!(3)));

    // What is remembered is what is reused.
    project.write("rows.jsonl", &questions(5));
    let events = project.ok(&["run", "p.yaml", "--only", "rows,answers", "--format", "json"]).stdout;
    let finished: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answers = finished.iter().find(|e| e["event"] == "finished" && e["node"]["label"] == "answers").unwrap();
    assert_eq!((&answers["stats"]["rows_computed"], &answers["stats"]["rows_reused"]), (&json!(2), &json!(3)));
}

#[test]
fn attempts_that_are_in_the_memo_are_counted() {
    let pipeline = |count: usize| {
        "pipeline: p\nstages:\n  world: { kind: embedded_world, params: { seeds: 12, exam_items: 6 } }\n  more: { \
         kind: generate, inputs: { seeds: world.seeds }, params: { model: MODEL, count: N, max_new_tokens: 48, \
         filters: { rouge_l: null } } }\n"
            .replace("MODEL", &nano())
            .replace("N,", &format!("{count},"))
    };
    let project = TestEnvironment::with(&[("p.yaml", &pipeline(2))]);
    project.ok(&["run", "p.yaml"]);
    project.write("p.yaml", &pipeline(40));
    let plan = project.json(&["plan", "p.yaml", "--format", "json"]);
    let more = node(&plan, "more");
    assert!(more["remembered"]["rows"].as_u64().unwrap() >= 2, "{more}");
    assert_eq!((&more["remembered"]["of"], &more["rows"]), (&Value::Null, &json!(40)));
}

/// With `stages` below a table `rows` of two questions, `plan` says that one cannot run, in these words.
fn cannot_run(stages: &str, texts: &[&str]) {
    let text = format!(
        "pipeline: p\nstages:\n  rows: {{ kind: table, params: {{ path: rows.jsonl }} }}\n{}\n",
        stages.replace("NANO", &nano())
    );
    let rows = questions(2);
    let files = [("p.yaml", &*text), ("rows.jsonl", &rows), ("empty/config.json", "{}"), ("m.gguf", "")];
    let project = TestEnvironment::with(&files);
    let plan = project.pipe(&["plan", "p.yaml"]);
    assert_eq!(plan.code, Some(1), "{}{}", plan.stdout, plan.stderr);
    for text in texts {
        assert!(plan.stdout.contains(text), "`{text}` is missing:\n{}", plan.stdout);
    }
}

#[test]
fn what_a_model_cannot_do_is_known_before_a_run() {
    let adapted = "  adapter: { kind: train, inputs: { examples: rows }, params: { model: NANO } }\n  exam: { kind: \
                   evaluate, inputs: { items: rows, adapter: adapter }, params: { model: 'http://localhost:1/v1#m' } }";
    cannot_run(adapted, &["✗ exam", "is a server: it cannot use the input `adapter`"]);
    let keyed = "  a: { kind: respond, inputs: { instructions: rows }, params: { model: { endpoint: 'http://h:1/v1', \
                 model: m, api_key_env: NO_SUCH_KEY } } }";
    cannot_run(keyed, &["✗ a", "the environment variable `NO_SUCH_KEY`", "is not set"]);
    let chat = "  a: { kind: respond, inputs: { instructions: rows }, params: { model: NANO, template: chat } }";
    cannot_run(chat, &["✗ a", "makes a conversation, and the model has no chat template"]);
    let twice = "  base: { kind: export, params: { model: NANO } }\n  a: { kind: respond, inputs: { instructions: \
                 rows, model: base }, params: { model: NANO } }";
    cannot_run(twice, &["✗ a", "the model is given twice"]);
    let quantized = "  a: { kind: respond, inputs: { instructions: rows }, params: { model: 'http://localhost:1/v1#m', \
                     quantization: nf4 } }";
    cannot_run(quantized, &["✗ a", "`weights` are its own affair"]);
}

#[test]
fn what_a_stage_would_fail_on_is_known_before_a_run() {
    let check = |stage: &str, texts: &[&str]| cannot_run(&format!("  a: {stage}"), texts);
    let train =
        |params: &str| format!("{{ kind: train, inputs: {{ examples: rows }}, params: {{ model: NANO, {params} }} }}");
    check(&train("lora: { target_modules: [query_proj] }"), &["✗ a", "query_proj"]);
    check(&train("max_seq_len: 100000"), &["✗ a", "`max_seq_len` is 100000, and the model's context is"]);
    for params in ["method: dense, embedder: NANO", "rerank: { model: NANO }"] {
        let retrieve = "{ kind: retrieve, inputs: { queries: rows, corpus: rows }, params: { PARAMS } }";
        check(&retrieve.replace("PARAMS", params), &["✗ a", "as an embedding model: its model_type is `llama`"]);
    }
    check(
        "{ kind: embed, inputs: { rows: rows }, params: { embedder: empty, columns: [instruction] } }",
        &["✗ a", "empty/config.json"],
    );
    let file = train("weights: nf4").replace("NANO", "m.gguf");
    check(&file, &["✗ a", "m.gguf is a GGUF file, whose weights have a form of their own: they cannot be nf4"]);
    let query = "{ kind: retrieve, inputs: { queries: rows, corpus: rows }, params: { method: none, query_template: \
                 '{{ instrction }}' } }";
    check(query, &["✗ a", "`queries` needs a column `instrction`"]);
    for filter in ["min_passage_score: 1", "min_question_in_passages: 0.5", "min_answer_in_passages: 0.5"] {
        let respond = "{ kind: respond, inputs: { instructions: rows }, params: { model: NANO, filters: { FILTER } } }";
        check(&respond.replace("FILTER", filter), &["✗ a", "`instructions` needs a column `passages`"]);
    }
    let program = "{ kind: command, params: { argv: [no-such-program, x], outputs: { r: { format: jsonl } } } }";
    check(program, &["✗ a", "there is no program `no-such-program` in PATH"]);
}

#[test]
fn servers_are_named_where_they_answer() {
    let text = "pipeline: p\nstages:\n  rows: { kind: table, params: { path: rows.jsonl } }\n  a: { kind: respond, \
                inputs: { instructions: rows }, params: { model: 'http://gpu-box:8000/v1#llama' } }\n  b: \
                { kind: table, params: { path: rows.jsonl, limit: 1 }, resources: { gpu: 2 } }\n";
    let project = TestEnvironment::with(&[("p.yaml", text), ("rows.jsonl", &questions(2))]);
    let plan = project.ok(&["plan", "p.yaml"]).stdout;
    assert!(plan.contains("[server gpu-box:8000, model llama]") && plan.contains("[2 gpu]"), "{plan}");
}

#[test]
fn a_run_does_not_begin_what_cannot_end() {
    let pipeline = "pipeline: p
stages:
  first:
    kind: command
    params: { shell: 'date > first; echo x > \"$PIPE_OUTPUT_rows/x\"', outputs: { rows: { format: files } } }
  second: { kind: table, params: { path: data/rows.jsonl } }
  third: { kind: command, params: { argv: [no-such-program], outputs: { rows: { format: files } } } }
";
    let project = TestEnvironment::with(&[("p.yaml", pipeline), ("data/row.jsonl", "{\"a\": 1}\n")]);
    let refused = project.pipe(&["run", "p.yaml"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(!project.file("first").exists(), "nothing was computed: {}", refused.stderr);
    for expect in ["second cannot run", "did you mean `row.jsonl`", "third cannot run", "no-such-program", "2 stages"] {
        assert!(refused.stderr.contains(expect), "{expect}: {}", refused.stderr);
    }
    let told = project.pipe(&["run", "p.yaml", "--format", "json"]);
    let events: Vec<serde_json::Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let labels: Vec<&str> = events.iter().map(|event| event["node"]["label"].as_str().unwrap()).collect();
    assert_eq!((told.code, labels), (Some(1), vec!["second", "third"]));
    project.pipe(&["run", "p.yaml", "--keep-going"]);
    assert!(project.file("first").exists());
}

#[test]
fn what_an_earlier_stage_makes_is_not_missed_before_it() {
    let pipeline = "pipeline: p
stages:
  build:
    kind: command
    params:
      shell: 'echo \"echo hi > \\$1/x\" > tool; chmod +x tool; echo x > \"$PIPE_OUTPUT_done/x\"'
      outputs: { done: { format: files } }
  use:
    kind: command
    inputs: { done: build }
    params: { argv: [sh, ./tool, \"{outputs.rows}\"], sources: [tool], outputs: { rows: { format: files } } }
";
    let project = TestEnvironment::with(&[("p.yaml", pipeline)]);
    project.ok(&["run", "p.yaml"]);
}

#[test]
fn memory_is_estimated_and_kept_to() {
    let pipeline = "pipeline: p\nstages:\n  rows: { kind: table, params: { path: rows.jsonl } }\n  answers: { kind: \
                    respond, inputs: { instructions: rows }, params: { model: MODEL, max_new_tokens: 4, \
                    filters: { truncated: false } } }\n  adapter: \
                    { kind: train, inputs: { examples: rows }, params: { model: MODEL, budget: { steps: 1 } } }\n";
    let pipeline = pipeline.replace("MODEL", &nano());
    let project = TestEnvironment::with(&[("p.yaml", &pipeline), ("rows.jsonl", &questions(9))]);
    project.ok(&["run", "p.yaml", "--only", "rows"]);
    let plan = project.json(&["plan", "p.yaml", "--format", "json"]);
    let takes = |stage: &str| node(&plan, stage)["memory"].as_u64().unwrap();
    // Weights of 2.2 million values of four bytes, and the program.
    assert!(takes("answers") > 70_000_000 && takes("adapter") > takes("answers"), "{plan}");
    assert_eq!(node(&plan, "rows")["memory"], Value::Null);

    let refused = project.pipe(&["plan", "p.yaml", "--memory", "10MB"]);
    assert!(refused.stdout.contains("`--memory` or pipe.toml allows 10 MB"), "{}", refused.stdout);
    let refused = project.pipe(&["run", "p.yaml", "--memory", "10MB"]);
    assert_ne!(refused.code, Some(0));
    assert!((refused.stdout + &refused.stderr).contains("`--memory` or pipe.toml allows 10 MB"));
    assert!(!project.file("results/p/baseline/answers").exists());

    // Fewer rows in flight make the same answers.
    project.ok(&["run", "p.yaml", "--only", "answers", "--memory", "100MB"]);
    let made = || {
        let shown = project.json(&["show", "answers", "--pipeline", "p", "--format", "json"]);
        (shown["output"]["rows"].clone(), shown["output"]["digest"].clone())
    };
    let tight = made();
    assert_eq!(tight.0, 9);
    project.ok(&["run", "p.yaml", "--only", "answers", "--force"]);
    assert_eq!(made(), tight);
}
