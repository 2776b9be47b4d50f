//! What runs again after which edit, and what a run leaves behind.

use crate::TestEnvironment;

const PIPELINE: &str = r#"
pipeline: p
vars: { n: 4 }
ablate: { n: [2] }
stages:
  pool: { kind: table, params: { path: "data/*.jsonl", id: id } }
  seeds: { kind: seed_subset, inputs: { pool: pool }, params: { count: "${n}" } }
  upper:
    kind: command
    inputs: { seeds: seeds }
    params:
      argv: [sh, upper.sh, "{inputs.seeds}", "{outputs.rows}"]
      input_format: jsonl
      sources: [upper.sh]
      outputs: { rows: { format: jsonl, columns: { id: int, output: string } } }
"#;

/// A study whose arms have these values of `n` (`1, 2`).
pub(crate) fn study(arms: &str) -> TestEnvironment {
    let rows = |from: i32| {
        (from..from + 3).map(|i| format!("{{\"id\": {i}, \"output\": \"answer {i}\"}}\n")).collect::<Vec<_>>().concat()
    };
    TestEnvironment::with(&[
        ("p.yaml", &PIPELINE.replace("n: [2]", &format!("n: [{arms}]"))),
        ("data/a.jsonl", &rows(0)),
        ("data/b.jsonl", &rows(3)),
        ("upper.sh", "sed 's/answer/ANSWER/' \"$1\" > \"$2\"\n"),
    ])
}

fn project() -> TestEnvironment {
    study("2")
}

const ALL: [&str; 5] = ["pool", "seeds@baseline", "seeds@n=2", "upper@baseline", "upper@n=2"];

#[test]
fn edits_rerun_exactly_what_they_touch() {
    let project = project();
    assert_eq!(project.ran(&[]), ALL);
    let nothing: [&str; 0] = [];
    assert_eq!(project.ran(&[]), nothing, "nothing changed");

    let spaced = PIPELINE.replace("params:", "# a comment\n    params:").replace("count:", "seed: 0, count:");
    project.write("p.yaml", &spaced);
    assert_eq!(project.ran(&[]), nothing, "a comment, and a default spelt out");

    project.write("data/a.jsonl", &project.read("data/a.jsonl"));
    assert_eq!(project.ran(&["--jobs", "1"]), nothing, "a file touched, another number of jobs");

    project.write("data/a.jsonl", &project.read("data/a.jsonl").replace("\": ", "\":   "));
    assert_eq!(project.ran(&[]), ["pool"], "other bytes, the same rows");

    project.write("upper.sh", "# the same\nsed 's/answer/ANSWER/' \"$1\" > \"$2\"\n");
    assert_eq!(project.ran(&[]), ["upper@baseline", "upper@n=2"], "a script is edited");

    assert_eq!(project.ran(&["--set", "n=3"]), ["seeds@baseline", "upper@baseline"], "a variable is set");
    assert_eq!(project.ran(&["--force=seeds"]), ["seeds@baseline", "seeds@n=2"], "forced to the same rows");
    assert_eq!(project.ran(&["--force=upper@n=2", "--only", "upper"]), ["upper@n=2"]);

    std::fs::rename(project.file(".pipe"), project.file("elsewhere")).unwrap();
    assert_eq!(project.ran(&["--store", "elsewhere"]), nothing, "the store was moved");
}

#[test]
fn selections_run_what_they_name() {
    let project = project();
    assert_eq!(project.ran(&["--until", "seeds", "--variant", "n=2"]), ["pool", "seeds@n=2"]);
    assert_eq!(project.ran(&["--from", "seeds@baseline"]), ["seeds@baseline", "upper@baseline"]);
    assert_eq!(project.ran(&["--only", "upper@n=2"]), ["upper@n=2"]);
}

#[test]
fn results_are_linked_for_other_tools() {
    let project = project();
    project.ok(&["run", "p.yaml"]);
    let table = std::fs::read(project.file("results/p/n=2/upper.parquet")).unwrap();
    assert_eq!((&table[..4], &table[table.len() - 4..]), (&b"PAR1"[..], &b"PAR1"[..]));
}

#[test]
fn nested_subsets_have_nested_results() {
    let project = project();
    project.ok(&["run", "p.yaml"]);
    let rows = |target: &str| project.json(&["show", target, "--format", "json"])["head"].as_array().unwrap().clone();
    let (small, large) = (rows("upper@n=2"), rows("upper@baseline"));
    assert_eq!((small.len(), large.len()), (2, 4));
    assert_eq!(small, large[..2]);
    assert!(large.iter().all(|row| row["output"].as_str().unwrap().starts_with("ANSWER")));
}

#[test]
fn ctrl_c_keeps_what_is_done_and_ends_programs() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        r#"
pipeline: p
stages:
  first: { kind: command, params: { shell: "echo 'a' > $PIPE_OUTPUT_rows", outputs: { rows: { format: csv,
      columns: { a: string } } } } }
  second:
    kind: command
    inputs: { first: first }
    params: { shell: "echo $$ > pid; sleep 60", outputs: { rows: { format: jsonl } } }
"#,
    )]);
    let child = project
        .command(&["run", "p.yaml"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_pid(&project);
    let start = std::time::Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let outcome = project.outcome(child.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
    assert!(start.elapsed().as_secs() < 30, "the sleeping program was not ended");
    assert!(has_ended(&project), "the program outlived the run");
    assert_eq!(project.json(&["ls", "--runs", "--format", "json"])[0]["summary"]["outcome"], "cancelled");
    let done = project.json(&["plan", "p.yaml", "--all", "--format", "json"]);
    assert_eq!(done["nodes"][0]["action"], "hit");
}

#[test]
fn a_second_ctrl_c_ends_programs_that_will_not_stop() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        r#"
pipeline: p
stages:
  deaf: { kind: command, params: { shell: "trap '' INT TERM; echo $$ > pid; sleep 60",
      outputs: { rows: { format: jsonl } } } }
"#,
    )]);
    let child = project
        .command(&["run", "p.yaml"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_pid(&project);
    let pipe = rustix::process::Pid::from_child(&child);
    let start = std::time::Instant::now();
    rustix::process::kill_process(pipe, rustix::process::Signal::INT).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    rustix::process::kill_process(pipe, rustix::process::Signal::INT).unwrap();
    let outcome = project.outcome(child.wait_with_output().unwrap());
    assert_eq!(outcome.code, Some(130), "{}", outcome.stderr);
    assert!(start.elapsed().as_secs() < 4, "it waited for the grace period of a first Ctrl-C");
    assert!(has_ended(&project), "the program outlived the run");
}

/// Waits until the stage's program has written its process id to the file `pid`.
fn wait_for_pid(project: &TestEnvironment) {
    let start = std::time::Instant::now();
    while !std::fs::read_to_string(project.file("pid")).is_ok_and(|pid| pid.ends_with('\n')) {
        assert!(start.elapsed().as_secs() < 30, "the stage never began");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// Whether the program that wrote `pid` is gone; a zombie is.
fn has_ended(project: &TestEnvironment) -> bool {
    let pid: i32 = project.read("pid").trim().parse().unwrap();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.is_empty() || state.contains(") Z")
}

#[test]
fn four_processes_compute_each_key_once() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        r#"
pipeline: p
vars: { i: 0 }
matrix: { i: [0, 1, 2, 3, 4, 5, 6, 7] }
stages:
  a: { kind: command, params: { shell: "echo x >> ran.txt; sleep 0.05; printf 'v\n${i}\n' > $PIPE_OUTPUT_rows",
      outputs: { rows: { format: csv } } } }
  b: { kind: command, inputs: { a: a }, params: { shell: "echo x >> ran.txt; cp $PIPE_INPUT_a $PIPE_OUTPUT_rows",
      outputs: { rows: { format: parquet } } } }
"#,
    )]);
    let children: Vec<_> = (0..4)
        .map(|_| {
            project
                .command(&["run", "p.yaml"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let outcome = project.outcome(child.wait_with_output().unwrap());
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    }
    assert_eq!(project.read("ran.txt").lines().count(), 16);
}
