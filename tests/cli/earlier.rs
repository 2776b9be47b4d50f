//! Stores of earlier versions are read: what they hold is reused, shown and found sound.

use std::{fs, path::Path};

use crate::environment::TestEnvironment;

/// Stages of kinds whose output has changed since (with a new VERSION; CHANGELOG.md says how): they are computed
/// again, out of what was kept row by row.
const CHANGED: &[&str] = &[
    "pool",         // table 2
    "items",        // table 2
    "words",        // command 2
    "read",         // command 2
    "seeds",        // seed_subset 3
    "instructions", // generate 4
    "answers",      // respond 5
    "scores",       // evaluate 5
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What runs the pipeline.
const RUN: &[&str] = &["run", "p.yaml", "--format", "json"];

/// A project with the pipeline, and the store that version made of it.
fn project(version: &str) -> TestEnvironment {
    let project = TestEnvironment::new();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    copy(&repository.join("tests/cli/stores").join(version), project.path());
    fs::rename(project.file("store"), project.file(".pipe")).unwrap();
    let model = repository.join("pipelines/models/nano");
    project.write("p.yaml", &project.read("p.yaml").replace("models/nano", &model.display().to_string()));
    project
}

#[test]
fn a_store_of_version_0_1_0_is_reused_shown_and_sound() {
    let project = project("0.1.0");
    assert!(project.ok(&["verify"]).stdout.contains("all sound"));
    let shown = project.ok(&["show", "words.parts"]).stdout;
    assert!(shown.contains("sub/seeds.jsonl"), "{shown}");
    assert!(project.ok(&["show", "answers@n=6"]).stdout.contains("instruction"));
    let listed = project.json(&["ls", "--format", "json"]);
    assert!(listed.as_array().unwrap().iter().all(|row| row["present"] == true), "{listed:#}");

    for round in 0..2 {
        let events = project.ok(RUN).stdout;
        let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
        let changed = |stage: &str| CHANGED.contains(&stage);
        for event in of("finished") {
            let label = event["node"]["label"].as_str().unwrap();
            assert!(round == 0 && changed(label.split('@').next().unwrap()), "{label} was computed again");
            assert_eq!(event["stats"]["rows_computed"].as_u64(), None, "{label}: {event:#}");
        }
        assert_eq!(of("finished").count() + of("hit").count(), 10, "round {round}");
    }
    assert!(project.ok(&["verify"]).stdout.contains("all sound"));
}

#[test]
fn memos_of_version_0_1_0_go_on() {
    let project = project("0.1.0");
    // Nothing is left but what was kept row by row.
    for gone in ["manifests", "objects", "index"] {
        let gone = project.file(".pipe/v1").join(gone);
        if gone.is_dir() { fs::remove_dir_all(gone).unwrap() } else { fs::remove_file(gone).unwrap() }
    }
    let mut seen = 0;
    for line in project.ok(RUN).stdout.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let label = event["node"]["label"].as_str().unwrap_or_default().to_owned();
        let row_wise = ["instructions", "answers", "scores"].contains(&label.split('@').next().unwrap());
        if event["event"] == "finished" && row_wise {
            seen += 1;
            assert_eq!(event["stats"]["rows_computed"].as_u64(), None, "{label}: {event:#}");
        }
    }
    assert_eq!(seen, 5);
    assert!(project.ok(&["verify"]).stdout.contains("all sound"));
}
