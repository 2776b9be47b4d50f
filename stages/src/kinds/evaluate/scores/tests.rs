use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::Float64Type,
};
use serde_json::json;

use super::*;

fn row(task: Option<&str>, references: &[&str], labels: &[&str]) -> Row {
    let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Row { task: task.map(Into::into), references: texts(references), labels: texts(labels), ..Row::default() }
}

fn params(value: serde_json::Value) -> EvaluateParams {
    serde_json::from_value(value).unwrap()
}

fn cells(table: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    let column = table.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    column.as_primitive::<Float64Type>().iter().collect()
}

/// Figures of SQuAD 1.1's evaluate script and of rouge_score 0.1.2 in Python, and means and standard errors by hand.
#[test]
fn scores_per_task_and_over_all() {
    let rows = [
        row(Some("b"), &["Summary states sweat test."], &[]),
        row(Some("a"), &["heparin, aspirin"], &[]),
        row(Some("a"), &["the liver", "left kidney"], &[]),
    ];
    let predictions = ["The sweat test", "aspirin", "kidney"].map(Some);
    let params = params(json!({ "metrics": ["token_f1", "rouge_l", "exact_match", "token_f1_any_piece", "contains"] }));
    let scored = Scored::new(&params, &rows, &predictions).unwrap();
    let of = |metric: usize| scored.metrics[metric].1.iter().map(|score| score.unwrap()).collect::<Vec<f64>>();
    let close = |found: &[f64], expect: &[f64]| {
        assert!(found.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {expect:?}");
    };
    close(&of(0), &[2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0]);
    close(&of(1), &[4.0 / 7.0, 2.0 / 3.0, 2.0 / 3.0]);
    close(&of(2), &[0.0, 0.0, 0.0]);
    close(&of(3), &[2.0 / 3.0, 1.0, 2.0 / 3.0]);
    close(&of(4), &[1.0, 1.0, 1.0]);

    let table = scored.summary(&params, &rows).unwrap();
    let table = table.table();
    let tasks: Vec<_> = table.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(tasks, ["a", "b", "all"]);
    let all = |column: &str| cells(table, column)[2].unwrap();
    let (x, y): (f64, f64) = (4.0 / 7.0, 2.0 / 3.0);
    let mean = (x + 2.0 * y) / 3.0;
    let degrees_of_freedom = 2.0;
    let variance = ((x - mean).powi(2) + 2.0 * (y - mean).powi(2)) / degrees_of_freedom;
    close(&[all("rouge_l"), all("rouge_l_stderr")], &[mean, (variance / 3.0).sqrt()]);
    assert!(x <= all("rouge_l_low") && all("rouge_l_low") < mean && mean < all("rouge_l_high"));
    assert_eq!(cells(table, "rouge_l_stderr")[1], Some(0.0), "a single item");
    assert!(table.column_by_name("accuracy").is_none(), "no item has labels");
    let signature = table.column_by_name("signature").unwrap().as_string::<i32>().value(0).to_owned();
    assert!(signature.starts_with("token_f1|norm:squad1.1|"), "{signature}");
    assert!(signature.ends_with("interval:percentile bootstrap over items,0.95,b=2000,seed=0"), "{signature}");
}

#[test]
fn accuracy_is_over_the_items_with_labels() {
    let yes_no = ["yes", "no", "maybe"];
    let rows = [
        row(Some("judge"), &["yes"], &yes_no),
        row(Some("judge"), &["no"], &yes_no),
        row(Some("judge"), &["maybe"], &yes_no),
        row(Some("free"), &["liver"], &[]),
    ];
    let params = params(json!({}));
    let scored = Scored::new(&params, &rows, &["Yes, it does.", "yes", "I cannot tell", "liver"].map(Some)).unwrap();
    let (labels, correct) = scored.labels.as_ref().unwrap();
    assert_eq!(labels, &[Some("yes".into()), Some("yes".into()), None, None]);
    assert_eq!(correct, &[Some(1.0), Some(0.0), Some(0.0), None]);
    let table = scored.summary(&params, &rows).unwrap();
    let table = table.table();
    assert_eq!(cells(table, "accuracy"), [None, Some(1.0 / 3.0), Some(1.0 / 3.0)]);
    let counts = table.column_by_name("accuracy_n").unwrap().as_primitive::<arrow::datatypes::Int64Type>().clone();
    assert_eq!(counts.values(), &[0, 3, 3]);
    assert!(table.schema().field_with_name("accuracy").unwrap().is_nullable());
    assert_eq!(table.column_by_name("token_f1").unwrap().null_count(), 0);
}

#[test]
fn the_interval_is_that_of_the_seed() {
    let rows: Vec<Row> = (0..40).map(|i| row(None, &[if i % 3 == 0 { "x" } else { "y" }], &[])).collect();
    let predictions = [Some("x"); 40];
    let low = |seed: u64| {
        let params = params(json!({ "bootstrap": { "seed": seed, "resamples": 200 } }));
        let summary = Scored::new(&params, &rows, &predictions).unwrap().summary(&params, &rows).unwrap();
        cells(summary.table(), "exact_match_low")
    };
    assert_eq!(low(1), low(1));
    assert_eq!(low(1).len(), 1, "without tasks there is one row");
    assert!((2..20).any(|seed| low(seed) != low(1)));
}

#[test]
fn labels_that_punctuation_alone_tells_apart_are_told_apart() {
    let right = |labels: &[&str], gold: &str, answer: &str| {
        let rows = [row(None, &[gold], labels)];
        let scored = Scored::new(&params(json!({ "metrics": ["exact_match"] })), &rows, &[Some(answer)]).unwrap();
        scored.labels.unwrap().1[0].unwrap()
    };
    let languages = ["C", "C++", "C#"];
    assert_eq!((right(&languages, "C++", "C#"), right(&languages, "C++", "It is C++.")), (0.0, 1.0));
    assert_eq!((right(&["<5%", ">5%"], "<5%", ">5%"), right(&["<5%", ">5%"], "<5%", "<5%")), (0.0, 1.0));
    assert_eq!((right(&["1", "-1"], "1", "-1"), right(&["15", "1.5"], "1.5", "15")), (0.0, 0.0));
    assert_eq!((right(&["A", "B"], "A", "(A) because of B"), right(&["yes", "no"], "yes", "Yes.")), (1.0, 1.0));
}

#[test]
fn no_answer_scores_nothing_and_no_reference_is_not_counted() {
    let rows = [
        row(Some("a"), &["the"], &[]),
        row(Some("a"), &["liver"], &[]),
        row(Some("a"), &[], &[]),
        row(Some("b"), &["yes"], &["yes", "no"]),
        row(Some("c"), &[], &["yes", "no"]),
    ];
    let params = params(json!({ "metrics": ["exact_match", "rouge_l"] }));
    // Without its article nothing is left of the first reference, and nothing would equal it.
    let scored = Scored::new(&params, &rows, &[None, Some("liver"), Some("kidney"), None, Some("yes")]).unwrap();
    assert_eq!(scored.metrics[0].1, [Some(0.0), Some(1.0), None, Some(0.0), None]);
    assert_eq!(scored.labels.as_ref().unwrap().1, [None, None, None, Some(0.0), None]);
    let table = scored.summary(&params, &rows).unwrap();
    let table = table.table();
    let tasks: Vec<_> = table.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(tasks, ["a", "b", "all"]);
    let counts = table.column_by_name("n").unwrap().as_primitive::<arrow::datatypes::Int64Type>().clone();
    assert_eq!(counts.values(), &[2, 1, 3]);
    assert_eq!(cells(table, "exact_match"), [Some(0.5), Some(0.0), Some(1.0 / 3.0)]);
}
