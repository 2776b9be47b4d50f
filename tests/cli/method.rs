//! The method on the embedded model, small: what reruns after which edit, what a kill costs, and that nothing depends
//! on batches or threads.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use serde_json::Value;

use crate::TestEnvironment;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const STAGES: [&str; 3] = ["instructions", "responses", "adapter"];

/// A pipeline of its own that includes the shipped method, small; `vars` are added to the variables, or replace them.
fn pipeline(vars: &[(&str, &str)]) -> String {
    let small = [
        ("n_seeds", "20"),
        ("n_synthetic", "24"),
        ("budget", "{ steps: 8 }"),
        ("batch_size", "4"),
        ("checkpoint_steps", "2"),
    ];
    let all: BTreeMap<&str, &str> = small.into_iter().chain(vars.iter().copied()).collect();
    let vars: String = all.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect::<Vec<_>>().concat();
    format!(
        "pipeline: p
include: {ROOT}/pipelines/embedded.yaml
vars:
{vars}stages:
  world: {{ override: true, kind: embedded_world, params: {{ draw: \"${{draw}}\", exam_items: 33 }} }}
"
    )
}

fn project(vars: &[(&str, &str)]) -> TestEnvironment {
    TestEnvironment::with(&[("p.yaml", &pipeline(vars))])
}

/// The events of a run to its end.
fn events(project: &TestEnvironment) -> Vec<Value> {
    let lines = project.ok(&["run", "p.yaml", "--format", "json"]).stdout;
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What a finished stage says of itself.
fn stats<'a>(events: &'a [Value], stage: &str) -> &'a Value {
    let finished = |e: &&Value| e["event"] == "finished" && e["node"]["label"] == stage;
    &events.iter().find(finished).unwrap_or_else(|| panic!("{stage} did not run"))["stats"]
}

fn why(project: &TestEnvironment, stage: &str) -> String {
    project.ok(&["why", "p.yaml", stage]).stdout
}

/// The bytes of a result: a table, or all files of a directory.
fn bytes(project: &TestEnvironment, stage: &str) -> Vec<Vec<u8>> {
    let folder = project.file("results/p/baseline");
    let table = folder.join(format!("{stage}.parquet"));
    if table.exists() {
        return vec![std::fs::read(table).unwrap()];
    }
    let mut files: Vec<_> = std::fs::read_dir(folder.join(stage)).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn edits_rerun_what_they_must() {
    let project = project(&[("lora", "{ r: 4, alpha: 8 }")]);
    assert_eq!(project.ran(&[]).len(), 8);
    let nothing: [&str; 0] = [];
    assert_eq!(project.ran(&[]), nothing);

    project.write("p.yaml", &format!("# a comment\n{}", pipeline(&[("lora", "{ alpha: 8, r: 4 }")])));
    assert_eq!(project.ran(&[]), nothing, "a comment, and another order of keys");

    let parts = [("lora", "{ r: 4, alpha: 8 }"), ("micro_batch_size", "2"), ("gradient_accumulation_steps", "2")];
    project.write("p.yaml", &pipeline(&parts));
    let reason = why(&project, "adapter");
    assert!(reason.contains("micro_batch_size 4 -> 2"), "{reason}");
    assert!(reason.contains("gradient_accumulation_steps 1 -> 2"), "{reason}");

    project.write("p.yaml", &pipeline(&[("lora", "{ r: 8, alpha: 8 }")]));
    let reason = why(&project, "adapter");
    assert!(reason.contains("lora.r 4 -> 8"), "{reason}");
    assert_eq!(project.ran(&[]), ["adapter", "scores"]);

    let template = format!("{ROOT}/stages/src/prompts/plain/respond.jinja");
    let text = std::fs::read_to_string(template).unwrap();
    project.write("respond.jinja", &text);
    project.write("p.yaml", &pipeline(&[("lora", "{ r: 8, alpha: 8 }"), ("response_template", "respond.jinja")]));
    assert_eq!(project.ran(&[]), ["responses"], "a file with the text of the built-in template: the same answers");
    project.write("respond.jinja", &text.replace("Passage:", "Text:"));
    let reason = why(&project, "responses");
    assert!(reason.contains("template"), "{reason}");
    assert_eq!(project.ran(&[]), ["adapter", "responses", "scores"]);
}

#[test]
fn a_larger_count_adds_what_is_missing() {
    let project = project(&[("n_synthetic", "20"), ("slots", "2")]);
    events(&project);
    let rows = |project: &TestEnvironment, stage: &str| {
        project.json(&["show", stage, "--head", "40", "--format", "json"])["head"].as_array().unwrap().clone()
    };
    let (instructions, responses) = (rows(&project, "instructions"), rows(&project, "responses"));
    project.write("p.yaml", &pipeline(&[("n_synthetic", "26"), ("slots", "2")]));
    let reason = why(&project, "instructions");
    assert!(reason.contains("count 20 -> 26"), "{reason}");
    let second = events(&project);
    let computed = |events: &[Value], stage: &str| stats(events, stage)["rows_computed"].as_u64().unwrap_or(0);
    let reused = |stage: &str| stats(&second, stage)["rows_reused"].as_u64().unwrap_or(0);
    // How far the model works ahead depends on timing; what it did is not done again.
    assert!(reused("instructions") >= 20, "{second:?}");
    assert_eq!((reused("responses"), computed(&second, "responses")), (20, 6));
    assert_eq!(rows(&project, "instructions")[..20], instructions[..]);
    assert_eq!(rows(&project, "responses")[..responses.len()], responses[..]);

    // Nothing that was generated, and no seed, asks what the exam asks.
    let asked = |stage: &str| -> BTreeSet<String> {
        let row = |row: &Value| row["instruction"].as_str().unwrap().to_lowercase();
        let table = project.json(&["show", stage, "--head", "1000", "--format", "json"]);
        table["head"].as_array().unwrap().iter().map(row).collect()
    };
    let exam = asked("world.exam");
    assert_eq!(exam.len(), 33);
    assert!(asked("instructions").is_disjoint(&exam) && asked("seeds").is_disjoint(&exam));
}

#[test]
fn batches_and_threads_change_no_byte() {
    let (one, other) = (project(&[]), project(&[("slots", "5")]));
    one.ok(&["run", "p.yaml"]);
    let done = other.command(&["run", "p.yaml", "--jobs", "1"]).env("RAYON_NUM_THREADS", "1").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for stage in ["instructions", "passages", "responses", "adapter", "scores", "base_scores"] {
        assert_eq!(bytes(&one, stage), bytes(&other, stage), "{stage}");
    }
}

/// What a stage said it had done, first and last.
struct Killed {
    first: u64,
    last: u64,
}

/// Kills the run once `stage` has started or reported progress `moments` times, and has done as much as `enough`;
/// `None` if it did not live that long.
fn kill_in(project: &TestEnvironment, stage: &str, moments: usize, enough: u64) -> Option<Killed> {
    let mut child = (project.command(&["run", "p.yaml", "--format", "json"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen = 0;
    let mut done = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let of_stage = event["node"]["label"] == stage;
        if of_stage && event["event"] == "finished" {
            // Ended too, so that the stages behind it are left for the kills to come.
            child.kill().unwrap();
            break;
        }
        seen += usize::from(of_stage && (event["event"] == "started" || event["event"] == "progress"));
        done.extend(event["done"].as_u64().filter(|_| of_stage));
        if seen >= moments && done.last().unwrap_or(&0) >= &enough {
            child.kill().unwrap();
            child.wait().unwrap();
            return Some(Killed { first: *done.first().unwrap_or(&0), last: *done.last().unwrap_or(&0) });
        }
    }
    child.wait().unwrap();
    None
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let vars = &[("slots", "2"), ("n_synthetic", "40"), ("budget", "{ steps: 30 }")];
    let whole = project(vars);
    whole.ok(&["run", "p.yaml"]);
    let killed = project(vars);
    let mut kills = 0;
    for stage in STAGES {
        let mut before = 0;
        for moments in [1, 2, 3, 4, 5] {
            let Some(life) = kill_in(&killed, stage, moments, 0) else { continue };
            kills += 1;
            if stage == "adapter" && life.last > 0 {
                // A checkpoint every two steps: of what was done, one step is done again, or two.
                assert!(life.first + 1 >= before, "step {before} was done, and training went on with {}", life.first);
                before = life.last;
            }
        }
    }
    assert!(kills >= STAGES.len(), "the run was too quick to be killed in every stage");
    killed.ok(&["run", "p.yaml"]);
    for stage in STAGES.into_iter().chain(["scores"]) {
        assert_eq!(bytes(&whole, stage), bytes(&killed, stage), "{stage}");
    }
    killed.ok(&["verify"]);
}

#[test]
fn a_kill_loses_no_more_than_a_batch_of_rows() {
    let project = project(&[("slots", "1"), ("n_synthetic", "300")]);
    for stage in ["instructions", "responses"] {
        let done = kill_in(&project, stage, 1, 150).expect("300 rows take longer than 150").last;
        let again = events(&project);
        let reused = stats(&again, stage)["rows_reused"].as_u64().unwrap();
        // Rows are handed over 64 at a time, or twice a second, and written down ten times a second.
        assert!(reused + 64 >= done, "{stage}: {done} rows were done, and {reused} kept");
        project.write("p.yaml", &pipeline(&[("slots", "1"), ("n_synthetic", "300"), ("response_tokens", "40")]));
    }
}

#[test]
fn every_way_of_retrieval_can_be_set() {
    let project = TestEnvironment::new();
    for method in ["none", "dense", "hybrid"] {
        let study = format!("{ROOT}/pipelines/baselines.yaml");
        let store = project.file("store");
        project.ok(&["--store", store.to_str().unwrap(), "plan", &study, "--set", &format!("retrieval={method}")]);
    }
}

#[test]
fn every_shipped_pipeline_makes_sense() {
    let project = TestEnvironment::new();
    let store = project.file("store");
    let mut seen = 0;
    for file in std::fs::read_dir(Path::new(ROOT).join("pipelines")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        // `method` and `embedded` are only included.
        if path.extension().is_none_or(|e| e != "yaml") || ["method.yaml", "embedded.yaml"].contains(&name.as_str()) {
            continue;
        }
        let plan = |more: &[&str]| {
            project.pipe(&[&["--store", store.to_str().unwrap(), "plan", path.to_str().unwrap()], more].concat())
        };
        let row = "{\"id\": \"s\", \"instruction\": \"a\", \"output\": \"b\"}\n";
        // These take files that the user brings; without them they say which stages cannot run.
        let brought = match name.as_str() {
            "medquad.yaml" => Some([
                ("corpus_path", "corpus.jsonl", "{\"focus\": \"a\", \"answer\": \"b\"}\n"),
                ("seeds_path", "seeds.jsonl", row),
                ("items_path", "items.json", "{\"1\": {\"QUESTION\": \"a\", \"LONG_ANSWER\": \"b\"}}\n"),
            ]),
            "real_model.yaml" => Some([
                ("corpus_path", "texts.jsonl", "{\"id\": \"d\", \"title\": \"a\", \"text\": \"b\"}\n"),
                ("seeds_path", "seeds.jsonl", row),
                ("items_path", "items.jsonl", row),
            ]),
            _ => None,
        };
        let done = if let Some(brought) = brought {
            let model = format!("model={ROOT}/pipelines/models/nano");
            // A small one in place of that of the hub.
            let embedder = format!("embedder={ROOT}/stages/lm/tests/golden/bert");
            let without = if name == "real_model.yaml" {
                plan(&["--set", &model, "--set", &embedder])
            } else {
                plan(&["--set", &model])
            };
            assert_eq!(without.code, Some(1));
            assert!(without.stdout.contains("`path` names a file that does not exist"), "{}", without.stdout);
            let brought = brought.map(|(variable, file, text)| {
                project.write(file, text);
                format!("{variable}={}", project.file(file).display())
            });
            let set: Vec<&str> = brought.iter().flat_map(|set| ["--set", set.as_str()]).collect();
            // The embedded model's context is shorter than what the file is written for, and `plan` would say so.
            let short: &[&str] =
                if name == "medquad.yaml" { &["--set", "max_seq_len=512"] } else { &["--set", embedder.as_str()] };
            plan(&[&["--set", model.as_str()], short, &*set].concat())
        } else {
            plan(&[])
        };
        assert_eq!(done.code, Some(0), "{name}: {}{}", done.stdout, done.stderr);
        seen += 1;
    }
    assert!(seen >= 11, "{seen}");
}

#[test]
fn the_steps_of_a_training_go_to_tensorboard_and_enter_no_key() {
    let project = project(&[("lora", "{ r: 4, alpha: 8 }")]);
    project.ok(&["run", "p.yaml", "--until", "adapter", "--log", "tensorboard"]);
    let folder = project.file("tensorboard/p/adapter");
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    assert!(files[0].file_name().unwrap().to_string_lossy().starts_with("events.out.tfevents."), "{files:?}");
    // Length, checksum, data, checksum; the first record names the version of the format.
    let mut bytes = &std::fs::read(&files[0]).unwrap()[..];
    let mut records = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap();
        records.push(&rest[4..4 + length]);
        bytes = &rest[4 + length + 4..];
    }
    let has = |record: &[u8], text: &[u8]| record.windows(text.len()).any(|window| window == text);
    assert!(has(records[0], b"brain.Event:2"));
    let losses = records.iter().filter(|record| has(record, b"train/loss") && has(record, b"train/learning_rate"));
    assert_eq!(losses.count(), 8, "one for every step");
    assert_eq!(project.ran(&["--until", "adapter"]), [""; 0]);
}
