//! What shells propose: the program is asked as they ask it.

use std::{fs, time::Instant};

use crate::TestEnvironment;

const PIPELINE: &str = "pipeline: study
vars: { n: 1, quality: expert }
ablate: { n: [2], quality: [noisy] }
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  rest: { kind: table, params: { path: rows.jsonl, limit: 1 } }
  drawn: { kind: seed_subset, inputs: { pool: rows }, params: { count: \"${n}\", quality: \"${quality}\" } }
";

fn project() -> TestEnvironment {
    let rows = "{\"id\": 1, \"output\": \"a\"}\n{\"id\": 2, \"output\": \"b\"}\n";
    TestEnvironment::with(&[
        ("study.yaml", PIPELINE),
        ("rows.jsonl", rows),
        ("notes.txt", "x"),
        ("more/other.yml", "x"),
    ])
}

/// What bash is told when the last of these words is being typed.
fn proposed(project: &TestEnvironment, words: &[&str]) -> Vec<String> {
    let mut command = project.command(&["--", "pipe"]);
    command.args(words).env("COMPLETE", "bash").env("_CLAP_IFS", "\n");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_COMPLETE_COMP_TYPE", "9");
    let outcome = project.outcome(command.output().unwrap());
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""), "{words:?}");
    // Options are proposed wherever they may stand.
    let typed = words.last().is_some_and(|word| word.starts_with('-'));
    outcome.stdout.lines().filter(|word| typed || !word.starts_with('-')).map(str::to_owned).collect()
}

#[test]
fn shells_are_told_of_pipelines_stages_variants_and_kinds() {
    let project = project();
    let check = |words: &[&str], expect: &[&str]| assert_eq!(proposed(&project, words), expect, "{words:?}");
    check(&["run", ""], &["study.yaml", "more/"]);
    check(&["run", "more/"], &["more/other.yml"]);
    check(&["run", "study.yaml", "--only", ""], &["rows", "rest", "drawn"]);
    check(&["run", "study.yaml", "--only", "r"], &["rows", "rest"]);
    check(&["run", "study.yaml", "--until", "rows,d"], &["rows,drawn"]);
    check(&["run", "study.yaml", "--from", "drawn@"], &["drawn@baseline", "drawn@n=2", "drawn@quality=noisy"]);
    check(&["run", "study.yaml", "--force=r"], &["--force=rows", "--force=rest"]);
    check(&["plan", "study.yaml", "--variant", "n"], &["n=2"]);
    check(&["run", "study.yaml", "--set", ""], &["n=", "quality="]);
    check(&["why", "study.yaml", "dr"], &["drawn"]);
    check(&["kinds", "embedded"], &["embedded_world", "embedded_texts"]);
    assert!(proposed(&project, &["ver"]).contains(&"verify".to_owned()));
}

#[test]
fn shells_are_told_of_what_is_in_the_store() {
    let project = project();
    let check = |words: &[&str], expect: &[&str]| assert_eq!(proposed(&project, words), expect, "{words:?}");
    check(&["show", ""], &[]);
    project.ok(&["run", "study.yaml"]);
    check(&["show", ""], &["drawn", "rest", "rows"]);
    check(&["show", "drawn@"], &["drawn@baseline", "drawn@n=2", "drawn@quality=noisy"]);
    check(&["show", "drawn.rows@n"], &["drawn.rows@n=2"]);
    check(&["ls", ""], &["study"]);
    check(&["show", "rows", "--pipeline", "s"], &["study"]);
    check(&["diff", "baseline", ""], &["baseline", "n=2", "quality=noisy", "last"]);
    check(&["logs", "--run", "la"], &["last"]);
    check(&["logs", "re"], &["rest"]);
}

#[test]
fn shells_are_told_of_built_in_stages_and_of_the_only_store_below() {
    let project = TestEnvironment::new();
    fs::create_dir(project.file("inside")).unwrap();
    project.write("inside/own.yaml", "pipeline: own\ninclude: builtin:embedded.yaml\nstages: {}\n");
    assert!(proposed(&project, &["run", "inside/own.yaml", "--only", "w"]).contains(&"world".to_owned()));
    assert!(proposed(&project, &["check", "inside/own.yaml", "--set", "n_sy"]).contains(&"n_synthetic=".to_owned()));
    assert_eq!(proposed(&project, &["show", ""]), [""; 0]);
    project.ok(&["run", "inside/own.yaml", "--only", "world"]);
    assert_eq!(proposed(&project, &["show", ""]), ["world"]);
}

#[test]
fn what_is_wrong_is_not_said_while_somebody_types() {
    let project = project();
    let broken = "pipeline: p\nstages: { a: { kind: nothing } }\n";
    project.write("broken.yaml", broken);
    project.write("worse.yaml", "]");
    assert_eq!(proposed(&project, &["run", "broken.yaml", "--only", ""]), [""; 0]);
    assert_eq!(proposed(&project, &["run", "worse.yaml", "--only", ""]), [""; 0]);
    assert_eq!(proposed(&project, &["run", "missing.yaml", "--only", ""]), [""; 0]);
    fs::create_dir(project.file(".pipe")).unwrap();
    project.write(".pipe/mine", "not a store");
    assert_eq!(proposed(&project, &["show", ""]), [""; 0]);
    // Nothing was made on the way, and nothing takes long.
    assert_eq!(fs::read_dir(project.file(".pipe")).unwrap().count(), 1);
    let start = Instant::now();
    proposed(&project, &["run", "study.yaml", "--only", ""]);
    assert!(start.elapsed().as_millis() < 2_000, "{:?}", start.elapsed());
}

#[test]
fn scripts_ask_the_program() {
    let project = TestEnvironment::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = project.ok(&["completions", shell]).stdout;
        assert!(script.contains("pipe") && script.contains("COMPLETE"), "{script}");
    }
}
