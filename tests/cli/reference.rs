//! What the program says of itself: kinds with examples that run, help, the reference in the repository, man pages.

use std::{collections::BTreeMap, fs, path::Path};

use crate::TestEnvironment;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all kinds.
fn kinds(project: &TestEnvironment) -> Vec<String> {
    let kinds = project.json(&["kinds", "--format", "json"]);
    kinds.as_array().unwrap().iter().map(|kind| kind["name"].as_str().unwrap().to_owned()).collect()
}

/// All files below a folder, by their names in it.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else {
            found.insert(name, fs::read_to_string(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn the_example_of_every_kind_runs_and_uses_the_kind() {
    let project = TestEnvironment::new();
    // An embedding model, which no comment could show.
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/lm/tests/golden/bert");
    fs::create_dir(project.file("encoder")).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(encoder.join(file), project.file("encoder").join(file)).unwrap();
    }
    for kind in kinds(&project) {
        let example = project.ok(&["kinds", &kind, "--example"]).stdout;
        project.ok(&["kinds", &kind, "--write", "."]);
        let file = format!("{kind}.yaml");
        assert_eq!(project.read(&file), example);
        assert!(example.contains(&format!("pipeline: {kind}\n")), "{example}");
        let plan = project.json(&["plan", &format!("{kind}.yaml"), "--format", "json"]);
        let nodes = plan["nodes"].as_array().unwrap();
        assert!(nodes.iter().any(|node| node["kind"] == *kind), "{plan}");
        project.ok(&["run", &format!("{kind}.yaml")]);
        assert_eq!(project.pipe(&["kinds", &kind, "--write", "."]).code, Some(2), "nothing is overwritten");
    }
    let rows = project.json(&["show", "questions", "--pipeline", "table", "--format", "json"]);
    assert_eq!(rows["head"][0]["instruction"], "What is a bond?");
}

#[test]
fn a_kind_is_documented_with_all_that_it_takes_and_gives() {
    let project = TestEnvironment::new();
    let text = project.ok(&["kinds", "respond"]).stdout;
    for part in [
        "respond (version",
        "instructions  table, required",
        "- instruction: text.",
        "- passages: list of {id, text, score}, optional.",
        "responses  table",
        "temperature  number, default 0.0",
        "A template may use:",
        "- output: The answer, where the finished text is wanted",
        "filters  settings",
        "min_words  whole number",
        "- overlap: Those that share most words",
        "example",
        "kind: respond",
    ] {
        assert!(text.contains(part), "`{part}` is missing:\n{text}");
    }
    let text = project.ok(&["kinds", "evaluate"]).stdout;
    assert!(text.contains("Rajpurkar et al. 2016"), "{text}");
    let json = project.json(&["kinds", "respond", "--format", "json"]);
    assert!(json["example"].as_str().unwrap().contains("kind: respond"));
    assert_eq!(json["properties"]["template"]["x-variables"][0]["name"], "instruction");
}

#[test]
fn the_reference_in_the_repository_is_the_current_one() {
    let project = TestEnvironment::new();
    project.ok(&["docs", "reference"]);
    let (current, kept) = (files(&project.file("reference")), files(&repository().join("docs/reference")));
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    let hint = "run `cargo run -- docs docs/reference`";
    assert_eq!(names(&current), names(&kept), "{hint}");
    for (name, text) in &current {
        assert!(kept[name] == *text, "docs/reference/{name} is not what it would be now: {hint}");
    }
    for kind in kinds(&project) {
        assert!(current["README.md"].contains(&format!("(kinds/{kind}.md)")), "{kind}");
    }
}

#[test]
fn every_command_explains_itself_in_eighty_columns_with_an_example() {
    let project = TestEnvironment::new();
    project.ok(&["docs", "reference"]);
    let text = project.read("reference/commands.md");
    let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    let commands: Vec<&str> = text.split("\n## ").skip(1).collect();
    assert!(commands.len() > 10, "{text}");
    for command in commands {
        assert!(command.contains("Examples:\n  pipe ") || command.contains("Examples:\n  echo "), "{command}");
    }
}

#[test]
fn man_pages_are_written_for_every_command() {
    let project = TestEnvironment::new();
    project.ok(&["docs", "--man", "man"]);
    let pages = files(&project.file("man"));
    for name in ["pipe.1", "pipe-run.1", "pipe-show.1", "pipe-kinds.1"] {
        let page = pages.get(name).unwrap_or_else(|| panic!("{name} of {:?}", pages.keys()));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(pages["pipe-run.1"].contains("pipe\\-run \\- Run what is not done yet"), "{}", pages["pipe-run.1"]);
    assert_eq!(project.pipe(&["docs"]).code, Some(2));
}
