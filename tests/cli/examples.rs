//! The pipelines that ship with the project: they run, and editors can complete them.

use std::{fs, path::Path};

use crate::TestEnvironment;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The examples, copied to a folder of their own.
fn examples() -> TestEnvironment {
    let project = TestEnvironment::new();
    for folder in ["", "data", "scripts"] {
        let from = repository().join("pipelines/examples").join(folder);
        fs::create_dir_all(project.file(folder)).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            fs::copy(entry.path(), project.file(folder).join(entry.file_name())).unwrap();
        }
    }
    project
}

#[test]
fn the_python_example_runs() {
    let project = examples();
    let run = project.ok(&["run", "python.yaml"]);
    let rows = project.json(&["show", "lengths@n_seeds=16", "--format", "json"]);
    let answers: i64 = rows["head"].as_array().unwrap().iter().map(|row| row["answers"].as_i64().unwrap()).sum();
    assert!(answers > 8, "{rows}");
    assert_eq!(rows["output"]["columns"][2]["name"], "mean_words");
    assert!(project.ok(&["logs", "lengths@n_seeds=16"]).stdout.contains("counted 16 answers"));
    assert!(project.ok(&["show", "lengths.report@baseline"]).stdout.contains("report.txt"));
    assert!(run.stdout.contains("novelty  "), "{}", run.stdout);
}

#[test]
fn the_shell_example_runs() {
    let project = examples();
    project.ok(&["run", "shell.yaml"]);
    let top =
        |variant: &str| project.json(&["show", &format!("top_words@{variant}"), "--format", "json"])["head"][0].clone();
    assert_eq!(top("baseline"), serde_json::json!({ "word": "the", "count": 16 }));
    assert_eq!(top("min_letters=4")["word"], "river");
}

#[test]
fn the_starter_pipeline_runs_at_once() {
    let project = TestEnvironment::new();
    project.ok(&["init"]);
    project.ok(&["run", "starter.yaml"]);
    let counts = project.json(&["show", "summary", "--format", "json"]);
    assert_eq!(counts["output"]["rows"], 5, "one row per variant: {counts}");
    assert_eq!(project.pipe(&["init"]).code, Some(2), "nothing is overwritten");
}

#[test]
fn the_schema_in_the_repository_is_the_current_one() {
    let current = TestEnvironment::new().ok(&["schema"]).stdout;
    let path = repository().join("pipelines/pipeline.schema.json");
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == current, "run `cargo run -- schema > pipelines/pipeline.schema.json`");
}
