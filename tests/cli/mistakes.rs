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
        "pipeline: p\nstages:\n  a: { kind: tabel, params: { path: x.jsonl } }\n  b: { kind: table, params: { pth: \
         x.jsonl } }\n",
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
        "{ shell: 'echo n > $PIPE_OUTPUT_rows; echo x >> $PIPE_OUTPUT_rows', outputs: { rows: { format: csv, columns: \
         { n: int } } } }",
        "column `n`: found `x`, expected int",
    );
    fails(
        "{ shell: 'echo a > $PIPE_OUTPUT_rows', outputs: { rows: { format: csv, columns: { b: int } } } }",
        "the output `rows`: ",
    );
}

#[test]
fn programs_see_only_the_environment_that_was_declared() {
    let pipeline = "{ shell: 'printf \"a,b\\n%s,%s\\n\" \"$SHOWN\" \"$HIDDEN\" > $PIPE_OUTPUT_rows', env: [SHOWN], \
                    outputs: { rows: { format: csv } } }";
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
    params: { shell: "echo x >> tries; test $(wc -l < tries) -ge 3; echo v > $PIPE_OUTPUT_rows",
              outputs: { rows: { format: csv, columns: { v: string } } } }
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
fn plan_finds_columns_that_are_missing() {
    let project = TestEnvironment::with(&[
        ("corpus.csv", "id,body\n1,one\n"),
        ("queries.jsonl", "{\"id\": 1, \"instruction\": \"find one\"}\n"),
        (
            "p.yaml",
            r#"
pipeline: p
stages:
  corpus: { kind: table, params: { path: corpus.csv } }
  renamed: { kind: table, params: { path: corpus.csv, rename: { body: text } } }
  queries: { kind: table, params: { path: queries.jsonl } }
  wrong: { kind: retrieve, inputs: { queries: queries, corpus: corpus } }
  right: { kind: retrieve, inputs: { queries: queries, corpus: renamed } }
  strata: { kind: seed_subset, inputs: { pool: right }, params: { count: 1, stratify_by: task } }
  damaged: { kind: seed_subset, inputs: { pool: strata }, params: { count: 1, quality: noisy } }
  exam: { kind: evaluate, inputs: { items: right }, params: { model: "http://localhost:1/v1#m" } }
"#,
        ),
    ]);
    let planned = || project.pipe(&["plan", "p.yaml", "--format", "json"]);
    let problems = |text: &str| -> Vec<String> {
        let plan: serde_json::Value = serde_json::from_str(text).unwrap();
        let nodes = plan["nodes"].as_array().unwrap().iter();
        nodes.filter(|n| n["action"] == "error").map(|n| format!("{}: {}", n["stage"], n["message"])).collect()
    };
    let expect = |outcome: &crate::environment::Outcome| {
        assert_eq!(outcome.code, Some(1), "{}{}", outcome.stdout, outcome.stderr);
        let found = problems(&outcome.stdout);
        for (problem, words) in found.iter().zip([
            ["\"wrong\"", "`corpus` needs a column `text`", "are `body`, `id`"],
            ["\"strata\"", "`pool` needs a column `task`", "`passages`"],
            ["\"exam\"", "`items` needs a column `output` or `references`", "`instruction`"],
        ]) {
            assert!(words.iter().all(|word| problem.contains(word)), "{problem}: {words:?}");
        }
        assert_eq!(found.len(), 3, "{found:?}");
    };
    expect(&planned());
    // The same of what is in the store.
    project.pipe(&["run", "p.yaml", "--keep-going", "--only", "corpus,renamed,queries,right"]);
    expect(&planned());
}

#[test]
fn plan_finds_models_and_headers_that_cannot_be_read() {
    let project = TestEnvironment::with(&[
        ("a.csv", "id,text\n1,\"cut\n"),
        ("model/config.json", "{\"model_type\": \"nobody\"}"),
        ("t.jsonl", "{\"instruction\": \"x\", \"output\": \"y\"}\n"),
        (
            "p.yaml",
            r"
pipeline: p
stages:
  twice: { kind: table, params: { path: a.csv, columns: [nothing] } }
  rows: { kind: table, params: { path: t.jsonl } }
  exam: { kind: evaluate, inputs: { items: rows }, params: { model: model } }
",
        ),
    ]);
    let plan = project.pipe(&["plan", "p.yaml"]);
    assert_eq!(plan.code, Some(1));
    let plan = plan.stdout;
    assert!(plan.contains("never closes") && plan.contains("✗ exam"), "{plan}");
}

#[test]
fn usage_errors() {
    let project = TestEnvironment::new();
    check(&project, &["rnu"], 2, &["unrecognized subcommand"]);
    check(&project, &["gc", "--max-size", "lots"], 2, &["a number with a unit"]);
    check(&project, &["plan", "--memory", "8"], 2, &["a number with a unit"]);
    project.write(".pipe/v1/keep", "");
    check(&project, &["gc", "--even-reachable"], 2, &["--max-size"]);
}

#[test]
fn parameters_under_the_names_of_other_programs() {
    let check = |stage: &str, texts: &[&str]| {
        let project = TestEnvironment::with(&[("p.yaml", &format!("pipeline: p\nstages:\n  a: {stage}\n"))]);
        check(&project, &["plan", "p.yaml"], 3, texts);
    };
    let train = |params: &str| format!("{{ kind: train, params: {{ {params} }} }}");
    check(&train("num_train_epochs: 3"), &["did you mean `budget: { epochs: 3 }`?"]);
    check(&train("lora_r: 8"), &["did you mean `lora: { r: 8 }`?"]);
    check(&train("lr: 1e-4"), &["did you mean `learning_rate`?"]);
    check(&train("per-device-train-batch-size: 4"), &["did you mean `micro_batch_size`?"]);
    check(
        &train("lora: { lora_alpha: 4 }"),
        &["`lora` has no parameter `lora_alpha`", "did you mean `lora: { alpha: 4 }`?"],
    );
    check(&train("sequence_len: 512"), &["did you mean `max_seq_len`?"]);
    check("{ kind: pretrain, params: { micro_batch_size: 4 } }", &["did you mean `batch_size`?"]);
    check(&train("num_train_epochs: 1.5"), &["did you mean `budget: { epochs: 1.5 }`?"]);
    check(&train("lr_scheduler_type: constant_with_warmup"), &["did you mean `lr_scheduler: constant`?"]);
    check(&train("completion_only_loss: true"), &["did you mean `train_on_prompt: false`?"]);
    check(&train("load_in_4bit: true"), &["did you mean `weights: nf4`?"]);
    // What there is nothing of is said to be so, and why.
    check(&train("fp16: true"), &["there is no parameter `fp16`", "computed with in f32"]);
    check(&train("deepspeed: ds.json"), &["there is no parameter `deepspeed`", "in one process"]);
    check(&train("sample_packing: true"), &["without padding"]);
    check("{ kind: respond, params: { do_sample: false } }", &["did you mean `temperature: 0`?"]);
    check("{ kind: respond, params: { presence_penalty: 1 } }", &["a server may have it"]);
    check("{ kind: respond, params: { n: 4 } }", &["one text is sampled per row"]);
    check(&train("lr_scheduler: constant_with_warmup"), &["did you mean `constant`?"]);
    check("{ kind: evaluate, params: { metrics: [f1, rougeL] } }", &["did you mean `token_f1`?", "mean `rouge_l`?"]);
    check("{ kind: generate, params: { n: 4 } }", &["did you mean `count`?"]);
    check("{ kind: evaluate, params: { max_gen_toks: 4 } }", &["did you mean `max_new_tokens`?"]);
    let project = TestEnvironment::with(&[("p.yaml", "pipeline: p\nvars: { budget: { epochs: 3 } }\nstages: {}\n")]);
    crate::mistakes::check(
        &project,
        &["plan", "p.yaml", "--set", "num_train_epochs=2"],
        3,
        &["there is no variable `num_train_epochs`", "did you mean --set 'budget={ epochs: 2 }'?"],
    );
}

#[test]
fn what_is_said_about_values_is_what_stands_in_the_file() {
    let check = |params: &str, texts: &[&str]| check(&one_stage(params), &["plan", "p.yaml"], 3, texts);
    let rows = "outputs: { r: { format: jsonl } }";
    check(&format!("{{ argv: [x], version: 3.10, {rows} }}"), &["not the number `3.10`", "quote it: \"3.10\""]);
    check(&format!("{{ argv: [x], version: 1e3, {rows} }}"), &["quote it: \"1e3\""]);
    check(&format!("{{ argv: 1.50, {rows} }}"), &["write a list: [\"1.50\"]"]);
}

#[test]
fn both_of_two_that_exclude_each_other() {
    let check = |params: &str, texts: &[&str]| {
        let text = format!(
            "pipeline: p\nstages:\n  t: {{ kind: table, params: {{ path: x.jsonl }} }}\n  a: {{ kind: train, inputs: \
             {{ examples: t }}, params: {{ model: m, {params} }} }}\n"
        );
        check(&TestEnvironment::with(&[("p.yaml", &text)]), &["plan", "p.yaml"], 3, texts);
    };
    check("budget: { steps: 30, epochs: 3 }", &["`budget` takes one of `epochs`, `steps`, not more", "p.yaml:4:"]);
    check(
        "batch_size: 64, micro_batch_size: 4, gradient_accumulation_steps: 8",
        &["8 passes of 4 rows are no step of 64"],
    );
    check("batch_size: 16, micro_batch_size: 5", &["no whole number of parts of 5"]);
    check("warmup_ratio: 0.1, warmup_steps: 3", &["the warmup is given twice"]);
}

#[test]
fn names_in_templates_are_checked_when_the_pipeline_is_read() {
    let check = |template: &str, texts: &[&str]| {
        let text = "pipeline: p\nstages:\n  t: { kind: table, params: { path: x.jsonl } }\n  a: { kind: respond, \
                    inputs: { instructions: t }, params: { model: m, template: t.jinja } }\n";
        check(&TestEnvironment::with(&[("p.yaml", text), ("t.jinja", template)]), &["plan", "p.yaml"], 3, texts);
    };
    check("{{ instrction }}\n", &["uses `instrction`", "did you mean `instruction`?", "p.yaml:4:"]);
    check("{% for p in pasages %}{{ p.text }}{% endfor %}", &["uses `pasages`", "did you mean `passages`?"]);
    check(
        "{% if domains %}{{ input }}{% endif %}{{ question }}",
        &["did you mean `domain`?", "uses `question`", "a template sees: `instruction`"],
    );
    check("{% for d in demonstrations %}{{ d.output }}", &["t.jinja"]);
    check("{{ instruction }} {{ output }}", &["`output`, which is not there when", "{% if output is defined %}"]);
    check("{{ instruction }}{% if with_inputs %}x{% endif %}{{ turns }}", &["uses `turns`"]);
    // What is asked for first may be missing.
    let fine = "pipeline: p\nstages:\n  t: { kind: table, params: { path: x.jsonl } }\n  a: { kind: respond, inputs: { \
                instructions: t }, params: { model: m, template: t.jinja } }\n";
    let project = TestEnvironment::with(&[
        ("p.yaml", fine),
        ("x.jsonl", "{}\n"),
        (
            "t.jinja",
            "{% set n = namespace(x=1) %}{{ system is defined }}{{ user | default('x') }}{{ turn('user') }}{{ \
             instruction }}",
        ),
    ]);
    let outcome = project.pipe(&["plan", "p.yaml"]);
    assert!(!outcome.stderr.contains("which no template sees"), "{}", outcome.stderr);
}

#[test]
fn runs_that_are_not_there() {
    let project = one_stage("{ shell: 'echo 1 > $PIPE_OUTPUT_r', outputs: { r: { format: csv } } }");
    project.pipe(&["run", "p.yaml"]);
    project.pipe(&["run", "p.yaml"]);
    check(
        &project,
        &["diff", "last", "last~99"],
        6,
        &["there is no run `last~99`", "there are 2 runs, from `last` back to `last~1`"],
    );
    check(&project, &["logs", "a", "--run", "last~x"], 6, &["there is no run `last~x`", "there are 2 runs"]);
    check(&project, &["logs", "a", "--run", "0"], 6, &["2 runs begin with `0`"]);
}

#[test]
fn plan_looks_into_a_thousand_files_and_says_so() {
    let stages = |count: usize| -> String {
        let table = |i| format!("  t{i}: {{ kind: table, params: {{ path: rows.jsonl, limit: {} }} }}\n", i + 1);
        format!("pipeline: p\nstages:\n{}", (0..count).map(table).collect::<String>())
    };
    let project = TestEnvironment::with(&[("p.yaml", &stages(1_001)), ("rows.jsonl", "{\"a\": 1}\n")]);
    assert_eq!(project.json(&["plan", "p.yaml", "--format", "json"])["unlooked"], 1);
    let shown = project.pipe(&["plan", "p.yaml"]).stdout;
    let said = "not looked into: the files of 1 stage; what is wrong with them shows when they run";
    assert!(shown.contains(said), "{shown}");
    project.write("p.yaml", &stages(1_000));
    assert_eq!(project.json(&["plan", "p.yaml", "--format", "json"])["unlooked"], 0);
    assert!(!project.pipe(&["plan", "p.yaml"]).stdout.contains("not looked into"));
}
