//! Safetensors on disk: sharded, damaged, incomplete.

use std::{collections::BTreeMap, fs, path::Path};

use candle_core::{DType, Device, Tensor};
use pipe_lm::weights::{LayerParam, Linear, Param, Weights, write_safetensors, write_sharded};

use crate::support::{chain, tensors, tiny_config};

const DOWN: Param = Param::Layer(1, LayerParam::Weight(Linear::Down));

fn same(a: &Tensor, b: &Tensor) {
    assert_eq!((a.dtype(), a.dims()), (b.dtype(), b.dims()));
    let flat = |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(flat(a), flat(b));
}

#[test]
fn what_is_written_is_read_whatever_the_type_and_the_shards() {
    let config = tiny_config();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for max_shard_bytes in [u64::MAX, 4000, 1] {
            let dir = tempfile::tempdir().unwrap();
            let written = tensors(&config, dtype);
            let files = write_sharded(dir.path(), &written, max_shard_bytes).unwrap();
            assert_eq!(files.len() > 1, max_shard_bytes < u64::MAX, "{files:?}");
            let weights = Weights::from_dir(dir.path(), &config).unwrap();
            for param in Param::all(&config) {
                assert_eq!(weights.dtype(param).unwrap(), dtype);
                let tensor = &written[&param.name(config.family)];
                same(&weights.load(param, dtype, &Device::Cpu).unwrap(), tensor);
                let wide = weights.load(param, DType::F32, &Device::Cpu).unwrap();
                same(&wide, &tensor.to_dtype(DType::F32).unwrap());
            }
        }
    }
}

#[test]
fn a_matrix_can_be_read_in_blocks_of_rows() {
    let config = tiny_config();
    let dir = tempfile::tempdir().unwrap();
    let memory = tensors(&config, DType::BF16);
    write_sharded(dir.path(), &memory, u64::MAX).unwrap();
    let expected = memory[&DOWN.name(config.family)].to_dtype(DType::F32).unwrap().flatten_all().unwrap();
    let from_dir = Weights::from_dir(dir.path(), &config).unwrap();
    let from_memory = Weights::from_tensors(memory, &config).unwrap();
    for weights in [from_dir, from_memory] {
        let (mut next, mut values) = (0, Vec::new());
        weights
            .for_each_rows(DOWN, 5, &mut |rows, block| {
                assert_eq!((rows.start, block.len()), (next, rows.len() * config.intermediate_size));
                next = rows.end;
                values.extend_from_slice(block);
            })
            .unwrap();
        assert_eq!((next, values), (config.hidden_size, expected.to_vec1::<f32>().unwrap()));
    }
}

#[test]
fn files_are_what_the_python_package_expects() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    let odd = BTreeMap::from([
        ("a".to_owned(), Tensor::new(&[1u8, 2, 3], &Device::Cpu).unwrap()),
        ("b".to_owned(), Tensor::new(&[[0.5f32, -2.0]], &Device::Cpu).unwrap()),
    ]);
    write_safetensors(&path, &odd).unwrap();
    let bytes = fs::read(&path).unwrap();
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.tensor("a").unwrap().data(), [1, 2, 3]);
    assert_eq!(read.tensor("b").unwrap().shape(), [1, 2]);
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
}

#[test]
fn tied_heads_old_buffers_and_bare_decoders_are_accepted() {
    let mut config = tiny_config();
    let mut all = tensors(&config, DType::F32);
    config.tie_word_embeddings = true;
    let buffer = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
    all.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), buffer);
    Weights::from_tensors(all.clone(), &config).unwrap();
    all.remove("lm_head.weight");
    let bare = all.into_iter().map(|(n, t)| (n.trim_start_matches("model.").to_owned(), t)).collect();
    let weights = Weights::from_tensors(bare, &config).unwrap();
    assert_eq!(weights.load(DOWN, DType::F32, &Device::Cpu).unwrap().dims(), [16, 24]);
}

/// Writes a sharded model, lets `damage` loose on it, and compares the message of the failed opening.
fn check(damage: impl Fn(&Path), expect: &str) {
    let config = tiny_config();
    let dir = tempfile::tempdir().unwrap();
    write_sharded(dir.path(), &tensors(&config, DType::F32), 8000).unwrap();
    damage(dir.path());
    let error = Weights::from_dir(dir.path(), &config).expect_err(expect);
    assert_eq!(chain(&error, dir.path()), expect);
}

const FIRST: &str = "model-00001-of-00003.safetensors";
const SECOND: &str = "model-00002-of-00003.safetensors";
const INDEX: &str = "model.safetensors.index.json";

#[test]
fn damage_is_reported_by_file_and_tensor() {
    check(
        |dir| fs::remove_file(dir.join(SECOND)).unwrap(),
        "open DIR/model-00002-of-00003.safetensors: the shard is listed in DIR/model.safetensors.index.json but is not \
         there; \
         download it again",
    );
    check(
        |dir| cut(&dir.join(FIRST), 4000),
        "read DIR/model-00001-of-00003.safetensors: the file is truncated, 4000 of 7728 bytes are there; download it \
         again",
    );
    check(
        |dir| cut(&dir.join(FIRST), 100),
        "read DIR/model-00001-of-00003.safetensors: the file is truncated, 100 of 496 bytes are there; download it \
         again",
    );
    check(
        |dir| cut(&dir.join(FIRST), 3),
        "read DIR/model-00001-of-00003.safetensors: the file is truncated, 3 of 8 bytes are there; download it again",
    );
    check(
        |dir| fs::write(dir.join(FIRST), "<html>Access to model is restricted</html>").unwrap(),
        "read DIR/model-00001-of-00003.safetensors as safetensors\nheader too large",
    );
    check(
        |dir| edit(&dir.join(INDEX), "\"lm_head.weight\": \"model-00001", "\"lm_head.weight\": \"model-00002"),
        "find `lm_head.weight` in DIR/model-00002-of-00003.safetensors, where DIR/model.safetensors.index.json says it \
         is",
    );
    check(
        |dir| edit(&dir.join(INDEX), "\"lm_head.weight\": \"model-00001", "\"lm_head.weight\": \"../model-00001"),
        "read DIR/model.safetensors.index.json: `../model-00001-of-00003.safetensors` is not the name of a file in the \
         same directory",
    );
    check(
        |dir| {
            for entry in fs::read_dir(dir).unwrap() {
                fs::remove_file(entry.unwrap().path()).unwrap();
            }
            fs::write(dir.join("pytorch_model.bin"), "").unwrap();
        },
        "find weights in DIR: there is neither model.safetensors nor model.safetensors.index.json; pytorch_model.bin \
         is not read \
         because it can run code: convert it to safetensors",
    );
}

fn cut(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn tensors_that_contradict_the_configuration_are_named() {
    let config = tiny_config();
    let check = |change: &dyn Fn(&mut BTreeMap<String, Tensor>), expect: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut all = tensors(&config, DType::F32);
        change(&mut all);
        write_sharded(dir.path(), &all, u64::MAX).unwrap();
        let error = Weights::from_dir(dir.path(), &config).expect_err(expect);
        assert_eq!(chain(&error, dir.path()), expect);
    };
    check(
        &|all| drop(all.remove("model.layers.1.mlp.down_proj.weight")),
        "find `model.layers.1.mlp.down_proj.weight` in DIR/model.safetensors",
    );
    check(
        &|all| all.retain(|n, _| !n.contains("layers.0")),
        "find `model.layers.0.input_layernorm.weight`, `model.layers.0.post_attention_layernorm.weight`, \
         `model.layers.0.self_attn.q_proj.weight`, `model.layers.0.self_attn.k_proj.weight`, \
         `model.layers.0.self_attn.v_proj.weight` (and 4 more) in DIR/model.safetensors",
    );
    let vector = Tensor::zeros(16, DType::F32, &Device::Cpu).unwrap();
    check(
        &|all| drop(all.insert("model.layers.1.mlp.down_proj.weight".into(), vector.clone())),
        "use `model.layers.1.mlp.down_proj.weight` in DIR/model.safetensors: its shape is [16], but config.json asks \
         for [16, 24]",
    );
    check(
        &|all| drop(all.insert("model.layers.2.input_layernorm.weight".into(), vector.clone())),
        "use DIR/model.safetensors: config.json describes a model without `model.layers.2.input_layernorm.weight`",
    );
    let whole = Tensor::zeros(16, DType::U8, &Device::Cpu).unwrap();
    check(
        &|all| drop(all.insert("model.norm.weight".into(), whole.clone())),
        "read `model.norm.weight` in DIR/model.safetensors: its type U8 is not supported (supported: F32, F16, BF16)",
    );
}
