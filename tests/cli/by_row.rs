//! Programs that are given rows one by one (`command` with `rows: each`).

use crate::TestEnvironment;

/// Counts words; writes down which rows it was asked about, and dies at one of them as long as a file is there.
const COUNT: &str = r#"
import json, os, sys
for line in sys.stdin:
    row = json.loads(line)
    with open("asked", "a") as asked:
        asked.write(row["id"] + "\n")
    if row["id"] == "r3" and os.path.exists("broken"):
        print("it broke", file=sys.stderr)
        sys.exit(4)
    words = len(row["text"].split())
    print(json.dumps({"id": row["id"], "words": words, "long": words > 2}), flush=True)
"#;

const PIPELINE: &str = "pipeline: p
stages:
  rows: { kind: table, params: { path: rows.jsonl, id: id } }
  counted:
    kind: command
    inputs: { rows: rows }
    params:
      rows: each
      argv: [python3, count.py]
      sources: [count.py]
      outputs: { counted: { format: jsonl, columns: { words: int, long: bool } } }
      scores: [words, long]
";

const ROWS: &str = r#"{"id": "r1", "text": "one", "size": 10000000000000001, "task": "x"}
{"id": "r2", "text": "one two three", "size": 2, "task": "y"}
{"id": "r3", "text": "one two", "size": 3, "task": "y"}
{"id": "r4", "text": "", "size": null, "task": "x"}
"#;

pub(crate) fn project() -> TestEnvironment {
    TestEnvironment::with(&[("p.yaml", PIPELINE), ("count.py", COUNT), ("rows.jsonl", ROWS)])
}

/// The rows that the program was asked about since this was called last.
pub(crate) fn asked(project: &TestEnvironment) -> Vec<String> {
    let asked = std::fs::read_to_string(project.file("asked")).unwrap_or_default();
    let _ = std::fs::remove_file(project.file("asked"));
    let mut asked: Vec<String> = asked.lines().map(str::to_owned).collect();
    // Programs beside each other ask in any order.
    asked.sort();
    asked
}

#[test]
fn what_a_program_says_of_a_row_stands_beside_it_and_its_scores_in_the_table_of_arms() {
    let project = project();
    let run = project.ok(&["run", "p.yaml"]);
    assert!(run.stdout.contains("words") && run.stdout.contains("1.500"), "{}", run.stdout);
    let head = &project.json(&["show", "counted", "--format", "json"])["head"];
    let expect = serde_json::json!([
        {"id": "r1", "text": "one", "size": 10_000_000_000_000_001_i64, "task": "x", "long": false, "words": 1},
        {"id": "r2", "text": "one two three", "size": 2, "task": "y", "words": 3, "long": true},
        {"id": "r3", "text": "one two", "size": 3, "task": "y", "words": 2, "long": false},
        {"id": "r4", "text": "", "task": "x", "long": false, "words": 0},
    ]);
    assert_eq!(head, &expect);
    let tasks = &project.json(&["show", "counted.tasks", "--format", "json"])["head"];
    assert_eq!((&tasks[1]["task"], &tasks[1]["words"]), (&"y".into(), &2.5.into()));
    let all = &project.json(&["show", "counted.scores", "--format", "json"])["head"][0];
    // The sample's standard deviation of 1, 3, 2, 0 over the root of four.
    let error = (5.0_f64 / 3.0).sqrt() / 2.0;
    assert!((all["words_stderr"].as_f64().unwrap() - error).abs() < 1e-12, "{all}");
    assert_eq!((&all["n"], &all["words_n"], &all["long"]), (&4.into(), &4.into(), &0.25.into()));
    let plan = project.ok(&["plan", "p.yaml"]).stdout;
    assert!(plan.contains("2 done"), "{plan}");
}

#[test]
fn a_table_that_grows_costs_its_new_rows_and_a_change_of_scores_none() {
    let project = project();
    project.ok(&["run", "p.yaml"]);
    assert_eq!(asked(&project), ["r1", "r2", "r3", "r4"]);
    project.write(
        "rows.jsonl",
        &format!("{{\"id\": \"r0\", \"text\": \"new one\", \"size\": 1, \"task\": \"x\"}}\n{ROWS}"),
    );
    assert_eq!(project.ran(&[]), ["counted", "rows"]);
    assert_eq!(asked(&project), ["r0"]);
    project.write("p.yaml", &PIPELINE.replace("[words, long]", "[words]"));
    assert_eq!(project.ran(&[]), ["counted"]);
    project.write("p.yaml", &PIPELINE.replace("rows: each\n", "rows: each\n      processes: 2\n      batch: 1\n"));
    assert_eq!(project.ran(&[]), [""; 0], "how it is run is no part of what it is");
    assert_eq!(asked(&project), [""; 0]);
    project.write("count.py", &COUNT.replace("> 2", "> 1"));
    assert_eq!(project.ran(&[]), ["counted"]);
    assert_eq!(asked(&project), ["r0", "r1", "r2", "r3", "r4"]);
}

#[test]
fn what_was_printed_before_a_failure_is_kept() {
    let project = project();
    project.write("broken", "");
    let failed = project.pipe(&["run", "p.yaml"]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.stderr.contains("it broke") && failed.stderr.contains("exit status: 4"), "{}", failed.stderr);
    assert_eq!(asked(&project), ["r1", "r2", "r3"]);
    std::fs::remove_file(project.file("broken")).unwrap();
    let plan = project.ok(&["plan", "p.yaml"]).stdout;
    assert!(plan.contains("2 of 4"), "{plan}");
    project.ok(&["run", "p.yaml"]);
    assert_eq!(asked(&project), ["r3", "r4"]);
}

/// A stage `c` with a program that is written in Python, over rows with the ids `r1` to `r4`.
fn with_program(program: &str, more: &str) -> TestEnvironment {
    let pipeline = format!(
        "pipeline: p\nstages:\n  rows: {{ kind: table, params: {{ path: rows.jsonl, id: id }} }}\n  c:\n    kind: \
         command\n    inputs: {{ rows: rows }}\n    params:\n      rows: each\n      argv: [python3, p.py]\n      \
         sources: [p.py]\n{more}"
    );
    TestEnvironment::with(&[("p.yaml", &pipeline), ("p.py", program), ("rows.jsonl", ROWS)])
}

#[test]
fn null_drops_a_row_and_a_list_makes_several() {
    let program = "import json, sys\nfor line in sys.stdin:\n    row = json.loads(line)\n    words = \
                   row['text'].split()\n    print(json.dumps([{'text': w} for w in words] if words else None))\n";
    let project = with_program(program, "      outputs: { words: { format: jsonl, columns: { text: string } } }\n");
    project.ok(&["run", "p.yaml"]);
    let shown = project.json(&["show", "c", "-n", "9", "--format", "json"]);
    let cells: Vec<_> = (shown["head"].as_array().unwrap().iter())
        .map(|row| (row["id"].as_str().unwrap(), row["text"].as_str().unwrap(), row["size"].as_i64().unwrap()))
        .collect();
    let big = 10_000_000_000_000_001;
    assert_eq!(
        cells,
        [
            ("r1", "one", big),
            ("r2", "one", 2),
            ("r2", "two", 2),
            ("r2", "three", 2),
            ("r3", "one", 3),
            ("r3", "two", 3)
        ]
    );
    let yields = &project.json(&["show", "c.yield", "--format", "json"])["head"];
    let counts: Vec<_> = yields.as_array().unwrap().iter().map(|row| row["count"].as_i64().unwrap()).collect();
    assert_eq!(counts, [4, 1, 3], "{yields}");
    // A filter declares no column.
    let filter =
        "import json, sys\nfor line in sys.stdin: print('{}' if json.loads(line)['task'] == 'y' else 'null')\n";
    let project = with_program(filter, "      outputs: { kept: { format: jsonl } }\n");
    project.ok(&["run", "p.yaml"]);
    let shown = project.json(&["show", "c", "-n", "9", "--format", "json"]);
    assert_eq!(shown["head"].as_array().unwrap().len(), 2);
    assert_eq!(shown["head"][0]["text"], "one two three");
}

#[test]
fn what_is_no_answer_is_said_with_the_row_and_what_to_do() {
    let check = |say: &str, expect: &[&str]| {
        let program = format!("import json, sys\nrows = [json.loads(line) for line in sys.stdin]\n{say}\n");
        let project = with_program(&program, "      outputs: { kept: { format: jsonl, columns: { x: float } } }\n");
        let failed = project.pipe(&["run", "p.yaml"]);
        assert_eq!(failed.code, Some(1), "{say}");
        for expect in expect {
            assert!(failed.stderr.contains(expect), "{say}: {expect}\n{}", failed.stderr);
        }
    };
    check("print('{}'); print('null')", &["answered 2 of 4 rows", "one line for each row"]);
    check("[print('{}') for r in rows + rows]", &["prints more than its 4 rows", "standard error"]);
    check(
        "print('Loading the model...')",
        &["about the row `r1`", "`Loading the model...`", "no JSON", "standard error"],
    );
    check("print('{}'); print('[1]')", &["line 2", "about the row `r2`", "not all of it are objects"]);
    check("print('{\"score\": 1}')", &["about the row `r1`", "undeclared field `score`", "declare"]);
    check("print('{\"x\": 1}'); print('{\"x\": \"high\"}')", &["about the row `r2`", "column `x`", "high"]);
    check("print('{\"x\": NaN}')", &["no JSON"]);
    check("sys.stdout.write('{}\\n{\"x\": 1')", &["about the row `r2`", "no JSON"]);
    // What a program dies of is said, and not what it was about to say.
    check(
        "sys.stdout.write('{}\\n{\"x\": 1'); sys.stdout.flush(); sys.exit('it is over')",
        &["it is over", "exit status: 1"],
    );
}

/// A line that is missing would have all later rows answered by another's: nothing of such a program may be kept.
#[test]
fn what_may_be_about_other_rows_is_not_kept() {
    let check = |program: &str, expect: &str| {
        let outputs = "      outputs: { kept: { format: jsonl, columns: { x: string } } }\n";
        let project = with_program(&format!("import json, sys\n{program}\n"), outputs);
        // As often as there are rows: each time some more would have been answered.
        for _ in 0..4 {
            let failed = project.pipe(&["run", "p.yaml"]);
            assert_eq!(failed.code, Some(1), "{program}: {}", failed.stdout);
            assert!(failed.stderr.contains(expect), "{program}: {}", failed.stderr);
            assert!(!project.ok(&["plan", "p.yaml"]).stdout.contains("in the memo"), "{program}");
        }
    };
    let each = "for line in sys.stdin:\n    row = json.loads(line)\n    ";
    check(
        &format!("{each}if row['task'] == 'y': print(json.dumps({{'x': row['text']}}), flush=True)"),
        "answered 2 of 4",
    );
    check(&format!("print('{{}}')\n{each}print(json.dumps({{'x': row['text']}}))"), "prints more than its 4 rows");
    check(&format!("{each}print('{{}}')\nsys.exit(3)"), "exit status: 3");
    check(&format!("{each}print('{{}}', flush=True)\n    if row['id'] == 'r2': sys.exit(1)"), "exit status: 1");
    // One that says which row it means is found out at the first that is wrong.
    let echo = "print(json.dumps({'id': row['id']}), flush=True)";
    check(&format!("{each}if row['task'] == 'y': {echo}"), "that is about `r2`");
}

#[test]
fn how_a_program_reads_and_prints_does_not_matter() {
    let row = |i: usize| format!("{{\"id\": \"{i}\", \"text\": \"{}\"}}\n", "long ".repeat(i % 20));
    let rows = (0..20_000).map(row).collect::<Vec<_>>().concat();
    let outputs = "      outputs: { kept: { format: jsonl, columns: { n: int } } }\n";
    let read_all = "import json, sys\nrows = sys.stdin.readlines()\nfor r in rows: print(json.dumps({'n': len(r)}))\n";
    let by_line = "import json, sys\nfor r in sys.stdin: print(json.dumps({'n': len(r)}))\n";
    let digest = |program: &str, more: &str| {
        let project = with_program(program, &format!("{more}{outputs}"));
        project.write("rows.jsonl", &rows);
        project.ok(&["run", "p.yaml"]);
        project.json(&["show", "c", "--format", "json"])["output"]["digest"].as_str().unwrap().to_owned()
    };
    let expect = digest(by_line, "");
    assert_eq!(digest(read_all, ""), expect);
    assert_eq!(digest(by_line, "      processes: 3\n"), expect);
    assert_eq!(digest(read_all, "      processes: 2\n      batch: 1500\n"), expect);
}

#[test]
fn a_timeout_ends_the_program_and_keeps_its_answers() {
    let program = r#"
import json, sys, time
for i, line in enumerate(sys.stdin):
    row = json.loads(line)
    open("asked", "a").write(row["id"] + "\n")
    if i == 2: time.sleep(300)
    print(json.dumps({"id": row["id"]}), flush=True)
"#;
    let project = with_program(program, "      outputs: { kept: { format: jsonl } }\n    timeout: 3s\n");
    let failed = project.pipe(&["run", "p.yaml"]);
    assert_eq!(failed.code, Some(1), "{}", failed.stderr);
    assert_eq!(asked(&project), ["r1", "r2", "r3"]);
    let plan = project.ok(&["plan", "p.yaml"]).stdout;
    assert!(plan.contains("2 of 4"), "{plan}");
}

#[test]
fn parameters_that_do_not_fit_together_are_told_before_a_run() {
    let check = |params: &str, expect: &str| {
        let pipeline = format!(
            "pipeline: p\nstages:\n  rows: {{ kind: table, params: {{ path: rows.jsonl }} }}\n  c:\n    kind: \
             command\n    inputs: {{ rows: rows }}\n    params: {{ argv: [cat], {params} }}\n"
        );
        let outcome = TestEnvironment::with(&[("p.yaml", &pipeline), ("rows.jsonl", ROWS)]).pipe(&["plan", "p.yaml"]);
        assert_eq!(outcome.code, Some(3), "{params}: {}{}", outcome.stdout, outcome.stderr);
        assert!(outcome.stderr.contains(expect), "{params}: {}", outcome.stderr);
    };
    let jsonl = "outputs: { a: { format: jsonl, columns: { x: float, text: string } } }";
    check("rows: each, outputs: { a: { format: csv } }", "answers to rows come as JSON Lines");
    check("rows: each, outputs: { a: { format: jsonl }, b: { format: jsonl } }", "has one output");
    check("rows: each, outputs: { yield: { format: jsonl } }", "`yield` is where kept and dropped rows are counted");
    check(&format!("batch: 4, {jsonl}"), "it is for `rows: each`");
    check(&format!("rows: each, input_format: {{ rows: csv }}, {jsonl}"), "the rows come by standard input, as JSON");
    check(&format!("scores: [y], {jsonl}"), "`y` is not declared as a number");
    check(&format!("scores: [text], {jsonl}"), "`text` is not declared as a number");
    check(&format!("scores: [x, x], {jsonl}"), "`x` is given twice");
    let made = "outputs: { a: { format: jsonl, columns: { x: float, x_low: float } } }";
    check(&format!("scores: [x, x_low], {made}"), "`x_low` is a column that the score `x` makes");
    check("scores: [x], outputs: { scores: { format: jsonl, columns: { x: int } } }", "`scores` is the table that");
}
