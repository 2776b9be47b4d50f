//! What is said of tables, by how their rows are used.

use pipe_testing::Lab;
use serde_json::json;

use super::{Report, Role, check};

/// A seed, an exam of other questions, documents.
fn lab() -> Lab {
    let lab = Lab::with(crate::registry());
    let seed = "What is the rate of the bond in May?";
    lab.jsonl("seeds.jsonl", [json!({ "instruction": seed, "output": "Three percent." })]);
    lab.jsonl("exam.jsonl", [json!({ "instruction": "Who signs the report?", "output": "The treasurer." })]);
    lab.jsonl("texts.jsonl", [json!({ "text": "A loan is paid back over ten years, in equal parts." })]);
    lab
}

const TABLES: &str = "  pool: { kind: table, params: { path: seeds.jsonl } }\n  items: { kind: table, params: { path: \
                      exam.jsonl } }\n  corpus: { kind: table, params: { path: texts.jsonl } }\n";

fn report(head: &str, stages: &str) -> Report {
    check(&lab().pipeline(&format!("pipeline: p\n{head}stages:\n{TABLES}{stages}")))
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn equal_tables_are_read_with_what_all_their_uses_want() {
    // Only the last of them says that answers are wanted.
    for uses in [
        "  g: { kind: generate, inputs: { seeds: pool, exclude: same }, params: { count: 1, model: builtin:nano } }\n",
        "  g: { kind: retrieve, inputs: { queries: same, corpus: corpus } }\n",
    ] {
        let same = "  same: { kind: table, params: { path: exam.jsonl } }\n";
        let scores = "  s: { kind: evaluate, inputs: { items: items }, params: { model: builtin:nano } }\n";
        for stages in [format!("{same}{uses}{scores}"), format!("{scores}{same}{uses}")] {
            let report = report("", &stages);
            assert_eq!(codes(&report), [""; 0], "{stages}");
            assert_eq!(report.tables.len(), 3, "it is one table");
        }
    }
}

#[test]
fn rows_that_a_stage_measures_on_or_leaves_out_are_neither_seeds_nor_exam() {
    let report = report(
        "",
        "  t: { kind: train, inputs: { examples: pool, evaluation: items }, params: { model: builtin:nano } }\n  \
         g: { kind: generate, inputs: { seeds: pool, exclude: pool }, params: { count: 1, model: builtin:nano } }\n  \
         s: { kind: evaluate, inputs: { items: items }, params: { model: builtin:nano } }\n",
    );
    assert_eq!(codes(&report), [""; 0]);
    let roles: Vec<_> = report.tables.iter().map(|table| (table.stage.as_str(), &*table.roles)).collect();
    assert_eq!(roles, [("pool", &[Role::Seeds][..]), ("items", &[Role::Exam]), ("corpus", &[])]);
}

#[test]
fn rows_that_are_made_of_tables_are_said_to_be_unlooked() {
    let unlooked = |stages: &str| {
        let exam = "  s: { kind: evaluate, inputs: { items: made }, params: { model: builtin:nano } }\n";
        report("", &format!("{stages}{exam}")).unlooked
    };
    let made = [("made".to_owned(), Role::Exam)];
    let select = "  made: { kind: select, inputs: { rows: items }, params: { steps: [{ limit: 1 }] } }\n";
    assert_eq!(unlooked(select), made);
    let (first, second) = (select.replace("made:", "before:"), select.replace("rows: items", "rows: before"));
    let twice = format!("{first}{second}");
    assert_eq!(unlooked(&twice), made, "the last of them");
    for columns in ["", ", columns: { instruction: string }"] {
        let command = format!(
            "  made: {{ kind: command, inputs: {{ t: items }}, params: {{ shell: 'true', outputs: {{ rows: {{ format: \
             jsonl{columns} }} }} }} }}\n"
        );
        assert_eq!(unlooked(&command), made, "{columns}");
    }
    let passed = "  made: { kind: retrieve, inputs: { queries: items, corpus: corpus } }\n";
    assert_eq!(unlooked(passed), []);
    let instructions = "  i: { kind: generate, inputs: { seeds: pool }, params: { count: 1, model: builtin:nano } }\n";
    let responses =
        "  made: { kind: respond, inputs: { instructions: i, seeds: pool }, params: { model: builtin:nano } }\n";
    assert_eq!(unlooked(&format!("{instructions}{responses}")), [], "models wrote it");
}

#[test]
fn columns_of_every_variant_are_told() {
    let told = |head: &str| -> Vec<String> {
        let stages = "  r: { kind: retrieve, inputs: { queries: items, corpus: corpus }, params: { query_template: \
                      \"${query}\" } }\n";
        let said = report(head, stages).findings.into_iter();
        said.map(|finding| finding.message.split(", which").next().unwrap().to_owned()).collect()
    };
    let lacks = |column: &str| format!("`items` has no column `{column}`");
    assert_eq!(told("vars: { query: '{{ output }}' }\n"), [""; 0]);
    assert_eq!(told("vars: { query: '{{ a }}' }\n"), [lacks("a")]);
    let mut all =
        told("vars: { query: '{{ a }}' }\nablate: { query: ['{{ b }}', '{{ output }}', '{{ c }} {{ a }}'] }\n");
    all.sort();
    assert_eq!(all, [lacks("a"), lacks("b"), lacks("c")]);
}
