use pipe_testing::Lab;
use serde_json::{Value, json};

fn lab() -> Lab {
    let lab = Lab::with(crate::registry());
    let passage = |id: &str, score: f64| json!({ "id": id, "text": "x", "score": score });
    let row = |id: usize, task: &str, passages: Vec<Value>| json!({ "id": id, "task": task, "passages": passages });
    lab.jsonl(
        "found.jsonl",
        [
            // Equal scores: trec_eval takes b first.
            row(1, "t", vec![passage("a", 2.0), passage("b", 2.0), passage("c", 1.0)]),
            row(2, "t", vec![]),
            row(3, "u", vec![passage("a#0", 3.0), passage("a#1", 2.0)]),
        ],
    );
    let judged = |query: usize, id: &str, relevance: i64| {
        let query = query.to_string();
        json!({ "query_id": query, "document_id": id, "relevance": relevance })
    };
    lab.jsonl("qrels.jsonl", [judged(1, "a", 1), judged(1, "b", 0), judged(2, "a", 2), judged(9, "c", 1)]);
    lab
}

const TABLES: &str = "  found: { kind: table, params: { path: found.jsonl } }
  qrels: { kind: table, params: { path: qrels.jsonl } }
";

fn stage(params: &str) -> String {
    format!(
        "{TABLES}  e:
    kind: evaluate_retrieval
    inputs: {{ rankings: found, judgements: qrels }}
    params: {{ {params} }}
"
    )
}

#[test]
fn queries_are_scored_by_task_and_over_all_and_compared() {
    let lab = lab();
    let stages = stage("metrics: [mrr, 'recall@2', map]");
    let more = "  given: { like: e, params: { ties: given } }
  c: { kind: compare, inputs: { trec: e, given: given, exact: e.scores }, params: { metrics: [mrr] } }
";
    let ran = lab.run_stages(&(stages + more));
    assert_eq!(ran.failures(), [""; 0]);
    let rows = lab.rows("e");
    let of = |column: &str| rows.iter().map(|row| row[column].clone()).collect::<Vec<_>>();
    assert_eq!(of("mrr"), [json!(0.5), json!(0.0), json!(null)]);
    assert_eq!(of("recall_at_2"), [json!(1.0), json!(0.0), json!(null)]);
    assert_eq!(of("retrieved"), [3, 0, 2]);
    assert_eq!(of("relevant_retrieved"), [json!(1), json!(0), json!(null)]);
    assert_eq!(lab.rows("given")[0]["mrr"], 1.0);
    let scores = &lab.rows("e.scores")[0];
    assert_eq!((&scores["n"], &scores["mrr"]), (&json!(2), &json!(0.25)));
    let signature = scores["signature"].as_str().unwrap();
    assert!(
        signature.starts_with("mrr|k:all|") && signature.contains("|ties:id descending; recall|k:2|"),
        "{signature}"
    );
    let told = ran.warnings().join("\n");
    assert!(
        told.contains("1 of 3 queries have no judgement") && told.contains("1 judged queries have no row"),
        "{told}"
    );
    let compared = lab.rows("c");
    assert!(compared.iter().any(|row| row["difference"] == -0.25), "{compared:?}");
}

#[test]
fn chunks_count_as_their_documents() {
    let lab = lab();
    lab.jsonl("qrels.jsonl", [json!({ "query_id": 3, "document_id": "a", "relevance": 1 })]);
    let ran = lab.run_stages(&stage("chunks_as_documents: true, metrics: [precision]"));
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!((&lab.rows("e")[2]["precision"], &lab.rows("e")[2]["retrieved"]), (&json!(1.0), &json!(1)));
}

#[test]
fn what_does_not_fit_together_is_told() {
    let lab = lab();
    let problems = lab.problems(&stage("metrics: ['dcg@3']"));
    assert!(problems.contains("such as `ndcg@10`"), "{problems}");
    assert!(lab.problems(&stage("metrics: [mrr, mrr]")).contains("a measure is named twice"));
    let told = |query: usize, relevance: f64| {
        lab.jsonl(
            "qrels.jsonl",
            [(query, 1.0), (query, relevance)]
                .map(|(query, relevance)| json!({ "query_id": query, "document_id": "a", "relevance": relevance })),
        );
        lab.run_stages(&stage("metrics: [mrr]")).failure()
    };
    assert!(told(1, 0.0).contains("`a` is judged 1 for `1`, and 0 in row 2"));
    assert!(told(1, 0.5).contains("`relevance` of row 2 of the input `judgements` is no whole number"));
    assert!(told(7, 1.0).contains("no query of `rankings` is judged: the first is `1`, the first judged one `7`"));
}

#[test]
fn grades_under_another_name_are_not_taken_for_no_grades() {
    let lab = lab();
    lab.write("qrels.csv", "query_id,document_id,score\n1,a,0\n1,b,1\n2,a,1\n3,a,1\n");
    let stages = |params: &str| stage(params).replace("qrels.jsonl", "qrels.csv");
    let ran = lab.run_stages(&stages("metrics: [precision], chunks_as_documents: true"));
    assert_eq!(ran.failures(), [""; 0]);
    let told = ran.warnings().join("\n");
    assert!(told.contains("`judgements` has no column `relevance`, and all its rows count as relevant"), "{told}");
    assert!(told.contains("if `score` says how relevant they are, name it (`relevance_column`)"), "{told}");
    assert_eq!(lab.rows("e")[0]["precision"], 2.0 / 3.0);
    let ran = lab.run_stages(&stages("metrics: [precision], chunks_as_documents: true, relevance_column: score"));
    assert!(!ran.warnings().join("\n").contains("all its rows count"), "{:?}", ran.warnings());
    assert_eq!(lab.rows("e")[0]["precision"], 1.0 / 3.0);
    let failure = lab.run_stages(&stages("metrics: [precision], relevance_column: grade")).failure();
    assert!(failure.contains("no column `grade`"), "{failure}");
    // Pairs alone are all relevant, and nothing is to be said.
    lab.write("qrels.csv", "query_id,document_id\n1,a\n");
    let told = lab.run_stages(&stages("metrics: [mrr], chunks_as_documents: true")).warnings().join("\n");
    assert!(!told.contains("count as relevant"), "{told}");
}

#[test]
fn a_ranking_without_scores_is_not_put_in_the_order_of_its_ids() {
    let lab = lab();
    let row = |id: usize, passages: Value| json!({ "id": id, "passages": passages });
    let bare = json!([{ "id": "a", "text": "x" }, { "id": "b", "text": "x" }]);
    let one = json!([{ "id": "a", "text": "x" }]);
    lab.jsonl("found.jsonl", [row(1, bare), row(2, one.clone())]);
    let failure = lab.run_stages(&stage("metrics: [mrr]")).failure();
    assert!(failure.contains("the passages of `1` have no `score`"), "{failure}");
    assert_eq!(lab.run_stages(&stage("metrics: [mrr], ties: given")).failures(), [""; 0]);
    assert_eq!(lab.rows("e")[0]["mrr"], 1.0);
    let gap = json!([{ "id": "a", "text": "x", "score": -1.0 }, { "id": "b", "text": "x", "score": null }]);
    lab.jsonl("found.jsonl", [row(2, one.clone()), row(1, gap)]);
    assert!(lab.run_stages(&stage("metrics: [mrr]")).failure().contains("the passages of `1` have no `score`"));
    lab.jsonl("found.jsonl", [row(1, one), row(2, json!([]))]);
    assert_eq!(lab.run_stages(&stage("metrics: [mrr]")).failures(), [""; 0], "one document has no other order");
}
