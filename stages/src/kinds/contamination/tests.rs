use pipe_testing::Lab;
use serde_json::{Value, json};

const LONG: &str = "which of the two bells in the tower of the old town is rung at noon on the first day of the year";

fn lab() -> Lab {
    let lab = Lab::with(crate::registry());
    let asked = |id: &str, question: &str| json!({ "id": id, "instruction": question });
    lab.jsonl(
        "exam.jsonl",
        [
            asked("whole", "Who rings the bell of the tower at noon?"),
            asked("runs", &format!("Say {LONG}, and why.")),
            asked("near", "Who signs the report of the harbour?"),
            asked("clean", "What do the ships of the guild carry in winter?"),
            asked("short", "Who?"),
        ],
    );
    lab.jsonl(
        "training.jsonl",
        [
            json!({ "id": "t1", "instruction": "Who signs the yearly report of the harbour?", "output": "I." }),
            json!({ "id": "t2", "instruction": "Ask me.", "output": format!("I ask {LONG}.") }),
        ],
    );
    lab.jsonl(
        "documents.jsonl",
        [json!({ "id": "d1", "text": "Many ask: WHO rings the bell of the tower, at noon? Who? The sexton." })],
    );
    lab
}

const STAGES: &str = "  exam: { kind: table, params: { path: exam.jsonl } }
  training: { kind: table, params: { path: training.jsonl } }
  documents: { kind: table, params: { path: documents.jsonl } }
";

#[test]
fn every_item_is_told_where_it_stands_and_how() {
    let lab = lab();
    let stage = "  c: { kind: contamination, inputs: { exam: exam, training: training, documents: documents } }\n";
    let ran = lab.run_stages(&format!("{STAGES}{stage}"));
    assert_eq!(ran.failures(), [""; 0]);
    let items: Vec<Value> = lab.rows("c");
    let of = |column: &str| items.iter().map(|row| row[column].clone()).collect::<Vec<_>>();
    assert_eq!(of("verdict"), ["exact", "ngrams", "near", "clean", "clean"]);
    assert_eq!(of("found_in"), [json!("d1"), json!("t2"), json!("t1"), json!(null), json!(null)]);
    assert_eq!(of("source")[..3], ["documents", "training", "training"]);
    let share = items[1]["share"].as_f64().unwrap();
    // 23 words of the 26 stand there: 11 of 14 runs of 13 words.
    let words = LONG.split(' ').count();
    assert!((share - (words - 12) as f64 / (words + 3 - 12) as f64).abs() < 1e-12, "{share}");
    let summary = lab.rows("c.summary");
    let count = |source: Option<&str>, verdict: &str| {
        summary.iter().find(|row| row["source"].as_str() == source && row["verdict"] == verdict).unwrap()["items"]
            .clone()
    };
    assert_eq!([count(Some("documents"), "exact"), count(Some("training"), "exact"), count(None, "clean")], [1, 0, 2]);
    assert!(ran.warnings().join("\n").contains("3 of 5 items of the exam stand in what the model is given"));
    let matches = lab.rows("c.matches");
    assert_eq!(matches.len(), 3);
    assert!(matches[0]["text"].as_str().unwrap().starts_with("Many ask"));
}

#[test]
fn thresholds_say_how_much_is_too_much() {
    let lab = lab();
    let stage = "  c:
    kind: contamination
    inputs: { exam: exam, training: training, documents: documents }
    params: { ngram: 5, min_share: 0.9, min_words: 1, training_columns: [output] }
";
    assert_eq!(lab.run_stages(&format!("{STAGES}{stage}")).failures(), [""; 0]);
    let verdicts: Vec<Value> = lab.rows("c").iter().map(|row| row["verdict"].clone()).collect();
    // Four fifths of the runs of five words are less than asked for; a single word stands in the document.
    assert_eq!(verdicts, ["exact", "clean", "near", "clean", "exact"]);
}

#[test]
fn something_to_look_through_must_be_connected() {
    let lab = lab();
    let failure =
        lab.run_stages(&format!("{STAGES}  c: {{ kind: contamination, inputs: {{ exam: exam }} }}\n")).failure();
    assert!(failure.contains("neither `training` nor `documents` is connected"), "{failure}");
    let stage = "  c: { kind: contamination, inputs: { exam: documents, training: training } }\n";
    assert!(lab.run_stages(&format!("{STAGES}{stage}")).failure().contains("`instruction`"));
}

#[test]
fn columns_that_are_named_and_not_there_are_told() {
    let lab = lab();
    let told = |params: &str| {
        let stage = format!(
            "  c: {{ kind: contamination, inputs: {{ exam: exam, training: training }}, params: {{ {params} }} }}\n"
        );
        let ran = lab.run_stages(&format!("{STAGES}{stage}"));
        assert_eq!(ran.failures(), [""; 0]);
        ran.warnings().join("\n")
    };
    let said = told("training_columns: [instruction, answer]");
    assert!(said.contains("`training` has no column `answer`, which `training_columns` names"), "{said}");
    assert!(told("exam_columns: [instruction, context]").contains("`exam` has no column `context`"));
    let usual = told("exam_columns: [instruction], training_columns: [output]");
    assert!(!usual.contains("has no column"), "the usual ones may be missing: {usual}");
}
