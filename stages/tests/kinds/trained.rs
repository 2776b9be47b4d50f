//! The kinds on a trained model: `spike-genres` of the test data.

use std::collections::BTreeSet;

use pipe_testing::Lab;

use crate::{data, tables::numbers};

#[test]
#[ignore = "reads PIPE_TEST_DATA"]
fn answers_copy_the_fact_from_the_passage() {
    let data = data::folder("spike-genres");
    let lab = Lab::with(pipe_stages::registry());
    let data = data.display();
    let ran = lab.run_stages(&format!(
        "  pool: {{ kind: table, params: {{ path: {data}/seeds.jsonl }} }}
  cards: {{ kind: table, params: {{ path: {data}/cards.jsonl }} }}
  new: {{ kind: generate, inputs: {{ seeds: pool }}, params: {{ model: {data}, count: 200, temperature: 0.9, top_p: \
  1.0, max_new_tokens: 40, filters: {{ rouge_l: null, forbidden_words: [] }} }} }}
  found: {{ kind: retrieve, inputs: {{ queries: new, corpus: cards }}, params: {{ top_k: 1 }} }}
  answers: {{ kind: respond, inputs: {{ instructions: found, seeds: pool }}, params: {{ model: {data}, \
  num_demonstrations: 1, demonstration_choice: generating, max_new_tokens: 32 }} }}\n"
    ));
    assert!(ran.failures().is_empty(), "{:?}", ran.failures());
    assert!(lab.count("new", "attempted") < 260, "{:?}", lab.yields("new"));
    let found = lab.rows("found.rows");
    let passages: std::collections::BTreeMap<&str, &str> =
        (found.iter()).filter_map(|row| Some((row["id"].as_str()?, row["passages"][0]["text"].as_str()?))).collect();
    let answers = lab.rows("answers.responses");
    assert!(answers.len() > 190, "{:?}", lab.yields("answers"));
    let words = |text: &str| -> Vec<String> {
        text.to_lowercase().split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    // The last word of an answer is the end of the value; in this model's world it stands in the card.
    let copied = answers.iter().filter(|row| {
        // A row may have found nothing; then there is nothing to copy.
        let card = passages.get(row["id"].as_str().unwrap()).map_or("", |card| card);
        let card: BTreeSet<String> = words(card).into_iter().collect();
        words(row["output"].as_str().unwrap()).last().is_some_and(|last| card.contains(last))
    });
    let share = copied.count() as f64 / answers.len() as f64;
    assert!(share > 0.75, "{share} of the answers end with a word of their card");
}

/// `transformers` 5.x, greedy and in f32, scores .1295 token F1 with the base. Its 160 seeds teach the style of
/// answers.
#[test]
#[ignore = "reads PIPE_TEST_DATA"]
fn seeds_alone_teach_the_style_of_answers() {
    let data = data::folder("spike-genres");
    let lab = Lab::with(pipe_stages::registry());
    let data = data.display();
    let ran = lab.run_stages(&format!(
        "
  seeds: {{ kind: table, params: {{ path: {data}/seeds.jsonl, id: id }} }}
  exam: {{ kind: table, params: {{ path: {data}/exam.jsonl, id: id }} }}
  base: {{ kind: evaluate, inputs: {{ items: exam }}, params: {{ model: {data}, max_new_tokens: 44 }} }}
  train:
    kind: train
    inputs: {{ examples: seeds }}
    params: {{ model: {data}, lora: {{ r: 16, alpha: 32 }}, learning_rate: 0.004, micro_batch_size: 32, budget: {{ \
    epochs: 8 }} }}
  tuned: {{ kind: evaluate, inputs: {{ items: exam, adapter: train }}, params: {{ model: {data}, max_new_tokens: 44 }} \
  }}
"
    ));
    assert_eq!(ran.failures(), [""; 0]);
    let all = |stage: &str, column: &str| *numbers(&lab.table(&format!("{stage}.scores")), column).last().unwrap();
    let (base, tuned) = (all("base", "token_f1"), all("tuned", "token_f1"));
    assert!((base - 0.129_525).abs() < 1e-4, "base {base}");
    assert!(tuned > base + 0.15, "{base} -> {tuned}");
    assert!(all("tuned", "token_f1_low") > all("base", "token_f1_high"));
}
