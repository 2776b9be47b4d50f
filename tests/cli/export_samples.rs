//! `pipe export-samples`: files as lm-evaluation-harness writes them, and back.

use std::fs;

use serde_json::{Value, json};

use crate::{TestEnvironment, tools};

fn project() -> TestEnvironment {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        "pipeline: p
vars: { shots: 0 }
ablate: { shots: [1] }
stages:
  world: { kind: embedded_world, params: { seeds: 8, exam_items: 6 } }
  exam:
    kind: evaluate
    inputs: { items: world.exam, seeds: world.seeds }
    params: { model: 'builtin:nano', num_fewshot: '${shots}', max_new_tokens: 8, metrics: [token_f1, exact_match] }
",
    )]);
    project.ok(&["run", "p.yaml"]);
    project
}

/// The files of a folder that begin so, by name.
fn files(project: &TestEnvironment, folder: &str, start: &str) -> Vec<String> {
    let names = fs::read_dir(project.file(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| name.starts_with(start));
    names.sort();
    names
}

#[test]
fn an_exam_is_written_as_the_harness_writes_it() {
    let project = project();
    let told = project.ok(&["export-samples", "--to", "out"]);
    assert!(told.stderr.contains("out/p__exam@shots=1: 6 samples"), "{}", told.stderr);
    let results = files(&project, "out/p__exam@baseline", "results_");
    assert_eq!(results.len(), 1);
    let results: Value = serde_json::from_str(&project.read(&format!("out/p__exam@baseline/{}", results[0]))).unwrap();
    let tasks = results["group_subtasks"]["exam"].as_array().unwrap();
    let samples = files(&project, "out/p__exam@baseline", "samples_");
    assert_eq!(samples.len(), tasks.len());
    let (mut rows, mut sum) = (0, 0.0);
    for file in &samples {
        for line in project.read(&format!("out/p__exam@baseline/{file}")).lines() {
            let sample: Value = serde_json::from_str(line).unwrap();
            assert_eq!(sample["metrics"], json!(["token_f1", "exact_match"]));
            assert_eq!(sample["filtered_resps"][0], sample["resps"][0][0]);
            assert_eq!(sample["arguments"]["gen_args_0"]["arg_1"]["max_gen_toks"], 8);
            assert_eq!(sample["doc_hash"].as_str().map(str::len), Some(64));
            sum += sample["token_f1"].as_f64().unwrap();
            rows += 1;
        }
    }
    assert_eq!(rows, 6);
    let mean = results["results"]["exam"]["token_f1,none"].as_f64().unwrap();
    assert!((mean - sum / 6.0).abs() < 1e-9, "{mean} {sum}");
    assert_eq!(results["n-samples"][tasks[0].as_str().unwrap()]["original"], 1);
    assert_eq!(results["config"]["model_args"]["pretrained"], "p/exam@baseline");
    // The same again is the same files.
    project.ok(&["export-samples", "exam@shots=1", "--to", "out", "--pipeline", "p"]);
    assert_eq!(files(&project, "out/p__exam@shots=1", "").len(), samples.len() + 1);
    let outcome = project.pipe(&["export-samples", "exam@shots=2", "--to", "out"]);
    assert!(outcome.code == Some(6) && outcome.stderr.contains("no result `exam@shots=2` of an exam"));
}

#[test]
fn what_was_written_is_read_back_and_compared() {
    let project = project();
    project.ok(&["export-samples", "--to", "out"]);
    project.write(
        "back.yaml",
        "pipeline: back
vars: { shots: baseline }
ablate: { shots: ['shots=1'] }
stages:
  read: { kind: table, params: { path: 'out/p__exam@${shots}/samples_*.jsonl', shape: lm_eval } }
  again: { kind: evaluate, inputs: { items: read }, params: { predictions: prediction, metrics: [token_f1] } }
  effects: { kind: compare, inputs: { scores: 'read[*]' } }
",
    );
    project.ok(&["run", "back.yaml"]);
    for (there, here) in [("baseline", "baseline"), ("shots=1", "shots=shots-1")] {
        let shown = |stage: &str| {
            let shown = project.json(&["show", stage, "--format", "json", "-n", "1"]);
            shown["head"][0]["token_f1"].as_f64().unwrap()
        };
        let (of_model, read_back) = (shown(&format!("exam.scores@{there}")), shown(&format!("again.scores@{here}")));
        assert!((of_model - read_back).abs() < 1e-9, "{there}: {of_model} {read_back}");
    }
    let effects = project.json(&["show", "effects", "--format", "json", "-n", "99"]);
    let of = |metric: &str| effects["head"].as_array().unwrap().iter().any(|row| row["metric"] == metric);
    assert!(of("token_f1") && of("exact_match"), "{effects}");
}

const READ: &str = "
import duckdb, json, sys
rows = duckdb.sql(f\"SELECT filter, count(*), avg(token_f1) FROM read_json_auto('{sys.argv[1]}/samples_*.jsonl') \
GROUP BY ALL\").fetchall()
print(json.dumps(rows))
";

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn duckdb_reads_samples() {
    let project = project();
    project.ok(&["export-samples", "exam@baseline", "--to", "out"]);
    let read = tools::python().args(["-c", READ]).arg(project.file("out/p__exam@baseline")).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let rows: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!((&rows[0][0], &rows[0][1]), (&json!("none"), &json!(6)));
}
