//! `respond` on a random model.

use pipe_testing::Lab;

use crate::{
    models::random_model,
    tables::{numbers, seeds},
};

fn rows(range: std::ops::Range<usize>) -> String {
    range
        .map(|i| {
            let demonstrations = format!("[\"s{}\", \"s{}\"]", i % 12, (i + 5) % 12);
            format!(
                "{{\"id\": \"q{i}\", \"instruction\": \"What is item {i}?\", \"input\": \"\", \"demonstrations\": \
                     {demonstrations}}}\n"
            )
        })
        .collect::<Vec<_>>()
        .concat()
}

fn stages(more: &str) -> String {
    format!(
        "  seeds: {{ kind: table, params: {{ path: seeds.jsonl }} }}
  rows: {{ kind: table, params: {{ path: rows.jsonl }} }}
  answers: {{ kind: respond, inputs: {{ instructions: rows, seeds: seeds }}, params: {{ model: model, \
  num_demonstrations: 1, max_new_tokens: 12, stop: [\"\\n\", \"e\"], filters: {{ truncated: false, empty: false \
  }}{more} }} }}\n"
    )
}

fn lab(n: usize) -> Lab {
    let lab = Lab::with(pipe_stages::registry());
    std::fs::create_dir(lab.path("model")).unwrap();
    random_model(&lab.path("model"), 1);
    lab.write("seeds.jsonl", &seeds());
    lab.write("rows.jsonl", &rows(0..n));
    lab
}

#[test]
fn answers_depend_on_their_row_alone_and_only_new_rows_are_computed() {
    for temperature in ["0", "1"] {
        let more = format!(", temperature: {temperature}, demonstration_choice: overlap");
        let lab = lab(20);
        let first = lab.run_stages(&stages(&format!("{more}, slots: 3")));
        assert!(first.failures().is_empty(), "{:?}", first.failures());
        let twenty = lab.table("answers.responses");
        assert_eq!((twenty.num_rows(), first.stats("answers").rows_computed), (20, 20));
        lab.write("rows.jsonl", &rows(0..30));
        let second = lab.run_stages(&stages(&format!("{more}, slots: 64")));
        assert_eq!(lab.table("answers.responses").slice(0, 20), twenty);
        let stats = second.stats("answers");
        assert_eq!((stats.rows_computed, stats.rows_reused), (10, 20));
        // In another order, and in another company.
        let other = self::lab(0);
        other.write("rows.jsonl", &(rows(10..20) + &rows(0..10)));
        other.run_stages(&stages(&more));
        let there = other.table("answers.responses");
        assert_eq!((there.slice(10, 10), there.slice(0, 10)), (twenty.slice(0, 10), twenty.slice(10, 10)));
        assert_eq!(lab.count("answers", "kept"), 30);
    }
}

#[test]
fn other_filters_ask_the_model_nothing() {
    let lab = lab(20);
    let more = ", temperature: 1";
    lab.run_stages(&stages(more));
    let all = lab.rows("answers.responses");
    let ran = lab.run_stages(&stages(more).replace("empty: false }", "empty: false, min_words: 3 }"));
    assert_eq!((ran.stats("answers").rows_computed, ran.stats("answers").rows_reused), (0, 20));
    let words = |row: &serde_json::Value| row["output"].as_str().unwrap().split_whitespace().count();
    let long: Vec<_> = all.into_iter().filter(|row| words(row) >= 3).collect();
    assert!(!long.is_empty() && long.len() < 20);
    assert_eq!(lab.rows("answers.responses"), long);
}

#[test]
fn the_generating_seeds_are_shown_and_named() {
    let lab = lab(12);
    lab.run_stages(&stages(", demonstration_choice: generating"));
    for (i, row) in lab.rows("answers.responses").iter().enumerate() {
        let shown = row["demonstrations"].as_array().unwrap();
        assert_eq!(shown.len(), 1);
        assert!(shown[0] == format!("s{}", i % 12) || shown[0] == format!("s{}", (i + 5) % 12), "{row}");
    }
    // Rows whose seeds are not all there are shown those that are.
    lab.write("seeds.jsonl", &seeds().lines().take(3).map(|l| format!("{l}\n")).collect::<Vec<_>>().concat());
    assert_eq!(lab.run_stages(&stages(", demonstration_choice: generating")).failures(), [""; 0]);
    assert!(lab.counter("answers", "rows_with_unknown_seeds") > 3);
    lab.write("seeds.jsonl", &seeds().replace("\"id\": \"s", "\"id\": \"t"));
    let failure = lab.run_stages(&stages(", demonstration_choice: generating")).failure();
    assert!(failure.contains("which the input `seeds` does not have"), "{failure}");
}

#[test]
fn a_template_stops_all_rows_in_the_same_way() {
    let lab = lab(2);
    lab.write("t.jinja", "{% set stop = ['e'] if input else ['t'] %}{{ instruction }}");
    let with = |more: &str| stages(more).replace(", stop: [\"\\n\", \"e\"]", "");
    let template = ", template: t.jinja";
    assert!(lab.run_stages(&with(template)).failures().is_empty());
    // Whichever rows are answered already.
    lab.write(
        "rows.jsonl",
        &(rows(0..2) + "{\"id\": \"x\", \"instruction\": \"What?\", \"input\": \"that\", \"demonstrations\": []}\n"),
    );
    let failure = lab.run_stages(&with(template)).failure();
    assert!(failure.contains("the template `t.jinja` sets `stop` to [\"e\"] for row 3"), "{failure}");
    assert!(lab.run_stages(&stages(template)).failures().is_empty(), "the parameter replaces them");
}

#[test]
fn equal_rows_without_ids_are_told_apart() {
    let lab = lab(0);
    let row = |i: usize| format!("{{\"instruction\": \"What is item {i}?\"}}\n");
    lab.write("rows.jsonl", &[1, 2, 1, 1].map(row).concat());
    let after =
        "  taught: { kind: train, inputs: { examples: answers }, params: { model: model, budget: { steps: 1 } } }
  scores: { kind: evaluate, inputs: { items: answers }, params: { model: model, max_new_tokens: 4 } }\n";
    let ran = lab.run_stages(&(stages("") + after));
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!(ran.stats("answers").rows_computed, 2);
    let rows = lab.rows("answers.responses");
    let id = |row: usize| rows[row]["id"].as_str().unwrap();
    assert_eq!((id(2), id(3)), (&*format!("{}-2", id(0)), &*format!("{}-3", id(0))));
    assert!(id(1) != id(0) && rows[3]["output"] == rows[0]["output"]);
}

#[test]
fn passages_and_adapters_change_answers() {
    let lab = lab(8);
    let greedy = |lab: &Lab| lab.table("answers.responses").column(3).clone();
    lab.run_stages(&stages(""));
    let bare = greedy(&lab);
    lab.write("corpus.jsonl", "{\"id\": \"c\", \"text\": \"An item is a thing of which there is a number.\"}\n");
    let with = stages("").replace("instructions: rows", "instructions: found");
    let retrieve = "  corpus: { kind: table, params: { path: corpus.jsonl } }
  found: { kind: retrieve, inputs: { queries: rows, corpus: corpus } }\n";
    let ran = lab.run_stages(&format!("{retrieve}{with}"));
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    assert_ne!(greedy(&lab).as_ref(), bare.as_ref());
    let passage = serde_json::json!([{"id": "c", "text": "An item is a thing of which there is a number."}]);
    assert!(lab.rows("answers.responses").iter().all(|row| row["passages"] == passage));
    let whole = greedy(&lab);
    // What was shown can be shown again in training.
    let trained = |open_book: bool| {
        let train = format!(
            "  taught: {{ kind: train, inputs: {{ examples: answers }}, params: {{ model: model, budget: {{ epochs: 1 \
             }}, open_book: {open_book} }} }}\n"
        );
        lab.run_stages(&format!("{retrieve}{with}{train}"));
        numbers(&lab.table("taught.log"), "tokens").iter().sum::<f64>()
    };
    assert!(trained(true) > trained(false) + 8.0 * 5.0, "eight rows with a passage each");
    lab.run_stages(&format!(
        "{retrieve}{}",
        with.replace("num_demonstrations: 1", "num_demonstrations: 1, max_passage_words: 4")
    ));
    assert_ne!(greedy(&lab).as_ref(), whole.as_ref());
    // Shown fewer passages than were found: none of them, and so the bare prompt.
    lab.run_stages(&format!(
        "{retrieve}{}",
        with.replace("num_demonstrations: 1", "num_demonstrations: 1, max_passages: 0")
    ));
    assert_eq!(greedy(&lab).as_ref(), bare.as_ref());
}

#[test]
fn mistakes_are_named() {
    let lab = lab(3);
    let failing = |stages: &str| lab.run_stages(stages).failure();
    lab.write("rows.jsonl", "{\"id\": \"a\", \"instruction\": null}\n{\"id\": \"b\", \"instruction\": \"\"}\n");
    assert!(failing(&stages("")).contains("of 2 rows 2 had no instruction (row `a`"));
    lab.write("rows.jsonl", "{\"id\": \"a\", \"question\": \"x\"}\n");
    assert!(failing(&stages("")).contains("no column `instruction`"));
    lab.write("rows.jsonl", "{\"id\": \"a\", \"instruction\": \"x\"}\n{\"id\": \"a\", \"instruction\": \"y\"}\n");
    assert!(failing(&stages("")).contains("same id `a`"));
    lab.write("rows.jsonl", &format!("{{\"id\": \"long\", \"instruction\": \"{}\"}}\n", "many words ".repeat(60)));
    let failure = failing(&stages(""));
    assert!(failure.contains("row `long`") && failure.contains("context is 96"), "{failure}");
    lab.write("rows.jsonl", "{\"id\": \"a\", \"instruction\": \"x\"}\n");
    assert!(failing(&stages(", demonstration_choice: generating")).contains("column `demonstrations`"));
    let scored = stages("").replace("empty: false", "min_passage_score: 0.5");
    lab.write("rows.jsonl", "{\"instruction\": \"x\", \"passages\": [{\"id\": \"p\", \"text\": \"x\"}]}\n");
    let failure = failing(&scored);
    assert!(failure.contains("`filters.min_passage_score` goes by the scores of passages"), "{failure}");
    lab.write("rows.jsonl", "{\"id\": \"a\", \"instruction\": \"x\"}\n");
    lab.write("seeds.jsonl", "{\"id\": \"s\", \"instruction\": \"x\"}\n");
    assert!(failing(&stages("")).contains("`output`"));
    // Without demonstrations nobody asks for the answers.
    assert!(
        lab.run_stages(&stages("").replace("num_demonstrations: 1", "num_demonstrations: 0")).failures().is_empty()
    );
}
