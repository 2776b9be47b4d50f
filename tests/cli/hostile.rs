//! Data and programs that print what a terminal would obey, and addresses with credentials: shown spelt out, and
//! without.

use crate::TestEnvironment;

/// Clears the screen, sets the title, as one character of eight bits, turns the text around.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}";

fn is_clean(text: &str) -> bool {
    !text.contains(|c: char| (c.is_control() && !"\n\t".contains(c)) || c == '\u{202e}')
}

/// A table whose columns and cells are hostile, and a program that prints such a thing and fails.
fn project() -> TestEnvironment {
    let row = serde_json::json!({ HOSTILE: HOSTILE, "n": 1 });
    let pipeline = "pipeline: p
stages:
  rows: { kind: table, params: { path: rows.jsonl } }
  prints:
    kind: command
    inputs: { rows: rows }
    params: { argv: [sh, print.sh], sources: [print.sh], outputs: { files: { format: files } } }
  fails:
    kind: command
    inputs: { files: prints }
    params: { shell: 'cat hostile >&2; exit 1', outputs: { rows: { format: jsonl } } }
";
    TestEnvironment::with(&[
        ("p.yaml", pipeline),
        ("rows.jsonl", &row.to_string()),
        ("hostile", HOSTILE),
        ("print.sh", "cat hostile; cp hostile \"$PIPE_OUTPUT_files/$(cat hostile | tr -d /)\""),
    ])
}

#[test]
fn nothing_that_a_terminal_obeys_is_printed() {
    let project = project();
    let run = project.pipe(&["run", "p.yaml", "--keep-going"]);
    assert_eq!(run.code, Some(1));
    assert!(
        is_clean(&run.stderr) && run.stderr.contains("\\x1b[2J\\x1b]0;owned\\x07\\u{9b}31m\\u{202e}"),
        "{}",
        run.stderr
    );
    for arguments in [
        &["show", "rows"][..],
        &["show", "rows", "--no-stats"],
        &["show", "rows", "--format", "json"],
        &["show", "prints"],
        &["show", "prints", "--format", "json"],
        &["logs"],
        &["logs", "prints"],
        &["ls", "--runs", "--format", "json"],
        &["why", "p.yaml", "rows"],
    ] {
        let outcome = project.pipe(arguments);
        assert!(is_clean(&outcome.stdout) && is_clean(&outcome.stderr), "{arguments:?}: {}", outcome.stdout);
    }
    let shown = project.ok(&["show", "rows", "--color", "always"]).stdout;
    assert!(shown.contains("\u{1b}[") && !shown.contains("\u{1b}[2J"), "our own colours work: {shown}");
    assert!(project.ok(&["show", "prints"]).stdout.contains("\\x1b[2J"));
    assert_eq!(project.json(&["show", "rows", "--format", "json"])["head"][0][HOSTILE], HOSTILE);
}

#[test]
fn hostile_names_in_a_pipeline_are_spelt_out() {
    let pipeline = "pipeline: p\nstages:\n  a: { kind: \"\\e[2J\\x9b31m\", params: {} }\n";
    let outcome = TestEnvironment::with(&[("p.yaml", pipeline)]).pipe(&["plan", "p.yaml"]);
    assert_eq!(outcome.code, Some(3));
    assert!(is_clean(&outcome.stderr) && outcome.stderr.contains("there is no kind ` [2J 31m`"), "{}", outcome.stderr);
}

#[test]
fn errors_of_tables_are_spelt_out() {
    for (name, text) in [
        ("a.jsonl", format!("{{\"id\": {}}}\n", serde_json::json!(HOSTILE)).repeat(2)),
        ("a.csv", format!("a\n\"x\" {HOSTILE}\n")),
    ] {
        let pipeline = format!("pipeline: p\nstages: {{ t: {{ kind: table, params: {{ path: {name}, id: id }} }} }}\n");
        let outcome = TestEnvironment::with(&[("p.yaml", &pipeline), (name, &text)]).pipe(&["run", "p.yaml"]);
        assert_eq!(outcome.code, Some(1));
        assert!(is_clean(&outcome.stderr), "{}", outcome.stderr);
    }
}

#[test]
fn credentials_in_addresses_are_kept_nowhere() {
    const SECRET: &str = "hunter2";
    let pipelines = [
        "pipeline: p\nstages: { t: { kind: table, params: { path: 'https://me:hunter2@host/a.csv' } } }\n",
        "pipeline: p\nstages: { t: { kind: table, params: { path: ['a.csv', 's3://key:hunter2@bucket/a.csv'] } } }\n",
        "pipeline: p\nvars: { url: 'https://host/a.jsonl?token=hunter2' }\nstages: { t: { kind: table, params: { path: \
         '${url}' } } }\n",
        "pipeline: p\nstages: { t: { kind: command, params: { shell: 'curl https://me:hunter2@host > $PIPE_OUTPUT_r', \
         outputs: { r: { format: csv } } } } }\n",
        "pipeline: p\nstages: { t: { kind: command, params: { argv: [curl, 'ftp://me:hunter2@host'], outputs: { r: { \
         format: csv } } } } }\n",
    ];
    for pipeline in pipelines {
        let project = TestEnvironment::with(&[("p.yaml", pipeline), ("a.csv", "a\n1\n")]);
        for arguments in [&["plan", "p.yaml"][..], &["run", "p.yaml"]] {
            let outcome = project.pipe(arguments);
            assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
            assert!(!outcome.stderr.contains(SECRET) && !outcome.stdout.contains(SECRET), "{}", outcome.stderr);
            assert!(outcome.stderr.contains("***"), "{}", outcome.stderr);
        }
        let grep =
            std::process::Command::new("grep").args(["-r", SECRET, ".pipe"]).current_dir(project.path()).output();
        assert!(grep.unwrap().stdout.is_empty(), "the store has it");
    }
}
