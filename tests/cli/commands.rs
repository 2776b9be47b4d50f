//! Every command, on a small pipeline with two variants.

use crate::TestEnvironment;

const PIPELINE: &str = r#"
pipeline: p
vars: { n: 4 }
ablate: { n: [2] }
stages:
  pool: { kind: table, params: { path: pool.csv } }
  seeds: { kind: seed_subset, inputs: { pool: pool }, params: { count: "${n}", columns: [word] } }
  size:
    kind: command
    inputs: { seeds: seeds }
    params:
      input_format: csv
      shell: "echo counting; printf 'rows\n%s\n' $(($(wc -l < $PIPE_INPUT_seeds) - 1)) > $PIPE_OUTPUT_rows"
      outputs: { rows: { format: csv, columns: { rows: int } } }
  all:
    kind: command
    inputs: { sizes: "size[*]" }
    params: { shell: "cp $PIPE_INPUT_sizes $PIPE_OUTPUT_rows",
              outputs: { rows: { format: parquet, columns: { rows: int, n: int } } } }
"#;

fn project() -> TestEnvironment {
    TestEnvironment::with(&[("p.yaml", PIPELINE), ("pool.csv", "id,word\n1,one\n2,two\n3,three\n4,four\n5,five\n")])
}

fn after_a_run() -> TestEnvironment {
    let project = project();
    project.ok(&["run", "p.yaml"]);
    project
}

#[test]
fn run_says_what_ran_and_prints_nothing_on_stdout() {
    let project = project();
    let first = project.ok(&["run", "p.yaml"]);
    assert_eq!(first.stdout, "");
    assert!(first.stderr.contains("p done: 6 ran, 0 reused in "), "{}", first.stderr);
    let second = project.ok(&["run", "p.yaml"]);
    assert!(second.stderr.contains("p done: 0 ran, 6 reused in "), "{}", second.stderr);
    assert_eq!(project.ok(&["run", "p.yaml", "--quiet"]).stderr, "");
}

#[test]
fn plan_tells_runs_pending_and_shared() {
    let project = project();
    let plan = project.ok(&["plan", "p.yaml"]).stdout;
    assert!(plan.contains("▶ pool  never ran\n"), "{plan}");
    assert!(plan.contains("? seeds@n=2  pending on `pool`\n"), "{plan}");
    assert!(plan.contains("pool: 1 computation for 2 variants"), "{plan}");
    assert!(
        plan.contains("1 to run, 5 pending, 0 done; how long it takes is not known: nothing of the kind"),
        "{plan}"
    );
    project.ok(&["run", "p.yaml"]);
    assert!(project.ok(&["plan", "p.yaml"]).stdout.contains("0 to run, 0 pending, 6 done"));
    project.write("p.yaml", &PIPELINE.replace("columns: [word]", "columns: [word], seed: 3"));
    let plan = project.json(&["plan", "p.yaml", "--format", "json"]);
    assert_eq!(plan["nodes"][1]["action"], "run");
    assert!(plan["nodes"][1]["estimate"].is_number(), "it ran before");
    assert_eq!(plan["nodes"][1]["reasons"][0], "params.seed 0 -> 3");
}

#[test]
fn why_names_what_changed() {
    let project = project();
    assert!(project.ok(&["why", "p.yaml", "pool"]).stdout.contains("pool runs: it never ran before"));
    project.ok(&["run", "p.yaml"]);
    assert!(project.ok(&["why", "p.yaml", "seeds@n=2"]).stdout.contains("seeds@n=2 is done"));
    project.write("p.yaml", &PIPELINE.replace("columns: [word]", "columns: [word], fraction: 0.5"));
    assert!(project.ok(&["why", "p.yaml", "seeds@n=2"]).stdout.contains("params.fraction 1.0 -> 0.5"));
    assert_eq!(project.json(&["why", "p.yaml", "seeds", "--format", "json"]).as_array().unwrap().len(), 2);
}

#[test]
fn ls_lists_results_and_runs() {
    let project = after_a_run();
    let list = project.ok(&["ls"]).stdout;
    assert!(list.lines().any(|line| line.starts_with("p         n=2       seeds")), "{list}");
    let results = project.json(&["ls", "p", "--format", "json"]);
    assert_eq!(results.as_array().unwrap().len(), 8);
    assert!(project.ok(&["ls", "--runs"]).stdout.contains("done"));
    assert_eq!(project.json(&["ls", "--runs", "--format", "json"])[0]["summary"]["ran"], 6);
}

#[test]
fn show_gives_schema_rows_and_statistics() {
    let project = after_a_run();
    let shown = project.ok(&["show", "pool"]).stdout;
    for text in ["pool  5 rows, ", "id      int64", "word    string", "row 0", "3.000"] {
        assert!(shown.contains(text), "{text:?} is not in\n{shown}");
    }
    let table = project.json(&["show", "pool", "--format", "json", "-n", "2"]);
    assert_eq!(table["head"].as_array().unwrap().len(), 2);
    assert_eq!(table["columns"][0]["max"], "5");
    assert_eq!(table["columns"][1]["distinct"], 5);
    assert_eq!(project.json(&["show", "seeds.corruptions@n=2", "--format", "json"])["output"]["rows"], 0);
    let key = table["key"].as_str().unwrap();
    assert_eq!(project.json(&["show", &key[..10], "--format", "json"])["key"], key);
    assert!(
        project.ok(&["show", "seeds", "--no-stats"]).stderr.contains("2 different results; this is seeds@baseline")
    );
    let all = project.json(&["show", "all", "--format", "json"]);
    assert_eq!(all["head"][0]["rows"], 4);
    assert_eq!(all["head"][1], serde_json::json!({ "rows": 2, "variant": "n=2", "arm": "n=2", "n": 2 }));
}

#[test]
fn diff_compares_variants_and_runs() {
    let project = after_a_run();
    let diff = project.ok(&["diff", "baseline", "n=2"]).stdout;
    for text in
        ["seeds  params.count 4 -> 2", "seeds.rows  4 → 2 rows", "4 → 2 (-2)", "2 results different, 2 the same"]
    {
        assert!(diff.contains(text), "{text:?} is not in\n{diff}");
    }
    project.ok(&["run", "p.yaml", "--set", "n=3"]);
    let diff = project.json(&["diff", "last~1", "last", "--format", "json"]);
    let stages: Vec<_> =
        diff["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert!(stages.contains(&"size@baseline"), "{diff}");
}

#[test]
fn diff_marks_the_words_that_differ_in_short_texts_and_in_long_ones() {
    let long = "word ".repeat(60);
    let project = TestEnvironment::with(&[
        (
            "p.yaml",
            "pipeline: p\nvars: { f: a.jsonl }\nablate: { f: [b.jsonl] }\nstages: { t: { kind: table, params: { \
                    path: '${f}', id: id } } }\n",
        ),
        ("a.jsonl", &format!("{{\"id\": 1, \"t\": \"the old text\"}}\n{{\"id\": 2, \"t\": \"{long}old {long}\"}}\n")),
        ("b.jsonl", &format!("{{\"id\": 1, \"t\": \"the new text\"}}\n{{\"id\": 2, \"t\": \"{long}new {long}\"}}\n")),
    ]);
    project.ok(&["run", "p.yaml"]);
    for options in [&[][..], &["--all"][..]] {
        let diff = project.ok(&[&["diff", "baseline", "f=b.jsonl"][..], options].concat()).stdout;
        assert!(diff.contains("t: the [-old-]{+new+} text"), "{options:?} {diff}");
        assert!(diff.contains("word word [-old-]{+new+} word"), "{options:?} {diff}");
    }
}

#[test]
fn dag_draws_the_graph_with_variants_collapsed() {
    let project = project();
    insta::assert_snapshot!(project.ok(&["dag", "p.yaml"]).stdout, @r"
    p (2 variants)
      pool      table
      seeds ×2  seed_subset  ← pool
      size ×2   command      ← seeds
      all       command      ← sizes: size[*]
    ");
    let dot = project.ok(&["dag", "p.yaml", "--format", "dot"]).stdout;
    assert!(dot.starts_with("digraph \"p\" {") && dot.contains("s1 -> s2 [label=\"seeds\"];"), "{dot}");
    let mermaid = project.ok(&["dag", "p.yaml", "--format", "mermaid"]).stdout;
    assert!(mermaid.starts_with("flowchart LR") && mermaid.contains("s2 ==>|sizes| s3"), "{mermaid}");
    assert_eq!(project.json(&["dag", "p.yaml", "--format", "json"])["stages"][1]["nodes"], 2);
}

#[test]
fn logs_print_what_programs_said() {
    let project = after_a_run();
    assert!(project.ok(&["logs", "size@n=2"]).stdout.ends_with("counting\n"));
    assert!(project.ok(&["logs", "--run", "last"]).stdout.contains("==> size@n=2 <=="));
}

#[test]
fn gc_removes_what_no_pipeline_stands_at() {
    let project = after_a_run();
    project.write("p.yaml", &PIPELINE.replace("vars: { n: 4 }", "vars: { n: 3 }"));
    project.ok(&["run", "p.yaml"]);
    let report = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["gc", "--format", "json"].iter().chain(arguments).copied().collect();
        project.json(&arguments)
    };
    assert_eq!(report(&[])["results"], 0);
    let would = report(&["--unreachable", "--dry-run"]);
    assert!(would["results"].as_u64().unwrap() > 0, "{would}");
    let removed = would["removed"].as_array().unwrap();
    let size = removed.iter().find(|r| r["what"] == "result" && r["stage"] == "size@baseline").unwrap();
    assert_eq!((size["reason"].as_str(), size["pipeline"].as_str()), (Some("unreachable"), Some("p")));
    assert!(size["bytes"].as_u64().unwrap() > 100, "{size}");
    let told = project.ok(&["gc", "--unreachable", "--dry-run"]).stdout;
    let line = told.lines().find(|line| line.contains("p size@baseline")).unwrap_or_else(|| panic!("{told}"));
    assert!(line.starts_with("result ") && line.ends_with("no pipeline stands at it any more"), "{told}");
    assert_eq!(report(&["--unreachable"])["results"], would["results"]);
    assert_eq!(project.ran(&[]), Vec::<String>::new(), "what the pipeline stands at is still there");
    assert!(project.ok(&["gc", "--max-size", "0B", "--even-reachable"]).stdout.contains("0 B kept"));
    assert_eq!(project.ran(&[]).len(), 6);
}

#[test]
fn verify_finds_a_flipped_bit_and_the_next_run_repairs_it() {
    let project = after_a_run();
    assert!(project.ok(&["verify"]).stdout.contains("all sound"));
    let path = project.json(&["ls", "--format", "json"]);
    let size = path.as_array().unwrap().iter().find(|r| r["stage"] == "size" && r["variant"] == "n=2").unwrap();
    let object = size["outputs"][0]["path"].as_str().unwrap().replace("//", "/");
    let object = if object.starts_with('/') { object.into() } else { project.file(&object) };
    let mut bytes = std::fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut permissions = std::fs::metadata(&object).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "the object is about to be damaged, and then replaced")]
    permissions.set_readonly(false);
    std::fs::set_permissions(&object, permissions).unwrap();
    std::fs::write(&object, bytes).unwrap();
    let outcome = project.pipe(&["verify"]);
    assert_eq!(outcome.code, Some(5), "{}{}", outcome.stdout, outcome.stderr);
    let repaired = project.ok(&["verify", "--repair"]).stdout;
    assert!(repaired.contains("damaged"), "{repaired}");
    assert!(repaired.contains("1 damaged piece put aside; the store is sound now"), "{repaired}");
    assert_eq!(project.ran(&[]), ["size@n=2"]);
    project.ok(&["verify"]);
}

#[test]
fn kinds_document_themselves() {
    let project = TestEnvironment::new();
    let kinds = project.ok(&["kinds"]).stdout;
    assert!(kinds.contains("table") && kinds.contains("Reads rows from JSONL"), "{kinds}");
    let table = project.ok(&["kinds", "table"]).stdout;
    assert!(table.contains("path  text or list of texts, required, not part of the key"), "{table}");
    let evaluate = project.ok(&["kinds", "evaluate"]).stdout;
    for expect in [
        "items  table, required",
        "output or references: text. The right answer;",
        "labels: list of texts, optional.",
        "predictions  table",
        "scores  table",
        "bootstrap  settings",
        "      resamples  whole number",
    ] {
        assert!(evaluate.contains(expect), "{expect}\n{evaluate}");
    }
    for kind in kinds.lines().filter(|line| !line.starts_with(' ')).filter_map(|line| line.split(' ').next()) {
        let text = project.ok(&["kinds", kind]).stdout;
        // The ports of `command` are what its parameters say.
        assert!(kind == "command" || text.contains("outputs\n"), "{kind} has ports to show:\n{text}");
        for rust in ["Option<", "Params", "Vec<", "$ref", "uint", "Spec<"] {
            assert!(!text.contains(rust), "{kind} says `{rust}`:\n{text}");
        }
    }
    assert_eq!(project.json(&["kinds", "seed_subset", "--format", "json"])["properties"]["fraction"]["maximum"], 1.0);
}

#[test]
fn selections_that_cannot_both_hold_are_refused_with_a_hint() {
    let project = project();
    for (arguments, named, with) in [
        (&["--only", "size", "--until", "seeds"][..], "--only size", "--until seeds"),
        (&["--only", "pool,size", "--until", "pool"], "--only size", "--until pool"),
        (&["--from", "size", "--until", "pool"], "--from size", "--until pool"),
        (&["--only", "pool", "--from", "seeds"], "--only pool", "--from seeds"),
        (&["--only", "size@n=2", "--variant", "baseline"], "--only size@n=2", "--variant baseline"),
        (&["--force=size", "--until", "seeds"], "--force size", "--until seeds"),
    ] {
        for command in ["run", "plan"] {
            let outcome = project.pipe(&[&[command, "p.yaml"], arguments].concat());
            assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.stderr);
            let expect = format!("`{named}` and `{with}` cannot both hold");
            assert!(outcome.stderr.contains(&expect), "{arguments:?}: {}", outcome.stderr);
            assert!(outcome.stderr.contains("help: leave one out; "), "{}", outcome.stderr);
        }
    }
    project.ok(&["plan", "p.yaml", "--from", "pool", "--until", "size", "--variant", "n=2"]);
}

#[test]
fn help_and_completions() {
    let project = TestEnvironment::new();
    assert!(project.ok(&["--help"]).stdout.contains("130  cancelled by Ctrl-C, SIGTERM or another signal"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(project.ok(&["completions", shell]).stdout.contains("pipe"));
    }
}

#[test]
fn a_timeline_is_json_with_a_track_per_thread() {
    let project = project();
    project.ok(&["run", "p.yaml", "--trace", "t.json"]);
    let events: Vec<serde_json::Value> = serde_json::from_str(&project.read("t.json")).unwrap();
    let count = |phase: &str| events.iter().filter(|event| event["ph"] == phase).count();
    assert!(count("B") > 6 && count("B") == count("E"), "{} begin, {} end", count("B"), count("E"));
    let slices: Vec<&str> = events.iter().filter(|e| e["ph"] == "B").filter_map(|e| e["name"].as_str()).collect();
    for name in ["pool", "size@n=2", "load p.yaml", "run", "publish"] {
        assert!(slices.contains(&name), "{name} is none of {slices:?}");
    }
    assert!(!project.ok(&["plan", "p.yaml", "-v"]).stderr.is_empty());
}
