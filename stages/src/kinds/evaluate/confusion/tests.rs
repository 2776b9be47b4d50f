use pipe_engine::events::EventKind;
use pipe_testing::Lab;
use serde_json::{Value, json};

fn lab() -> Lab {
    let lab = Lab::with(crate::registry());
    let row = |i: usize, task: Option<&str>, right: &str, said: &str| {
        let labels = ["yes", "no", "maybe"];
        json!({ "id": i, "task": task, "output": right, "said": said, "labels": labels })
    };
    lab.jsonl(
        "said.jsonl",
        [
            row(0, Some("a"), "yes", "I say no. So: yes"),
            row(1, Some("a"), "yes", "Answer: no"),
            row(2, Some("b"), "no", "Answer: no"),
            row(3, None, "no", "I do not know"),
        ],
    );
    lab
}

fn of(rows: &[Value], column: &str) -> Vec<Value> {
    rows.iter().map(|row| row[column].clone()).collect()
}

#[test]
fn pairs_of_labels_are_counted_over_all_and_by_task() {
    let lab = lab();
    let ran = lab.run_stages(
        "  t: { kind: table, params: { path: said.jsonl } }
  e: { kind: evaluate, inputs: { items: t }, params: { predictions: said, metrics: [exact_match], confusion: true } }
",
    );
    assert_eq!(ran.failures(), [""; 0]);
    let cells: Vec<Value> = lab.rows("e.confusion").into_iter().filter(|row| row["task"].is_null()).collect();
    let cell = |i: usize| (cells[i]["right"].clone(), cells[i]["given"].clone(), cells[i]["n"].clone());
    assert_eq!(cells.len(), 3);
    assert_eq!(cell(0), (json!("no"), json!(null), json!(1)));
    assert_eq!(cell(1), (json!("no"), json!("no"), json!(1)));
    // `no` is the first label named in both answers whose right one is `yes`.
    assert_eq!(cell(2), (json!("yes"), json!("no"), json!(2)));
    let labels = lab.rows("e.labels");
    assert_eq!(
        of(&labels[..5], "average"),
        [json!(null), json!(null), json!("micro"), json!("macro"), json!("weighted")]
    );
    assert_eq!(labels[0]["precision"], 1.0 / 3.0, "{}", labels[0]);
    assert_eq!((&labels[0]["recall"], &labels[0]["f1"], &labels[3]["f1"]), (&json!(0.5), &json!(0.4), &json!(0.2)));
    let arms = ran.pick(|e| if let EventKind::Arms { arms } = e { Some(arms.clone()) } else { None }).concat();
    let arm = &arms[0];
    let score = |name: &str| arm.scores.iter().find(|score| score.name == name).and_then(|score| score.value);
    assert_eq!((score("macro_f1"), score("micro_f1")), (Some(0.2), Some(2.0 / 7.0)));
}

#[test]
fn what_is_extracted_is_scored_and_no_model_is_asked_again() {
    let lab = lab();
    let stages = |extract: &str| {
        format!(
            "  t: {{ kind: table, params: {{ path: said.jsonl }} }}
  given:
    kind: evaluate
    inputs: {{ items: t }}
    params: {{ predictions: said, metrics: [exact_match]{extract} }}
  world: {{ kind: embedded_world, params: {{ seeds: 4, exam_items: 6 }} }}
  asked:
    kind: evaluate
    inputs: {{ items: world.exam }}
    params: {{ model: 'builtin:nano', max_new_tokens: 8, metrics: [exact_match]{extract} }}
"
        )
    };
    assert_eq!(lab.run_stages(&stages("")).failures(), [""; 0]);
    let ran = lab.run_stages(&stages(r", extract: '(?:Answer|So): (\w+)', extract_match: last"));
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!((ran.stats("asked").rows_computed, ran.stats("asked").rows_reused), (0, 6));
    let rows = lab.rows("given");
    assert_eq!(of(&rows, "extracted"), [json!("yes"), json!("no"), json!("no"), json!(null)]);
    assert_eq!(of(&rows, "exact_match"), [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(of(&rows, "label"), [json!("yes"), json!("no"), json!("no"), json!(null)]);
    assert_eq!(rows[0]["prediction"], "I say no. So: yes", "the answer stays");
    let yields = lab.yields("given");
    assert!(
        yields.contains(&("unmatched".to_owned(), 1)) && yields.contains(&("answered".to_owned(), 3)),
        "{yields:?}"
    );
    let signature = lab.rows("given.scores")[0]["signature"].as_str().unwrap().to_owned();
    assert!(signature.contains(r"|extract:last /(?:Answer¦So): (\w+)/; "), "{signature}");
}

#[test]
fn what_cannot_be_extracted_or_told_apart_is_said_before_the_run_or_by_it() {
    let lab = lab();
    let stages = |params: &str| {
        format!(
            "  t: {{ kind: table, params: {{ path: said.jsonl, columns: [id, output, said] }} }}
  e: {{ kind: evaluate, inputs: {{ items: t }}, params: {{ predictions: said, {params} }} }}
"
        )
    };
    assert!(lab.problems(&stages("extract: '(a'")).contains("it is no regular expression: unclosed group"));
    assert!(lab.problems(&stages("extract_match: last")).contains("there is no `extract`"));
    assert!(lab.run_stages(&stages("confusion: true")).failure().contains("no item has `labels`"));
}
