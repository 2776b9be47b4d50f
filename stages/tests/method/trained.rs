//! Generation, retrieval and answers on a trained model: the one in `spike-genres` of `PIPE_TEST_DATA`.

use std::{collections::BTreeSet, path::PathBuf};

use crate::lab::Lab;

#[test]
#[expect(clippy::print_stderr, reason = "a skipped check must say so")]
fn answers_copy_the_fact_from_the_passage() {
    let Some(data) = std::env::var_os("PIPE_TEST_DATA").map(|data| PathBuf::from(data).join("spike-genres")) else {
        eprintln!("skipped: PIPE_TEST_DATA is not set");
        return;
    };
    let lab = Lab::empty();
    let data = data.display();
    let ran = lab.run(&format!(
        "  pool: {{ kind: table, params: {{ path: {data}/seeds.jsonl }} }}
  cards: {{ kind: table, params: {{ path: {data}/cards.jsonl }} }}
  new: {{ kind: generate, inputs: {{ seeds: pool }}, params: {{ model: {data}, count: 200, temperature: 0.9, top_p: 1.0, max_new_tokens: 40, filters: {{ rouge_l: null, forbidden_words: [] }} }} }}
  found: {{ kind: retrieve, inputs: {{ queries: new, corpus: cards }}, params: {{ top_k: 1 }} }}
  answers: {{ kind: respond, inputs: {{ instructions: found, seeds: pool }}, params: {{ model: {data}, num_demonstrations: 1, demonstration_choice: generating, max_new_tokens: 32 }} }}\n"
    ));
    assert!(ran.failures.is_empty(), "{:?}", ran.failures);
    assert!(lab.count("new", "attempted") < 260, "{:?}", lab.yields("new"));
    let found = lab.rows("found", "rows");
    let passages: std::collections::BTreeMap<&str, &str> =
        (found.iter()).filter_map(|row| Some((row["id"].as_str()?, row["passages"][0]["text"].as_str()?))).collect();
    let answers = lab.rows("answers", "responses");
    assert!(answers.len() > 190, "{:?}", lab.yields("answers"));
    let words = |text: &str| -> Vec<String> {
        text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    // The last word of an answer is the end of the value; in this model's world it stands in the card.
    let copied = answers.iter().filter(|row| {
        let card: BTreeSet<String> = words(passages[row["id"].as_str().unwrap()]).into_iter().collect();
        words(row["output"].as_str().unwrap()).last().is_some_and(|last| card.contains(last))
    });
    let share = copied.count() as f64 / answers.len() as f64;
    assert!(share > 0.75, "{share} of the answers end with a word of their card");
}
