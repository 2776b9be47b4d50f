//! `retrieve` by every method.

use std::path::Path;

use pipe_testing::Lab;
use serde_json::Value;

const CORPUS: &str = r#"{"id": "liver", "title": "Liver", "text": "The liver makes enzymes and bile."}
{"id": "bile", "title": "", "text": "Bile is made by the liver and digests fat."}
{"id": "heart", "title": null, "text": "The heart pumps blood through the arteries."}
{"id": "veins", "title": null, "text": "Veins bring blood back to the heart."}
"#;
const QUERIES: &str = r#"{"id": 1, "instruction": "Which organ makes enzymes?", "input": ""}
{"id": 2, "instruction": "What do arteries carry?", "input": "blood"}
{"id": 3, "instruction": "Zebra crossing?", "input": ""}
"#;

fn lab() -> Lab {
    let lab = Lab::with(pipe_stages::registry());
    lab.write("corpus.jsonl", CORPUS);
    lab.write("queries.jsonl", QUERIES);
    lab
}

fn stages(params: &str) -> String {
    format!(
        "  corpus: {{ kind: table, params: {{ path: corpus.jsonl }} }}
  queries: {{ kind: table, params: {{ path: queries.jsonl }} }}
  found: {{ kind: retrieve, inputs: {{ queries: queries, corpus: corpus }}, params: {{ {params} }} }}\n"
    )
}

fn ids(row: &Value) -> Vec<&str> {
    row["passages"].as_array().unwrap().iter().map(|p| p["id"].as_str().unwrap()).collect()
}

fn found(lab: &Lab, params: &str) -> Vec<Value> {
    let ran = lab.run_stages(&stages(params));
    assert!(ran.failures().is_empty(), "{params}: {:?}", ran.failures());
    lab.rows("found.rows")
}

#[test]
fn every_method_finds_what_fits() {
    let lab = lab();
    let none = found(&lab, "method: none");
    assert!(none.iter().all(|row| ids(row).is_empty()) && none.len() == 3);
    assert_eq!(none[1]["instruction"], "What do arteries carry?");

    let bm25 = found(&lab, "method: bm25, top_k: 2");
    assert_eq!(ids(&bm25[0])[0], "liver");
    assert_eq!(ids(&bm25[1]), ["heart", "veins"]);
    assert!(ids(&bm25[2]).is_empty(), "no word in common");
    assert_eq!(bm25[0]["passages"][0]["text"], "Liver: The liver makes enzymes and bile.");

    let lsa = found(&lab, "method: dense, embedder: lsa, dimensions: 2, top_k: 2");
    assert_eq!(ids(&lsa[0]).len(), 2);
    assert!(ids(&lsa[0]).iter().all(|id| ["liver", "bile"].contains(id)), "by subject: {:?}", lsa[0]);
    assert!(ids(&lsa[2]).is_empty());

    let hybrid = found(&lab, "method: hybrid, embedder: lsa, dimensions: 2, top_k: 1");
    assert_eq!((ids(&hybrid[0])[0], ids(&hybrid[1])[0]), ("liver", "heart"));
    let score = hybrid[0]["passages"][0]["score"].as_f64().unwrap();
    assert!(score > 1.0 / 62.0 && score <= 2.0 / 61.0, "a sum of two reciprocal ranks: {score}");
}

#[test]
fn an_embedding_model_ranks_by_the_cosine_of_its_vectors() {
    let lab = lab();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("lm/tests/golden/bert");
    std::fs::create_dir(lab.path("model")).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(golden.join(file), lab.path("model").join(file)).unwrap();
    }
    let rows = found(&lab, "method: dense, embedder: model, top_k: 4");
    let embedder = pipe_lm::embed::Embedder::open(&golden, None).unwrap();
    let texts = ["Liver: The liver makes enzymes and bile.", "Which organ makes enzymes?"];
    let vectors = embedder.embed_all(&texts, || true).unwrap().unwrap();
    let cosine: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
    let passages = rows[0]["passages"].as_array().unwrap();
    let score = |p: &Value| p["score"].as_f64().unwrap();
    let liver = passages.iter().find(|p| p["id"] == "liver").unwrap();
    assert!((score(liver) - f64::from(cosine)).abs() < 1e-5);
    assert!(passages.windows(2).all(|pair| score(&pair[0]) >= score(&pair[1])));
    // The model's content is in the key of dense retrieval and in no other's.
    let again = |params: &str| !lab.run_stages(&stages(params)).computed().is_empty();
    assert!(!again("method: dense, embedder: model, top_k: 4"));
    found(&lab, "method: bm25, embedder: model");
    std::fs::write(lab.path("model/vocab.json"), "{}").unwrap();
    assert!(!again("method: bm25, embedder: model"));
    assert!(again("method: dense, embedder: model, top_k: 4"));
}

#[test]
fn only_new_queries_are_searched_and_order_does_not_matter() {
    let lab = lab();
    let before = found(&lab, "top_k: 2");
    let turned: String = QUERIES.lines().rev().map(|line| format!("{line}\n")).collect::<Vec<_>>().concat();
    lab.write("queries.jsonl", &(turned + "{\"id\": 4, \"instruction\": \"What digests fat?\", \"input\": \"\"}\n"));
    let ran = lab.run_stages(&stages("top_k: 2"));
    assert_eq!((ran.stats("found").rows_computed, ran.stats("found").rows_reused), (1, 3));
    let after = lab.rows("found.rows");
    assert_eq!((&after[0], &after[2]), (&before[2], &before[0]));
    assert_eq!(ids(&after[3])[0], "bile");
}

#[test]
fn a_template_makes_the_query() {
    let lab = lab();
    let rows = found(&lab, "query_template: \"{{ input }} veins\", top_k: 1");
    assert_eq!(ids(&rows[0]), ["veins"]);
    let failure = lab.run_stages(&stages("query_template: \"{{ inputs }}\"")).failure();
    assert!(failure.contains("row 1") && failure.contains("query_template"), "{failure}");
}

#[test]
fn mistakes_are_named() {
    let lab = lab();
    let failing = |params: &str| lab.run_stages(&stages(params)).failure();
    assert!(failing("method: dense, embedder: nowhere").contains("no such file or directory"));
    assert!(failing("query_columns: [question]").contains("no column `question`"));
    assert!(lab.problems(&stages("embedder: x.gguf")).contains("no embedding model"));
    assert!(lab.problems(&stages("b: 2")).contains('b'));
    lab.write("corpus.jsonl", "{\"id\": \"a\", \"text\": \"\"}\n{\"id\": \"b\", \"text\": \" \"}\n");
    assert!(failing("").contains("no row of the input `corpus` has a `text`"));
    lab.write("corpus.jsonl", "{\"id\": \"a\", \"text\": \"x\"}\n{\"id\": \"a\", \"text\": \"y\"}\n");
    assert!(failing("").contains("same id `a`"));
    lab.write("corpus.jsonl", "");
    let failure = failing("");
    assert!(failure.contains("corpus"), "{failure}");
    lab.write("corpus.jsonl", CORPUS);
    lab.write("queries.jsonl", "{\"instruction\": \"x\", \"passages\": \"y\"}\n");
    assert!(failing("").contains("already has a column `passages`"));
}
