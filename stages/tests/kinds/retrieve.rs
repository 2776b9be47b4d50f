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
    model(&lab, "bert");
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

/// Puts a model of the goldens into the lab's folder `model`.
fn model(lab: &Lab, golden: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("lm/tests/golden").join(golden);
    std::fs::create_dir_all(lab.path("model")).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(golden.join(file), lab.path("model").join(file)).unwrap();
    }
}

/// The stages with an `embed` stage in front.
fn embedded(embed: &str, params: &str) -> String {
    stages(params).replace("corpus: corpus }", "corpus: corpus, vectors: vectors }")
        + &format!("  vectors: {{ kind: embed, inputs: {{ rows: corpus }}, params: {{ {embed} }} }}\n")
}

#[test]
fn vectors_are_made_once_and_find_the_same() {
    let lab = lab();
    model(&lab, "bert");
    let direct = found(&lab, "method: dense, embedder: model, top_k: 3");
    let run = |params: &str| lab.run_stages(&embedded("embedder: model", params));
    let ran = run("method: dense, embedder: model, top_k: 3");
    assert_eq!(ran.failures(), [""; 0]);
    assert_eq!(lab.rows("found.rows"), direct, "to the bit");
    let vectors = lab.rows("vectors");
    assert_eq!((&vectors[1]["id"], vectors[1]["vector"].as_array().unwrap().len()), (&Value::from("bile"), 32));
    let warnings = ran.warnings();
    assert!(warnings.iter().all(|warning| warning.contains("were cut there")), "{warnings:?}");
    let prefixed = run("method: dense, embedder: model, top_k: 3, passage_prefix: 'passage: '").warnings();
    assert!(prefixed.iter().any(|warning| warning.contains("`passage_prefix` changes nothing")), "{prefixed:?}");
    // Another `top_k`, weights of both rankings: no vector is made anew. A document more, and an empty one: one vector.
    let again = run("method: hybrid, embedder: model, top_k: 1, weights: { bm25: 0, dense: 2 }");
    assert_eq!(again.computed(), ["found"]);
    let first = |rows: &[Value]| rows.iter().map(|row| ids(row)[0].to_owned()).collect::<Vec<_>>();
    assert_eq!(first(&lab.rows("found.rows")), first(&direct), "by the vectors alone");
    let more = "{\"id\": \"lungs\", \"text\": \"Lungs breathe.\"}\n{\"id\": \"none\", \"text\": \"\"}\n";
    lab.write("corpus.jsonl", &format!("{CORPUS}{more}"));
    let ran = run("method: dense, embedder: model, top_k: 9");
    assert_eq!((ran.stats("vectors").rows_computed, ran.stats("vectors").rows_reused), (2, 4));
    assert!(lab.rows("vectors")[5]["vector"].is_null());
    assert_eq!(ids(&lab.rows("found.rows")[0]).len(), 5);
}

#[test]
fn texts_that_an_embedding_model_cuts_are_told() {
    let lab = lab();
    model(&lab, "bert");
    lab.write("model/sentence_bert_config.json", "{\"max_seq_length\": 5}");
    let said = "texts are longer than the 5 tokens that the embedding model takes, and were cut there";
    for run in [stages("method: dense, embedder: model"), embedded("embedder: model", "method: dense, embedder: model")]
    {
        let ran = lab.run_stages(&run);
        assert_eq!(ran.failures(), [""; 0]);
        assert!(ran.warnings().iter().any(|warning| warning.contains(said)), "{:?}", ran.warnings());
    }
}

#[test]
fn vectors_that_do_not_fit_are_refused() {
    let lab = lab();
    model(&lab, "bert");
    let failing = |embed: &str, params: &str| lab.run_stages(&embedded(embed, params)).failure();
    let dense = "method: dense, embedder: model";
    assert!(failing("embedder: model, pooling: cls", dense).contains("another embedder"));
    assert!(failing("embedder: model", "method: dense, embedder: lsa").contains("makes its own vectors"));
    assert!(lab.problems(&embedded("embedder: lsa", dense)).contains("no vectors of single rows"));
    lab.write("other.jsonl", "{\"id\": \"liver\", \"text\": \"x\"}\n");
    let other = embedded("embedder: model", dense).replace("rows: corpus", "rows: other")
        + "  other: { kind: table, params: { path: other.jsonl } }\n";
    let failure = lab.run_stages(&other).failure();
    assert!(failure.contains("no row for the passage `bile`"), "{failure}");
    // Ids that occur twice are found before anything is embedded.
    lab.write("corpus.jsonl", "{\"id\": \"a\", \"text\": \"x\"}\n{\"id\": \"a\", \"text\": \"y\"}\n");
    std::fs::write(lab.path("model/model.safetensors"), "damaged").unwrap();
    let failure = lab.run_stages(&embedded("embedder: model", dense)).failure();
    assert!(failure.contains("same id `a`"), "{failure}");
}

#[test]
fn a_models_own_prompts_are_used_and_are_part_of_it() {
    let lab = lab();
    model(&lab, "bert");
    let rows = |params: &str| found(&lab, &format!("method: dense, embedder: model, top_k: 4{params}"));
    let (plain, given) = (rows(""), rows(", query_prefix: \"which \""));
    assert_ne!(plain, given);
    lab.write("model/config_sentence_transformers.json", "{\"prompts\": {\"query\": \"which \"}}");
    assert_eq!(rows(""), given);
    assert_eq!(rows(", prompts: none"), plain);
}

#[test]
fn an_index_is_mapped_and_finds_the_same() {
    let lab = lab();
    let direct = found(&lab, "method: bm25, top_k: 2");
    let with = |index: &str, params: &str| {
        stages(params).replace("corpus: corpus }", "corpus: corpus, index: index }")
            + &format!("  index: {{ kind: index, inputs: {{ corpus: corpus }}, params: {{ {index} }} }}\n")
    };
    assert_eq!(lab.run_stages(&with("", "method: bm25, top_k: 2")).failures(), [""; 0]);
    assert_eq!(lab.rows("found.rows"), direct);
    assert_eq!(lab.run_stages(&with("", "method: bm25, top_k: 1")).computed(), ["found"]);
    let failure = lab.run_stages(&with("k1: 1.2", "method: bm25")).failure();
    assert!(failure.contains("`k1: 1.2`") && failure.contains("0.9"), "{failure}");
    lab.write("other.jsonl", "{\"id\": \"a\", \"text\": \"liver\"}\n");
    let other = with("", "method: bm25").replace("{ corpus: corpus }, params: {  }", "{ corpus: other }")
        + "  other: { kind: table, params: { path: other.jsonl } }\n";
    let failure = lab.run_stages(&other).failure();
    assert!(failure.contains("another corpus"), "{failure}");
}

#[test]
fn a_cross_encoder_puts_passages_in_order() {
    let lab = lab();
    model(&lab, "encoders/bert");
    let rows = found(&lab, "method: bm25, top_k: 1, rerank: { model: model }");
    let all = found(&lab, "method: bm25, top_k: 4");
    let ranker = pipe_lm::embed::Ranker::open(&lab.path("model")).unwrap();
    for (row, all) in rows.iter().zip(&all) {
        let query = format!("{} {}", row["instruction"].as_str().unwrap(), row["input"].as_str().unwrap());
        let query = query.trim();
        let texts: Vec<&str> =
            all["passages"].as_array().unwrap().iter().map(|p| p["text"].as_str().unwrap()).collect();
        let pairs: Vec<(&str, &str)> = texts.iter().map(|text| (query, *text)).collect();
        let scores = ranker.score_all(&pairs, || true).unwrap().unwrap();
        let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let passages = row["passages"].as_array().unwrap();
        assert_eq!(passages.len(), usize::from(!pairs.is_empty()));
        assert!(passages.iter().all(|p| p["score"] == f64::from(best)), "{passages:?} {scores:?}");
    }
    let failure = |params: &str| lab.run_stages(&stages(params)).failure();
    model(&lab, "bert");
    assert!(failure("rerank: { model: model }").contains("labels"));
    assert!(lab.problems(&stages("rerank: { model: lsa }")).contains("reads no pairs"));
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
    let told = |params: &str| lab.run_stages(&stages(params)).warnings().join("\n");
    let said = told("query_columns: [instruction, context]");
    assert!(said.contains("`queries` has no column `context`, which `query_columns` names"), "{said}");
    assert!(!told("query_template: \"{{ instruction }}\", query_columns: [x]").contains("no column"));
    assert!(lab.problems(&stages("embedder: x.gguf")).contains("no embedding model"));
    assert!(lab.problems(&stages("b: 2")).contains('b'));
    let neither = "method: hybrid, embedder: lsa, weights: { bm25: 0, dense: 0 }";
    assert!(lab.problems(&stages(neither)).contains("neither ranking counts"));
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
