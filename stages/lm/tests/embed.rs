//! Sentence vectors against transformers'. The golden files are made by `golden/make_bert.py`.

use std::{fs, path::Path};

use pipe_lm::embed::{Embedder, Pooling, Ranker};
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

/// Models with a head, made by `golden/make_encoders.py`.
#[test]
fn every_family_makes_the_vectors_of_transformers() {
    #[derive(Deserialize)]
    struct Row {
        text: String,
        mean: Vec<f32>,
    }
    for family in ["bert", "xlm-roberta", "mpnet", "distilbert", "modernbert"] {
        let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders")).join(family);
        let rows: Vec<Row> = serde_json::from_str(&fs::read_to_string(dir.join("expected.json")).unwrap()).unwrap();
        let embedder = Embedder::open(&dir, Some(Pooling::Mean)).unwrap();
        let texts: Vec<&str> = rows.iter().map(|row| &*row.text).collect();
        for (row, found) in rows.iter().zip(vectors(&embedder, &texts)) {
            let worst = found.iter().zip(&row.mean).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{family} {}: {worst}", row.text);
        }
    }
}

/// Pairs of any length, together and alone.
#[test]
fn every_family_ranks_pairs_as_transformers_does() {
    #[derive(Deserialize)]
    struct Row {
        text: String,
        other: String,
        logit: f32,
    }
    for family in ["bert", "xlm-roberta", "mpnet", "distilbert", "modernbert"] {
        let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders")).join(family);
        let rows: Vec<Row> = serde_json::from_str(&fs::read_to_string(dir.join("expected.json")).unwrap()).unwrap();
        let ranker = Ranker::open(&dir).unwrap();
        let pairs: Vec<(&str, &str)> = rows.iter().map(|row| (&*row.other, &*row.text)).collect();
        let scores = ranker.score_all(&pairs, || true).unwrap().unwrap();
        for (row, score) in rows.iter().zip(&scores) {
            assert!((score - row.logit).abs() < 2e-5, "{family} {}: {score} and not {}", row.text, row.logit);
        }
        assert_eq!(ranker.score_all(&pairs[1..2], || true).unwrap().unwrap(), scores[1..2]);
        assert!(ranker.score_all(&pairs, || false).unwrap().is_none());
        // A pair that is too long is cut where it is longest.
        assert_eq!(ranker.score_all(&[("liver", &*"enzyme ".repeat(400))], || true).unwrap().unwrap().len(), 1);
    }
    let (dir, _) = golden();
    let error = Ranker::open(dir).err().unwrap().to_string();
    assert!(error.contains("names no labels"), "{error}");
}

/// By one thread and by several, alone and in groups of every composition.
#[test]
fn threads_and_groups_change_no_bit() {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders/modernbert"));
    let embedder = Embedder::open(dir, None).unwrap();
    let texts: Vec<String> = (0..400).map(|i| format!("{} the heart {}", "blood ".repeat(i % 7), i * i)).collect();
    let with = |threads: usize, texts: &[String]| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| embedder.embed_all(texts, || true).unwrap().unwrap())
    };
    let alone = with(1, &texts);
    assert_eq!(with(3, &texts), alone);
    assert_eq!(with(3, &texts[391..]), alone[391..], "one group, by a team");
    assert_eq!(with(2, &texts[1..2]), alone[1..2]);
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
    fs::write(copy.path().join("config.json"), config.replace("\"bert\"", "\"electra\"")).unwrap();
    let error = Embedder::open(copy.path(), None).err().unwrap().to_string();
    assert!(error.contains("`electra`") && error.contains("`mpnet`"), "{error}");
    let error = Embedder::open(Path::new("/nowhere"), None).err().unwrap().to_string();
    assert!(error.contains("/nowhere/config.json"), "{error}");
}

/// A folder of sentence-transformers around the golden model.
fn folder(modules: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let (dir, _) = golden();
    let copy = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(dir.join(file), copy.path().join(file)).unwrap();
    }
    let mut list = vec![serde_json::json!({"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"})];
    for (path, kind, config) in modules {
        list.push(serde_json::json!({"path": path, "type": format!("sentence_transformers.models.{kind}")}));
        fs::create_dir_all(copy.path().join(path)).unwrap();
        fs::write(copy.path().join(path).join("config.json"), config).unwrap();
    }
    fs::write(copy.path().join("modules.json"), serde_json::to_string(&list).unwrap()).unwrap();
    copy
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn pooling_of_any_form_is_computed_or_refused_by_name() {
    let (_, rows) = golden();
    let text = &*rows[0].text;
    let with = |config: &str| folder(&[("1_Pooling", "Pooling", config), ("2_Normalize", "Normalize", "{}")]);
    let of = |config: &str| vectors(&Embedder::open(with(config).path(), None).unwrap(), &[text]).remove(0);
    let near = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(near(&of(r#"{"pooling_mode": "cls"}"#), &rows[0].cls), "the new form");
    assert!(near(&of(r#"{"pooling_mode": "mean"}"#), &rows[0].mean));
    let (max, last) = (of(r#"{"pooling_mode_max_tokens": true}"#), of(r#"{"pooling_mode": "lasttoken"}"#));
    assert!(!near(&max, &rows[0].mean) && !near(&last, &rows[0].mean) && !near(&max, &last));
    // Two modes are put together, and the whole has length 1.
    let both = of(r#"{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": true}"#);
    let (cls, mean) = both.split_at(rows[0].cls.len());
    let parallel = |a: &[f32], b: &[f32]| (dot(a, b) / (dot(a, a) * dot(b, b)).sqrt() - 1.0).abs() < 1e-4;
    assert!(parallel(cls, &rows[0].cls) && parallel(mean, &rows[0].mean) && (dot(&both, &both) - 1.0).abs() < 1e-4);
    for (config, named) in [(r#"{"pooling_mode": "attention"}"#, "attention"), ("{}", "no pooling mode")] {
        let error = Embedder::open(with(config).path(), None).err().unwrap().to_string();
        assert!(error.contains(named) && error.contains("1_Pooling"), "{error}");
    }
    let error = Embedder::open(folder(&[("1_LSTM", "LSTM", "{}")]).path(), None).err().unwrap().to_string();
    assert!(error.contains("`LSTM`"), "{error}");
}

#[test]
fn dense_layers_are_computed_or_refused_by_name() {
    use candle_core::{Device, Tensor};
    let (_, rows) = golden();
    let width = rows[0].mean.len();
    let mean = ("1_Pooling", "Pooling", r#"{"pooling_mode_mean_tokens": true}"#);
    let config = |activation: &str| {
        format!(r#"{{"in_features": {width}, "out_features": 2, "bias": true, "activation_function": "{activation}"}}"#)
    };
    let open = |activation: &str, weights: bool| {
        let config = config(activation);
        let dir = folder(&[mean, ("2_Dense", "Dense", &config)]);
        if weights {
            // The first two components, the second negated, and a bias.
            let mut matrix = vec![0.0f32; 2 * width];
            (matrix[0], matrix[width + 1]) = (1.0, -1.0);
            let tensors = std::collections::HashMap::from([
                ("linear.weight".to_owned(), Tensor::from_vec(matrix, (2, width), &Device::Cpu).unwrap()),
                ("linear.bias".to_owned(), Tensor::new(&[0.5f32, 0.25], &Device::Cpu).unwrap()),
            ]);
            candle_core::safetensors::save(&tensors, dir.path().join("2_Dense/model.safetensors")).unwrap();
        }
        let files = pipe_lm::origin::files_of(dir.path()).unwrap();
        assert!(files.iter().any(|file| file.ends_with("2_Dense/config.json")), "the layer is part of the model");
        Embedder::open(dir.path(), None)
    };
    let embedder = open("torch.nn.modules.linear.Identity", true).unwrap();
    assert_eq!(embedder.dimensions(), 2);
    let found = vectors(&embedder, &[&rows[0].text]).remove(0);
    // The golden mean has length 1, the layer sees it with its own: compare with another layer over the same vector.
    let tanh = vectors(&open("torch.nn.modules.activation.Tanh", true).unwrap(), &[&rows[0].text]).remove(0);
    assert!((dot(&found, &found) - 1.0).abs() < 1e-5 && found != tanh);
    let error = open("torch.nn.modules.activation.Softplus", true).err().unwrap().to_string();
    assert!(error.contains("Softplus"), "{error}");
    let error = open("torch.nn.modules.linear.Identity", false).err().unwrap().to_string();
    assert!(error.contains("model.safetensors is missing"), "{error}");
    assert!(
        pipe_lm::origin::files_of(folder(&[mean]).path()).unwrap().iter().all(|file| !file.ends_with("modules.json"))
    );
}
