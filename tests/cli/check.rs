//! `check`: what does not fit is said row by row.

use crate::{TestEnvironment, environment::Outcome};

const PIPELINE: &str = "pipeline: p
stages:
  pool: { kind: table, params: { path: data/seeds.jsonl } }
  corpus: { kind: table, params: { path: 'data/documents/**', format: text, rows: file } }
  items: { kind: table, params: { path: data/exam.csv } }
  seeds: { kind: seed_subset, inputs: { pool: pool }, params: { count: 3 } }
  instructions: { kind: generate, inputs: { seeds: seeds }, params: { model: builtin:nano, count: 4 } }
  passages: { kind: retrieve, inputs: { queries: instructions, corpus: corpus } }
  responses: { kind: respond, inputs: { instructions: passages, seeds: seeds }, params: { model: builtin:nano } }
  scores: { kind: evaluate, inputs: { items: items }, params: { model: builtin:nano } }
";

const SEEDS: &str = r#"{"id": 1, "instruction": "What is the rate of the bond in May?", "output": "Three percent."}
{"id": 2, "instruction": "Who signs the report?", "output": "The treasurer."}
{"id": 3, "instruction": "When is the report due?", "output": "In June."}
"#;
const EXAM: &str =
    "id,instruction,output\na,How long does a loan run?,Ten years.\nb,Where is the register kept?,In town.\n";

fn project(seeds: &str, exam: &str) -> TestEnvironment {
    TestEnvironment::with(&[
        ("p.yaml", PIPELINE),
        ("data/seeds.jsonl", seeds),
        ("data/exam.csv", exam),
        ("data/documents/a.txt", "A loan is paid back over ten years, in equal parts.\n"),
        ("data/documents/b/c.md", "The register of the town is kept in the hall beside the mill.\n"),
    ])
}

fn check(seeds: &str, exam: &str) -> Outcome {
    project(seeds, exam).pipe(&["check", "p.yaml"])
}

#[test]
fn sound_data_is_sound() {
    let outcome = check(SEEDS, EXAM);
    assert_eq!(outcome.code, Some(0), "{}{}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("7 rows: nothing is wrong"), "{}", outcome.stdout);
}

/// The data is wrong: each of these is said.
#[track_caller]
fn wrong(seeds: &str, exam: &str, code: i32, wanted: &[&str]) {
    let outcome = check(seeds, exam);
    assert_eq!(outcome.code, Some(code), "{}{}", outcome.stdout, outcome.stderr);
    for wanted in wanted {
        assert!(outcome.stdout.contains(wanted), "{wanted}\n{}", outcome.stdout);
    }
}

#[test]
fn an_exam_that_was_seen_is_told_with_both_places() {
    let exam = format!(
        "{EXAM}c,who signs the REPORT,The treasurer.\nd,What is the yearly rate of the bond in May?,Three.\ne,What is \
         the rate of the bond in June?,Four.\n"
    );
    let near = "data/exam.csv:5: What is the yearly rate of the bond in May?";
    wrong(
        SEEDS,
        &exam,
        1,
        &[
            "error: 1 question of the exam `items` among the seeds `pool`",
            "data/exam.csv:4: who signs the REPORT",
            "like data/seeds.jsonl:2: Who signs the report?",
            "warning: 1 question of the exam `items` nearly among the seeds `pool`",
            near,
            "like data/seeds.jsonl:1 (0.89 alike)",
            "1 error, 1 warning",
        ],
    );
    let exam = format!("{EXAM}c,The register of the town is kept in the hall,Yes.\n");
    let inside = "warning: 1 question of the exam `items` inside the documents `corpus`";
    wrong(SEEDS, &exam, 0, &[inside, "like data/documents/b/c.md: The register of the town"]);
}

#[test]
fn rows_that_lack_something_are_told_by_their_line() {
    let exam = format!("{EXAM}c,,x\nd,Which is it?,\na,Is it double?,Yes.\n,Has it an id?,No.\n");
    wrong(
        SEEDS,
        &exam,
        1,
        &[
            "without a question",
            "data/exam.csv:4: x",
            "without an answer to compare with",
            "data/exam.csv:5: Which is it?",
            "with the `id` of an earlier one",
            "data/exam.csv:6: a: Is it double?",
            "like data/exam.csv:2",
            "without an `id`",
            "data/exam.csv:7: Has it an id?",
        ],
    );
    let seeds = format!("{SEEDS}{{\"id\": 4, \"instruction\": \"Why?\", \"output\": null}}\n");
    wrong(&seeds, EXAM, 0, &["warning: 1 row of the seeds `pool` without `output`", "data/seeds.jsonl:4: Why?"]);
    let seeds = format!("{SEEDS}{{\"id\": 4, \"instruction\": \"who signs the report\", \"output\": \"x\"}}\n");
    wrong(&seeds, EXAM, 0, &["with the question of an earlier one", "data/seeds.jsonl:4", "like data/seeds.jsonl:2"]);
}

#[test]
fn columns_of_other_names_and_types_are_told_with_the_remedy() {
    let exam = "id,Question,output\na,How long does a loan run?,Ten years.\n";
    wrong(
        SEEDS,
        exam,
        1,
        &["`items` has no column `instruction`", "the stage `scores`", "`rename: { Question: instruction }`"],
    );
    let exam = "id,instruktion,output\na,How long does a loan run?,10\n";
    wrong(SEEDS, exam, 1, &["`rename: { instruktion: instruction }`", "holds Int64", "`schema: { output: string }`"]);
    wrong("{\"instruction\": \"x\", \"output\": \"y\"}\n", EXAM, 1, &["draws 3 rows from `pool`, which has 1"]);
    wrong("{\"instruction\": \n", EXAM, 1, &["error: ", "data/seeds.jsonl"]);
}

#[test]
fn many_are_counted_and_all_are_listed_on_request() {
    let many: Vec<String> = (0..40).map(|i| format!("x{i},Is this number {i}?,\n")).collect();
    let many = many.concat();
    let project = project(SEEDS, &format!("{EXAM}{many}"));
    let some = project.pipe(&["check", "p.yaml"]);
    assert!(some.stdout.contains("40 rows of the exam") && some.stdout.contains("more; --all"), "{}", some.stdout);
    assert!(some.stdout.lines().count() < 24, "{}", some.stdout);
    let all = project.pipe(&["check", "p.yaml", "--all"]);
    assert!(all.stdout.contains("data/exam.csv:43: Is this number 39?"), "{}", all.stdout);
    let json = project.pipe(&["check", "p.yaml", "--format", "json"]);
    assert_eq!(json.code, Some(1));
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let finding = json["findings"].as_array().unwrap().iter().find(|f| f["code"] == "exam::no_answer").unwrap();
    assert_eq!(finding["rows"].as_array().unwrap().len(), 40);
    assert_eq!(finding["rows"][0]["line"], 4);
    assert_eq!(json["tables"][0]["roles"], serde_json::json!(["seeds"]));
}

#[test]
fn what_is_made_by_a_run_is_said_to_be_unlooked() {
    let project = TestEnvironment::new();
    let outcome = project.ok(&["check", "builtin:quickstart.yaml"]);
    assert!(outcome.stdout.contains("exam: made by the stage `world`, and not looked at"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("what stages make was not looked at"), "{}", outcome.stdout);
    let none = project.pipe(&["check"]);
    assert!(none.code == Some(2) && none.stderr.contains("there is no pipeline.yaml here"), "{}", none.stderr);
}

#[test]
fn programs_and_servers_that_a_run_would_start_are_named() {
    let yaml = "pipeline: p
vars: { n: 1 }
ablate: { n: [2] }
stages:
  pool: { kind: table, params: { path: data/seeds.jsonl } }
  counted:
    kind: command
    inputs: { rows: pool }
    params: { shell: 'wc -l \"$PIPE_INPUT_ROWS\" > \"$PIPE_OUTPUT_O\"', outputs: { o: { format: files } } }
  marked:
    kind: command
    inputs: { rows: pool }
    params: { rows: each, argv: [python3, mark.py, '${n}'], outputs: { o: { format: jsonl } } }
  answers:
    kind: evaluate
    inputs: { items: pool }
    params: { model: { serve: llama_cpp, model: m.gguf, args: [--ctx-size, '512'] } }
  trained:
    kind: train
    inputs: { examples: pool }
    params: { model: builtin:nano, engine: { program: [python3, trainer.py] } }
";
    let project = TestEnvironment::with(&[("p.yaml", yaml), ("data/seeds.jsonl", SEEDS)]);
    let outcome = project.pipe(&["check", "p.yaml"]);
    for line in [
        "starts (counted, `shell`): sh: wc -l",
        "starts (marked, `argv`): python3 mark.py 1",
        "starts (marked, `argv`): python3 mark.py 2",
        "starts (answers, `model`): the server llama-server with m.gguf (--ctx-size 512)",
        "starts (trained, `engine`): python3 trainer.py",
    ] {
        assert_eq!(outcome.stdout.matches(line).count(), 1, "{line}\n{}{}", outcome.stdout, outcome.stderr);
    }
    let told = project.pipe(&["check", "p.yaml", "--format", "json"]);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["started"].as_array().unwrap().len(), 5);
}
