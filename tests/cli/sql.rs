//! `views.sql` and `pipe sql`: what they say, and, with the real DuckDB, what it answers.

use std::fs;

use serde_json::{Value, json};

use crate::{TestEnvironment, tools};

/// Shared and own tables, files, replicates, an output beside the first.
const STUDY: &str = r#"pipeline: study
vars: { n: 1, seed: 1, name: a }
ablate: { n: [2], name: ["it's \"b\"\n"] }
replicate: { seed: [1, 2] }
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  scores:
    kind: command
    inputs: { rows: rows }
    params:
      argv: [sh, score.sh, "${n}", "${seed}", "${name}"]
      sources: [score.sh]
      outputs: { out: { format: jsonl }, sums: { format: jsonl } }
  folder:
    kind: command
    params: { shell: 'echo x > "$PIPE_OUTPUT_dir/f"', outputs: { dir: { format: files } } }
"#;

const SCORE: &str = r#"for i in 1 2 3; do
  echo "{\"id\": $i, \"task\": \"t$1\", \"seed\": \"own\", \"f1\": $1.$i}"
done > "$PIPE_OUTPUT_out"
echo "{\"mean\": $2}" > "$PIPE_OUTPUT_sums"
"#;

fn project() -> TestEnvironment {
    let rows = "{\"a\": 1}\n{\"a\": 2}\n";
    TestEnvironment::with(&[("p.yaml", STUDY), ("rows.jsonl", rows), ("score.sh", SCORE)])
}

const ASK: &str = "
import duckdb, json, sys
db = duckdb.connect()
db.execute(open(sys.argv[1]).read())
answers = []
for question in sys.argv[2:]:
    answer = db.execute(question)
    answers.append([list(row) for row in answer.fetchall()])
print(json.dumps(answers, default=str))
";

/// What DuckDB answers, elsewhere than in the project's folder.
fn ask(project: &TestEnvironment, views: &str, questions: &[&str]) -> Vec<Value> {
    let elsewhere = tempfile::tempdir().unwrap();
    let asked = tools::python()
        .args(["-c", ASK])
        .arg(project.file(views))
        .args(questions)
        .current_dir(elsewhere.path())
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}\n{}", String::from_utf8_lossy(&asked.stderr), project.read(views));
    serde_json::from_slice(&asked.stdout).unwrap()
}

#[test]
fn a_run_leaves_views_that_change_with_its_results_alone() {
    let project = project();
    project.ok(&["run", "p.yaml", "--only", "rows"]);
    let first = project.read("results/study/views.sql");
    assert!(first.contains("VIEW \"rows\"") && !first.contains("VIEW \"scores\""), "{first}");
    project.ok(&["run", "p.yaml"]);
    let all = project.read("results/study/views.sql");
    assert!(all.contains("VIEW \"scores\"") && all.contains("VIEW \"scores.sums\"") && !all.contains("folder"));
    assert_eq!(project.ok(&["sql"]).stdout, all.replace(&format!("{}/", project.path().display()), ""));
    let changed = || fs::metadata(project.file("results/study/views.sql")).unwrap().modified().unwrap();
    let before = changed();
    project.ok(&["run", "p.yaml"]);
    project.ok(&["run", "p.yaml", "--force=folder"]);
    assert_eq!(changed(), before);
    // One that is gone is written again, although nothing is to be done.
    fs::remove_file(project.file("results/study/views.sql")).unwrap();
    project.ok(&["run", "p.yaml"]);
    assert_eq!(project.read("results/study/views.sql"), all);
    // The same results are another arm now.
    project.write("p.yaml", &STUDY.replace("replicate:", "matrix:"));
    assert!(project.ran(&[]).is_empty());
    assert_ne!(project.read("results/study/views.sql"), all);
    // A variant that leaves takes its rows along.
    project.write("p.yaml", &STUDY.replace("n: [2], ", ""));
    project.ok(&["run", "p.yaml"]);
    let fewer = project.read("results/study/views.sql");
    assert!(!fewer.contains("'n=2") && fewer.contains("'baseline'"), "{fewer}");
    // Another folder of results has its own.
    project.ok(&["run", "p.yaml", "--results", "elsewhere"]);
    assert_eq!(project.read("elsewhere/study/views.sql"), fewer);
}

#[test]
fn views_are_for_pipelines_that_there_are() {
    let project = project();
    project.write("other.yaml", &STUDY.replace("pipeline: study", "pipeline: memory"));
    project.ok(&["run", "p.yaml"]);
    let outcome = project.pipe(&["sql", "sttudy"]);
    assert_eq!(outcome.code, Some(6), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("did you mean `study`?"), "{}", outcome.stderr);
    project.ok(&["run", "other.yaml"]);
    // `memory` is what DuckDB calls the database itself.
    let both = project.ok(&["sql"]).stdout;
    assert!(both.contains("SCHEMA IF NOT EXISTS \"_memory\"") && both.contains("VIEW \"study\".\"rows\""), "{both}");
    assert!(!project.ok(&["sql", "study"]).stdout.contains("SCHEMA"));
    // A run of an earlier version has not said what its variants are.
    fs::remove_dir_all(project.file(".pipe/v1/runs/variants")).unwrap();
    let outcome = project.ok(&["sql", "study"]);
    assert!(outcome.stderr.contains("arm and factors of 6 variants of `study` are not known"), "{}", outcome.stderr);
    assert!(outcome.stdout.contains("'n=2'") && outcome.stdout.contains("NULL"));
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn duckdb_answers_from_the_views() {
    let project = project();
    project.ok(&["run", "p.yaml"]);
    project.ok(&["run", "p.yaml", "--set", "n=3", "--as", "three", "--variant", "baseline"]);
    let answers = ask(
        &project,
        "results/study/views.sql",
        &[
            "DESCRIBE scores",
            "SELECT variant, arm, draw, n, name, _seed, count(*), round(avg(f1), 6) FROM scores WHERE trial IS NULL \
             GROUP BY ALL ORDER BY ALL",
            "SELECT variant, arm, draw, trial, n, round(avg(f1), 6) FROM scores WHERE trial IS NOT NULL GROUP BY ALL",
            "SELECT count(*), count(DISTINCT variant), count(DISTINCT key) FROM rows",
            "SELECT DISTINCT seed, mean FROM \"scores.sums\" WHERE trial IS NULL ORDER BY ALL",
            "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1",
        ],
    );
    let columns: Vec<&str> = answers[0].as_array().unwrap().iter().map(|c| c[0].as_str().unwrap()).collect();
    // The table has a column `seed` itself: the factor stands beside it.
    assert_eq!(columns, ["variant", "arm", "draw", "trial", "n", "name", "_seed", "key", "id", "task", "seed", "f1"]);
    let (b, quoted) = ("name=it-s--b--", "it's \"b\"\n");
    assert_eq!(
        answers[1],
        json!([
            ["baseline", "baseline", "seed=1", 1, "a", 1, 3, 1.2],
            ["n=2", "n=2", "seed=1", 2, "a", 1, 3, 2.2],
            ["n=2,seed=2", "n=2", "seed=2", 2, "a", 2, 3, 2.2],
            [b, b, "seed=1", 1, quoted, 1, 3, 1.2],
            [format!("{b},seed=2"), b, "seed=2", 1, quoted, 2, 3, 1.2],
            ["seed=2", "baseline", "seed=2", 1, "a", 2, 3, 1.2],
        ])
    );
    assert_eq!(answers[2], json!([["baseline+three", "baseline+three", "seed=1", "three", 3, 3.2]]));
    // One table for all variants, those of the trial among them: every one has its rows.
    assert_eq!(answers[3], json!([[24, 12, 1]]));
    assert_eq!(answers[4], json!([[1, 1], [2, 2]]));
    assert_eq!(answers[5], json!([["rows"], ["scores"], ["scores.sums"]]));
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn duckdb_says_the_mean_f1_by_variant_and_task_in_one_line() {
    let project = TestEnvironment::with(&[(
        "p.yaml",
        "pipeline: p\nvars: { shots: 0 }\nablate: { shots: [1] }\nstages:\n  world: { kind: embedded_world, params: { \
         seeds: 8, exam_items: 12 } }\n  scores:\n    kind: evaluate\n    inputs: { items: world.exam, seeds: \
         world.seeds }\n    params: { model: 'builtin:nano', num_fewshot: '${shots}', max_new_tokens: 8, metrics: \
         [token_f1] }\n",
    )]);
    project.ok(&["run", "p.yaml"]);
    let answers = ask(
        &project,
        "results/p/views.sql",
        &[
            "SELECT variant, task, round(avg(token_f1), 6) FROM scores GROUP BY ALL ORDER BY ALL",
            "SELECT variant, task, round(token_f1, 6) FROM \"scores.tasks\" ORDER BY variant, task",
        ],
    );
    assert!(answers[0].as_array().unwrap().len() > 12);
    assert_eq!(answers[0], answers[1]);
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn duckdb_reads_odd_names_and_unlike_tables() {
    let project = TestEnvironment::new();
    let odd = "it's [odd] * \"dir\" ü?";
    let stage = |shell: &str| {
        format!("{{ kind: command, params: {{ shell: {}, outputs: {{ out: {{ format: jsonl }} }} }} }}", json!(shell))
    };
    let unlike = r#"case ${n} in
        1) echo '{"id": 1, "a": 1, "b": {"x": 1}, "variant": "own", "KEY": 7, "only_1": true, "file": "f"}' ;;
        2) echo '{"id": 2, "a": 1.5, "b": "text", "variant": null}' ;;
        *) echo '{"id": 3, "a": 2, "b": [1], "variant": "x", "_variant": "y"}' ;; esac > "$PIPE_OUTPUT_out""#;
    let pipeline = format!(
        "pipeline: odd\nvars: {{ n: 1, key: 1 }}\nablate: {{ n: [2, 3], key: [0.5] }}\nstages:\n  Stage: {}\n  stage: \
         {}\n  select: {}\n",
        stage(unlike),
        stage(r#"echo '{"key": ${n}, "N": "x"}' > "$PIPE_OUTPUT_out" # ${key}"#),
        stage(r#"seq 1 ${n} | sed 's/.*/{"id": &}/' > "$PIPE_OUTPUT_out""#),
    );
    project.write(&format!("{odd}/p.yaml"), &pipeline);
    fs::create_dir(project.file(&format!("{odd}/.git"))).unwrap();
    project.ok(&["run", &format!("{odd}/p.yaml")]);
    let answers = ask(
        &project,
        &format!("{odd}/results/odd/views.sql"),
        &[
            "SELECT __variant, variant, n, id, a, b, only_1, _variant FROM \"Stage\" WHERE arm != 'key=0.5' ORDER \
             BY id",
            "SELECT count(*), sum(key), sum(_n), count(DISTINCT _key), count(DISTINCT __key) FROM \"_stage\"",
            "SELECT n, count(*) FROM \"select\" GROUP BY ALL ORDER BY ALL",
        ],
    );
    assert_eq!(
        answers[0],
        json!([
            ["baseline", "own", 1, 1, 1.0, "{'x': 1}", true, null],
            ["n=2", null, 2, 2, 1.5, "text", null, null],
            ["n=3", "x", 3, 3, 2.0, "[1]", null, "y"],
        ])
    );
    assert_eq!(answers[1], json!([[4, 7, 7, 2, 4]]));
    assert_eq!(answers[2], json!([[1, 2], [2, 2], [3, 3]]));
}

#[test]
#[ignore = "runs PIPE_TEST_TOOLS"]
fn duckdb_reads_five_hundred_variants() {
    let project = TestEnvironment::with(&[
        ("rows.jsonl", "{\"id\": 1}\n{\"id\": 2}\n"),
        (
            "p.yaml",
            "pipeline: p\nvars: { n: 0, s: 0 }\nmatrix: { n: ${ns}, s: ${ss} }\nstages:\n  rows: { kind: table, \
             params: { path: rows.jsonl } }\n  sampled: { kind: select, inputs: { rows: rows }, params: { steps: [{ \
             set: { x: '${n} + ${s}' } }] } }\n",
        ),
    ]);
    let list = |n: usize| json!((0..n).collect::<Vec<_>>()).to_string();
    project.write("p.yaml", &project.read("p.yaml").replace("${ns}", &list(25)).replace("${ss}", &list(20)));
    project.ok(&["run", "p.yaml", "--quiet"]);
    let answers = ask(
        &project,
        "results/p/views.sql",
        &[
            "SELECT count(*), count(DISTINCT variant), sum(x), sum(n + s) FROM sampled",
            "SELECT count(*), count(DISTINCT key) FROM rows",
        ],
    );
    assert_eq!(answers[0], json!([[1000, 500, 21500, 21500]]));
    assert_eq!(answers[1], json!([[1000, 1]]));
}
