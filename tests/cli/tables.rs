//! Tables and programs: names, types and files on the way from one to the other.

use crate::TestEnvironment;

fn problem(pipeline: &str) -> String {
    let outcome = TestEnvironment::with(&[("p.yaml", pipeline), ("a.jsonl", "{\"a\": 1}\n")]).pipe(&["plan", "p.yaml"]);
    assert_eq!(outcome.code, Some(3), "{}{}", outcome.stdout, outcome.stderr);
    outcome.stderr
}

#[test]
fn names_that_are_one_to_a_program_are_refused() {
    let inputs = |inputs: &str| {
        problem(&format!(
            "pipeline: p\nstages:\n  t: {{ kind: table, params: {{ path: a.jsonl }} }}\n  c:\n    kind: \
             command\n    inputs: {{ {inputs} }}\n    params: {{ shell: 'true', outputs: {{ rows: {{ format: files }} \
             }} }}\n"
        ))
    };
    assert!(inputs("a-b: t, a_b: t").contains("the inputs `a-b` and `a_b` are one to a program"));
    assert!(inputs("rows: t, Rows: t").contains("the inputs `rows` and `Rows` are one to a program"));
    assert!(inputs("x-Y: t, z: t, X_y: t").contains("the inputs `x-Y` and `X_y` are one to a program"));
    let params = |params: &str| {
        problem(&format!("pipeline: p\nstages:\n  c: {{ kind: command, params: {{ shell: 'true', {params} }} }}\n"))
    };
    let outputs = "outputs: { rows: { format: csv }, ROWS: { format: files } }";
    assert!(params(outputs).contains("the outputs `rows` and `ROWS` are one where case means nothing"));
    for name in ["PIPE_INPUT_x", "PIPE_OUTPUT_rows", "PIPE_THREADS"] {
        for list in ["env", "pass_env"] {
            let text = params(&format!("{list}: [{name}], outputs: {{ r: {{ format: files }} }}"));
            assert!(text.contains(&format!("`{name}` is set by pipe itself")), "{text}");
        }
    }
}

/// Rows through a program that copies its input.
fn copied(rows: &str, format: &str) -> (TestEnvironment, crate::environment::Outcome) {
    let pipeline = format!(
        "pipeline: p\nstages:\n  t: {{ kind: table, params: {{ path: a.jsonl }} }}\n  c:\n    kind: \
         command\n    inputs: {{ t: t }}\n    params: {{ input_format: {format}, shell: 'cp $PIPE_INPUT_t \
         $PIPE_OUTPUT_rows', outputs: {{ rows: {{ format: {format} }} }} }}\n"
    );
    let project = TestEnvironment::with(&[("p.yaml", &pipeline), ("a.jsonl", rows)]);
    let outcome = project.pipe(&["run", "p.yaml"]);
    (project, outcome)
}

#[test]
fn texts_that_look_like_numbers_come_back_as_they_went() {
    let rows = concat!(
        r#"{"a": "32E0134", "b": "123456789012345678901234567890", "c": "1e999", "#,
        r#""d": "007", "e": "-9223372036854775809"}"#
    );
    for format in ["jsonl", "csv", "parquet"] {
        let (project, outcome) = copied(rows, format);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        let head = |stage: &str| project.json(&["show", stage, "--format", "json"])["head"].clone();
        assert_eq!(head("c"), head("t"), "{format}");
        assert_eq!(head("c")[0], serde_json::from_str::<serde_json::Value>(rows).unwrap());
    }
}

/// A stage that makes a Parquet file with Python's means is not to be had everywhere; CSV with declared types makes
/// floats that are not finite.
#[test]
fn what_json_has_no_word_for_is_refused_and_csv_has_one() {
    let pipeline = |format: &str| {
        format!(
            "pipeline: p\nstages:\n  t: {{ kind: table, params: {{ path: a.csv, schema: {{ x: float }} }} \
             }}\n  c:\n    kind: command\n    inputs: {{ t: t }}\n    params: {{ input_format: {format}, shell: 'cp \
             $PIPE_INPUT_t $PIPE_OUTPUT_rows', outputs: {{ rows: {{ format: {format}, columns: {{ x: float }} }} }} \
             }}\n"
        )
    };
    let text = "n,x\n1,0.5\n2,NaN\n3,inf\n";
    let project = TestEnvironment::with(&[("p.yaml", &pipeline("jsonl")), ("a.csv", text)]);
    let outcome = project.pipe(&["run", "p.yaml"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("column `x` is not finite in row 2"), "{}", outcome.stderr);
    project.write("p.yaml", &pipeline("csv"));
    project.ok(&["run", "p.yaml"]);
    let head = project.json(&["show", "c", "--format", "json"])["head"].clone();
    assert_eq!(head, serde_json::json!([{"n": 1, "x": 0.5}, {"n": 2, "x": "NaN"}, {"n": 3, "x": "inf"}]));
}

#[test]
fn what_interpreters_leave_beside_sources_changes_nothing() {
    let pipeline = "pipeline: p\nstages:\n  c:\n    kind: command\n    params: { argv: [sh, main.sh], sources: \
                    [main.sh, lib, 'more/**'], outputs: { r: { format: jsonl } } }\n";
    // As Python does when it imports a module.
    let script = "mkdir -p lib/sub/__pycache__ more/__pycache__; date +%N > lib/sub/__pycache__/m.cpython-312.pyc\n\
                  date +%N > lib/m.pyc; date +%N > more/__pycache__/x.pyc; mkdir -p lib/.ipynb_checkpoints; date +%N > \
                  lib/.ipynb_checkpoints/n\n\
                  echo '{\"a\": 1}' > $PIPE_OUTPUT_r\n";
    let project = TestEnvironment::with(&[
        ("p.yaml", pipeline),
        ("main.sh", script),
        ("lib/sub/m.py", "1"),
        ("more/deep/x.py", "1"),
    ]);
    assert_eq!(project.ran(&[]), ["c"]);
    assert_eq!(project.ran(&[]), [""; 0]);
    project.write("more/deep/x.py", "2");
    assert_eq!(project.ran(&[]), ["c"], "`**` is all below");
    assert_eq!(project.ran(&[]), [""; 0]);
    project.write("lib/sub/m.py", "2");
    assert_eq!(project.ran(&[]), ["c"]);
}

#[test]
fn files_with_the_characters_of_patterns_in_their_names_are_found() {
    let pipeline = "pipeline: p\nstages:\n  one: { kind: table, params: { path: 'data[1].jsonl' } }\n  star: { kind: \
                    table, params: { path: 'a*b?.csv.GZ', format: csv } }\n  all: { kind: table, params: { path: \
                    'many/**', format: jsonl } }\n";
    let project = TestEnvironment::with(&[
        ("p.yaml", pipeline),
        ("data[1].jsonl", "{\"a\": 1}\n"),
        ("data1.jsonl", "{\"a\": 2}\n{\"a\": 3}\n"),
        ("a*b?.csv.GZ", "no gzip, whatever it is called\n"),
        ("many/x.jsonl", "{\"a\": 1}\n"),
        ("many/deep/y.jsonl", "{\"a\": 2}\n"),
    ]);
    // A name that promises gzip and does not keep it.
    assert!(project.pipe(&["run", "p.yaml", "--keep-going"]).stderr.contains("failed to read a*b?.csv.GZ"));
    for (stage, rows) in [("one", "1 row,"), ("all", "2 rows,")] {
        let shown = project.ok(&["show", stage]).stdout;
        assert!(shown.contains(rows), "{stage}: {shown}");
    }
    project.write("data[1].jsonl", "{\"a\": 7}\n");
    let plan = project.pipe(&["plan", "p.yaml", "--all", "--format", "json"]).stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["nodes"][0]["action"], "run");
}

#[test]
fn numbers_on_a_command_line_are_texts() {
    let pipeline = "pipeline: p\nvars: { lr: 0.001, n: 3 }\nstages:\n  c:\n    kind: command\n    params: { argv: [sh, \
                    args.sh, '--lr', '${lr}', 5, '${n}'], sources: [args.sh], outputs: { r: { format: jsonl } } }\n";
    let script = "printf '{\"args\": \"%s\"}\\n' \"$*\" > $PIPE_OUTPUT_r";
    let project = TestEnvironment::with(&[("p.yaml", pipeline), ("args.sh", script)]);
    project.ok(&["run", "p.yaml"]);
    assert_eq!(project.json(&["show", "c", "--format", "json"])["head"][0]["args"], "--lr 0.001 5 3");
    assert!(
        problem(
            "pipeline: p\nstages:\n  c: { kind: command, params: { argv: [x, [1]], outputs: { r: { format: csv \
                     } } } }\n"
        )
        .contains("argv")
    );
}

#[test]
fn advice_for_programs_names_their_parameter() {
    let pipeline = "pipeline: p\nstages:\n  c: { kind: command, params: { shell: ': > $PIPE_OUTPUT_r', outputs: { r: { \
                    format: jsonl } } } }\n";
    let outcome = TestEnvironment::with(&[("p.yaml", pipeline)]).pipe(&["run", "p.yaml"]);
    assert!(outcome.stderr.contains("declare them, for example `columns: { text: string }`"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("schema"), "{}", outcome.stderr);
}
