//! Metrics against scikit-learn, Babel, lm-evaluation-harness (`golden/make_references.py`), trec_eval and ranx
//! (`golden/make_rankings.py`).

use std::collections::HashMap;

use pipe_metrics::{Confusion, Extract, ExtractMatch, Judged, LabelScore, Metric, Normalizer, RankMetric, trec_order};
use serde_json::Value;

fn golden(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("golden/references.json")).unwrap();
    all[part].as_array().unwrap().clone()
}

fn close(a: f64, b: &Value, what: &str) {
    let b = b.as_f64().unwrap();
    assert!((a - b).abs() < 1e-12, "{what}: {a} and {b}");
}

#[test]
fn sets_are_scored_as_scikit_learn_scores_samples() {
    for row in golden("sets") {
        let (prediction, reference) = (row["prediction"].as_str().unwrap(), row["reference"].as_str().unwrap());
        for name in ["precision", "recall", "f1"] {
            let metric = Metric::named(&format!("set_{name}")).unwrap();
            let score = metric.score(Normalizer::Squad, prediction, &[reference]);
            close(score, &row[name], &format!("{name} of {prediction:?} for {reference:?}"));
        }
    }
}

#[test]
fn numbers_are_read_as_babel_reads_them() {
    let metric = Metric::named("numeric_match").unwrap();
    for row in golden("numbers") {
        let (text, value) = (row["text"].as_str().unwrap(), row["value"].as_f64().unwrap());
        let said = format!("It was {text} in all.");
        let score = |value: f64| metric.score(Normalizer::None, &said, &[value.to_string()]);
        assert_eq!(score(value), 1.0, "{text} is {value}");
        assert_eq!(score(value + 0.01 * value.abs().max(1.0)), 0.0, "{text}");
    }
}

#[test]
fn answers_are_extracted_as_the_harness_does() {
    for row in golden("extractions") {
        let (regex, text) = (row["regex"].as_str().unwrap(), row["text"].as_str().unwrap());
        for (which, name) in [(ExtractMatch::First, "first"), (ExtractMatch::Last, "last")] {
            let found = Extract::new(regex, which).unwrap().find(text);
            assert_eq!(found.unwrap_or("[invalid]"), row[name].as_str().unwrap(), "{name} of {regex} in {text:?}");
        }
    }
}

#[test]
fn labels_are_scored_as_scikit_learn_scores_them() {
    for table in golden("labels") {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let list = |name: &str| table[name].as_array().unwrap().iter().map(text).collect::<Vec<_>>();
        let mut confusion = Confusion::default();
        for (right, given) in list("right").iter().zip(list("given")) {
            confusion.add(right.as_deref().unwrap(), given.as_deref());
        }
        let known: Vec<String> = list("labels").into_iter().flatten().collect();
        let scores = confusion.labels();
        assert_eq!(scores.keys().copied().collect::<Vec<_>>(), known);
        let parts = |score: &LabelScore| [score.precision, score.recall, score.f1, score.support as f64];
        for (place, label) in known.iter().enumerate() {
            for (part, score) in parts(&scores[label.as_str()]).into_iter().enumerate() {
                close(score, &table["each"][part][place], label);
            }
        }
        let averages = confusion.averages();
        for (name, average) in [("micro", averages.micro), ("macro", averages.macro_), ("weighted", averages.weighted)]
        {
            for (part, score) in parts(&average).into_iter().take(3).enumerate() {
                close(score, &table[name][part], name);
            }
        }
        let place = |label: Option<&str>| label.map_or(known.len(), |l| known.iter().position(|k| k == l).unwrap());
        let mut matrix = vec![vec![0; known.len() + 1]; known.len() + 1];
        for (right, given, n) in confusion.cells() {
            matrix[place(Some(right))][place(given)] = n;
        }
        assert_eq!(serde_json::to_value(matrix).unwrap(), table["matrix"]);
    }
}

#[test]
fn rankings_are_scored_as_trec_eval_and_ranx_score_them() {
    let all: Value = serde_json::from_str(include_str!("golden/rankings.json")).unwrap();
    let mut ranx = 0;
    for row in all.as_array().unwrap() {
        let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_f64().unwrap());
        let mut ranking: Vec<(String, f64)> = row["ranking"].as_array().unwrap().iter().map(pair).collect();
        trec_order(&mut ranking, |(id, score)| (*score, id.as_str()));
        let judgements = row["judgements"].as_object().unwrap();
        let judgements: HashMap<&str, i64> =
            judgements.iter().map(|(id, relevance)| (id.as_str(), relevance.as_i64().unwrap())).collect();
        let judged = Judged::new(ranking.iter().map(|(id, _)| id.as_str()), &judgements);
        for program in ["trec_eval", "ranx"] {
            for (name, expect) in row[program].as_object().unwrap() {
                let score = RankMetric::named(name).unwrap().score(&judged);
                // ranx computes with numbers of 32 bits in places.
                let error = (score - expect.as_f64().unwrap()).abs();
                assert!(error < 1e-6, "{program}: {name} of {}: {score}, expected {expect}", row["query"]);
                ranx += usize::from(program == "ranx");
            }
        }
    }
    assert!(ranx > 100);
}
