//! Exit codes, and what is said about mistakes.

use crate::TestEnvironment;

fn one_stage(params: &str) -> TestEnvironment {
    TestEnvironment::with(&[("p.yaml", &format!("pipeline: p\nstages:\n  a: {{ kind: command, params: {params} }}\n"))])
}

/// The run fails with the code, and says all of the texts on stderr and nothing on stdout.
fn check(project: &TestEnvironment, arguments: &[&str], code: i32, texts: &[&str]) {
    let outcome = project.pipe(arguments);
    assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, "");
    for text in texts {
        assert!(outcome.stderr.contains(text), "{text:?} is not in\n{}", outcome.stderr);
    }
}

#[test]
fn a_wrong_pipeline_is_shown_with_all_its_problems() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        "pipeline: p\nstages:\n  a: { kind: tabel, params: { path: x.jsonl } }\n  b: { kind: table, params: { pth: x.jsonl } }\n",
    )]);
    check(
        &project,
        &["run", "p.yaml"],
        3,
        &["p.yaml:3:14", "did you mean `table`?", "p.yaml:4:", "pth", "problems in the pipeline"],
    );
    check(&project, &["plan", "missing.yaml"], 3, &["missing.yaml"]);
}

#[test]
fn inputs_that_the_parameters_require_are_missed_before_anything_runs() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        "pipeline: p
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  seeds: { kind: seed_subset, inputs: { pool: rows }, params: { count: 1, quality: off_domain } }
  found: { kind: retrieve, inputs: { queries: rows, corpus: rows }, params: { method: hybrid } }
  taught: { kind: train, inputs: { examples: rows } }
  scores: { kind: evaluate, inputs: { items: rows }, params: { model: m, num_fewshot: 1 } }
",
    )]);
    check(
        &project,
        &["plan", "p.yaml"],
        3,
        &[
            "the input `off_domain` of `seeds` is missing",
            "`quality: off_domain` takes its rows",
            "the input `embedder` of `found` is missing",
            "give the parameter `embedder`",
            "the input `model` of `taught` is missing",
            "name a model with the parameter `model`",
            "the input `seeds` of `scores` is missing",
            "`num_fewshot` shows rows of it",
            "4 problems in the pipeline",
        ],
    );
}

#[test]
fn a_failing_program_is_shown_with_its_last_words() {
    let outputs = "outputs: { rows: { format: jsonl } }";
    let project = one_stage(&format!("{{ shell: 'echo some words; echo more >&2; exit 3', {outputs} }}"));
    check(&project, &["run", "p.yaml"], 1, &["a failed: ", "exit status: 3", "some words", "more", "log: "]);
    assert!(project.ok(&["logs", "a"]).stdout.contains("some words\nmore\n"));
    let project = one_stage(&format!("{{ argv: [no-such-program], {outputs} }}"));
    check(&project, &["run", "p.yaml"], 1, &["there is no program `no-such-program` in PATH", "install it"]);
}

#[test]
fn outputs_are_checked() {
    let fails = |params: &str, text: &str| check(&one_stage(params), &["run", "p.yaml"], 1, &[text]);
    fails("{ shell: 'true', outputs: { rows: { format: jsonl } } }", "did not write the output `rows`");
    fails("{ shell: 'true', outputs: { dir: { format: files } } }", "wrote no file into the output `dir`");
    fails("{ shell: 'echo x > $PIPE_OUTPUT_rows', outputs: { rows: { format: jsonl } } }", "the output `rows`: ");
    fails(
        "{ shell: 'echo n > $PIPE_OUTPUT_rows; echo x >> $PIPE_OUTPUT_rows', outputs: { rows: { format: csv, columns: { n: int } } } }",
        "column `n`: found `x`, expected int",
    );
    fails(
        "{ shell: 'echo a > $PIPE_OUTPUT_rows', outputs: { rows: { format: csv, columns: { b: int } } } }",
        "the output `rows`: ",
    );
}

#[test]
fn programs_see_only_the_environment_that_was_declared() {
    let pipeline = "{ shell: 'printf \"a,b\\n%s,%s\\n\" \"$SHOWN\" \"$HIDDEN\" > $PIPE_OUTPUT_rows', env: [SHOWN], outputs: { rows: { format: csv } } }";
    let project = one_stage(pipeline);
    let run = |value: &str| {
        let output = project.command(&["run", "p.yaml"]).env("SHOWN", value).env("HIDDEN", "secret").output().unwrap();
        assert!(output.status.success());
        project.json(&["show", "a", "--format", "json"])["head"][0].clone()
    };
    assert_eq!(run("one"), serde_json::json!({ "a": "one" }));
    assert_eq!(run("two")["a"], "two", "its value is in the key");
}

#[test]
fn timeouts_and_retries_apply() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        r#"
pipeline: p
stages:
  slow: { kind: command, params: { shell: "sleep 60", outputs: { rows: { format: jsonl } } }, timeout: 300ms }
  shaky:
    kind: command
    params: { shell: "echo x >> tries; test $(wc -l < tries) -ge 3; echo v > $PIPE_OUTPUT_rows", outputs: { rows: { format: csv, columns: { v: string } } } }
    retries: 3
    backoff: 10ms
"#,
    )]);
    let start = std::time::Instant::now();
    check(
        &project,
        &["run", "p.yaml", "--keep-going"],
        1,
        &["slow failed", "timeout", "attempt 1 failed", "attempt 2 failed", "✓ shaky"],
    );
    assert!(start.elapsed().as_secs() < 20);
    assert_eq!(project.read("tries").lines().count(), 3);
}

#[test]
fn names_that_do_not_exist() {
    let project = one_stage(
        "{ shell: 'echo v > $PIPE_OUTPUT_rows', outputs: { rows: { format: csv, columns: { v: string } } } }",
    );
    check(&project, &["ls"], 6, &["there is no store"]);
    project.ok(&["run", "p.yaml"]);
    check(&project, &["run", "p.yaml", "--only", "b"], 6, &["no stage `b`"]);
    check(&project, &["why", "p.yaml", "a@x"], 6, &["no variant `x`"]);
    check(&project, &["show", "b"], 6, &["there is no result `b`"]);
    check(&project, &["show", "a.x"], 6, &["has no output `x`"]);
    check(&project, &["diff", "baseline", "other"], 6, &["`other`"]);
    check(&project, &["logs", "--run", "nope"], 6, &["there is no run `nope`"]);
    check(&project, &["ls", "q"], 6, &["there is no pipeline `q`"]);
    check(&project, &["kinds", "tabel"], 6, &["did you mean `table`?"]);
}

#[test]
fn usage_errors() {
    let project = TestEnvironment::new();
    check(&project, &["rnu"], 2, &["unrecognized subcommand"]);
    check(&project, &["gc", "--max-size", "lots"], 2, &["a number with a unit"]);
    project.write(".pipe/keep", "");
    check(&project, &["gc", "--even-reachable"], 2, &["--max-size"]);
}
