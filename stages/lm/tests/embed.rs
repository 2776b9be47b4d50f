//! Sentence vectors against transformers'. The golden files are made by `golden/make_bert.py`.

use std::{fs, path::Path};

use pipe_lm::embed::{Embedder, Pooling};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    text: String,
    ids: Vec<u32>,
    mean: Vec<f32>,
    cls: Vec<f32>,
}

fn golden() -> (&'static Path, Vec<Expected>) {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/bert"));
    let text = fs::read_to_string(dir.join("expected.json")).unwrap();
    (dir, serde_json::from_str(&text).unwrap())
}

fn vectors(embedder: &Embedder, texts: &[&str]) -> Vec<Vec<f32>> {
    embedder.embed_all(texts, || true).unwrap().unwrap()
}

#[test]
fn vectors_are_those_of_transformers() {
    let (dir, rows) = golden();
    let tokenizer = pipe_lm::tokenizer::Tokenizer::from_dir(dir).unwrap();
    let texts: Vec<&str> = rows.iter().map(|row| &*row.text).collect();
    for (pooling, expected) in [
        (Pooling::Mean, rows.iter().map(|r| &r.mean).collect::<Vec<_>>()),
        (Pooling::Cls, rows.iter().map(|r| &r.cls).collect()),
    ] {
        let embedder = Embedder::open(dir, Some(pooling)).unwrap();
        assert_eq!(embedder.dimensions(), expected[0].len());
        for ((row, found), expected) in rows.iter().zip(vectors(&embedder, &texts)).zip(expected) {
            let ids = tokenizer.encode(&row.text, true).unwrap();
            assert!(ids.len() > row.ids.len() || ids == row.ids, "{}", row.text);
            let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{pooling:?} {}: {worst}", row.text);
        }
    }
}

#[test]
fn a_vector_does_not_depend_on_the_texts_beside_it() {
    let (dir, rows) = golden();
    let embedder = Embedder::open(dir, None).unwrap();
    let texts: Vec<&str> = rows.iter().map(|row| &*row.text).collect();
    let together = vectors(&embedder, &texts);
    for (text, vector) in texts.iter().zip(together) {
        assert_eq!(vectors(&embedder, &[text]), [vector]);
    }
    assert!(embedder.embed_all(&texts, || false).unwrap().is_none());
}

#[test]
fn the_files_of_sentence_transformers_are_honoured_and_others_refused() {
    let (dir, rows) = golden();
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(dir.join(file), copy.path().join(file)).unwrap();
    }
    fs::create_dir(copy.path().join("1_Pooling")).unwrap();
    fs::write(copy.path().join("1_Pooling/config.json"), r#"{"pooling_mode_cls_token": true}"#).unwrap();
    let embedder = Embedder::open(copy.path(), None).unwrap();
    let found = vectors(&embedder, &[&rows[0].text]);
    assert!(found[0].iter().zip(&rows[0].cls).all(|(a, b)| (a - b).abs() < 1e-5));

    let config = fs::read_to_string(dir.join("config.json")).unwrap();
    fs::write(copy.path().join("config.json"), config.replace("\"bert\"", "\"mpnet\"")).unwrap();
    let error = Embedder::open(copy.path(), None).err().unwrap().to_string();
    assert!(error.contains("`mpnet`"), "{error}");
    let error = Embedder::open(Path::new("/nowhere"), None).err().unwrap().to_string();
    assert!(error.contains("/nowhere/config.json"), "{error}");
}
