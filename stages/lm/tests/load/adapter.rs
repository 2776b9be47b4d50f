//! Adapters: PEFT's files read, ours written, both merged, and what is refused.

use std::{collections::BTreeMap, fs, path::PathBuf};

use candle_core::{DType, Device, Tensor};
use pipe_lm::{
    adapter::{AdapterConfig, AdapterError, Merged, TargetModules, load_adapter, save_adapter},
    config::DecoderConfig,
    export::{MAX_SHARD_BYTES, export_hf},
    generate::Ends,
    model::{Adapter, Decoder, PackedBatch},
    weights::{LayerParam, Linear, Param, TensorSet, Weights},
};
use serde::Deserialize;

use crate::support::{chain, golden, golden_text};

/// The ends of a model whose files agree.
fn ends(config: &DecoderConfig) -> Ends {
    Ends { ids: config.eos_token_ids.clone(), disagreement: None }
}

const CASES: [&str; 5] = ["all_linear", "fused", "names", "one_layer", "patterns"];

#[derive(Deserialize)]
struct Expected {
    base: String,
    ids: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

struct Case {
    base: PathBuf,
    config: DecoderConfig,
    weights: Weights,
    adapter_config: AdapterConfig,
    adapter: Adapter,
    expected: Expected,
}

impl Case {
    fn open(name: &str) -> Self {
        let expected: Expected = serde_json::from_str(&golden_text(&format!("adapters/{name}/expected.json"))).unwrap();
        let base = golden("logits").join(&expected.base);
        let config = DecoderConfig::from_dir(&base).unwrap();
        let weights = Weights::from_dir(&base, &config).unwrap();
        let (adapter_config, adapter) = load_adapter(&golden("adapters").join(name), &config).unwrap();
        Self { base, config, weights, adapter_config, adapter, expected }
    }

    fn logits(&self, weights: &Weights, adapter: Option<&Adapter>) -> Vec<Vec<f32>> {
        let mut decoder = Decoder::load(&self.config, weights, &Device::Cpu, DType::F32).unwrap();
        if let Some(adapter) = adapter {
            decoder.add_adapter("a", adapter).unwrap();
            decoder.set_adapter(Some("a")).unwrap();
        }
        let batch = PackedBatch::new([self.expected.ids.clone()]);
        let hidden = decoder.forward_train(&batch, None).unwrap();
        decoder.logits(&hidden).unwrap().to_vec2().unwrap()
    }
}

fn distance(a: &[Vec<f32>], b: &[Vec<f32>]) -> f32 {
    assert_eq!((a.len(), a[0].len()), (b.len(), b[0].len()));
    a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn pefts_adapters_give_pefts_logits() {
    for name in CASES {
        let case = Case::open(name);
        let found = case.logits(&case.weights, Some(&case.adapter));
        let d = distance(&found, &case.expected.logits);
        assert!(d < 1e-4, "{name}: {d}");
        let without = distance(&case.logits(&case.weights, None), &case.expected.logits);
        assert!(without > 1e-2, "{name}: the adapter makes no difference ({without})");
    }
}

/// Leaves directories behind that `tests/golden/check_peft.py` loads into PEFT.
#[test]
fn what_we_write_is_the_same_adapter_again() {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("adapters");
    for name in CASES {
        let case = Case::open(name);
        let dir = out.join(name);
        let _ = fs::remove_dir_all(&dir);
        save_adapter(&dir, &case.adapter_config, &case.adapter, &case.config).unwrap();
        let (config, adapter) = load_adapter(&dir, &case.config).unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", case.adapter_config), "{name}");
        let logits = case.logits(&case.weights, Some(&adapter));
        assert_eq!(logits, case.logits(&case.weights, Some(&case.adapter)), "{name}");
        // PEFT's own file holds the same keys and bytes.
        let read = |path: PathBuf| candle_core::safetensors::load(path, &Device::Cpu).unwrap().into_iter().collect();
        let ours: BTreeMap<String, Tensor> = read(dir.join("adapter_model.safetensors"));
        let theirs: BTreeMap<String, Tensor> = read(golden("adapters").join(name).join("adapter_model.safetensors"));
        assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());

        let merged = Merged::new(&case.weights, &case.config, Some(&adapter), Some(DType::F32));
        export_hf(&dir.join("merged"), &case.base, &merged, &ends(&case.config), MAX_SHARD_BYTES).unwrap();
        let ours = serde_json::json!({"base": case.expected.base, "ids": case.expected.ids, "logits": logits});
        fs::write(dir.join("ours.json"), ours.to_string()).unwrap();
    }
}

#[test]
fn a_merged_model_is_a_model_of_its_own() {
    for name in CASES {
        let case = Case::open(name);
        let out = tempfile::tempdir().unwrap();
        let merged = Merged::new(&case.weights, &case.config, Some(&case.adapter), Some(DType::F32));
        let files = export_hf(out.path(), &case.base, &merged, &ends(&case.config), 20_000).unwrap();
        assert!(files.len() > 2, "{name}: {files:?}");
        let config = DecoderConfig::from_dir(out.path()).unwrap();
        assert_eq!(config, case.config);
        let weights = Weights::from_dir(out.path(), &config).unwrap();
        let d = distance(&case.logits(&weights, None), &case.expected.logits);
        assert!(d < 1e-4, "{name}: {d}");
    }
}

#[test]
fn a_merge_is_computed_in_f32_and_rounded_once() {
    let case = Case::open("names");
    let q = Param::Layer(0, LayerParam::Weight(Linear::Q));
    let base = case.weights.load(q, DType::F32, &Device::Cpu).unwrap();
    let lora = &case.adapter.modules["model.layers.0.self_attn.q_proj"];
    let update = lora.b.matmul(&lora.a).unwrap().affine(f64::from(lora.scale), 0.0).unwrap();
    let exact = (base + update).unwrap();
    for dtype in [DType::BF16, DType::F16, DType::F32] {
        let merged = Merged::new(&case.weights, &case.config, Some(&case.adapter), Some(dtype));
        let found = merged.tensor("model.layers.0.self_attn.q_proj.weight").unwrap();
        let expected = exact.to_dtype(dtype).unwrap();
        let flat = |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((found.dtype(), flat(&found)), (dtype, flat(&expected)));
        let out = tempfile::tempdir().unwrap();
        export_hf(out.path(), &case.base, &merged, &ends(&case.config), MAX_SHARD_BYTES).unwrap();
        let text = fs::read_to_string(out.path().join("config.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        let named = json.get("dtype").or(json.get("torch_dtype")).unwrap();
        let expected = match dtype {
            DType::BF16 => "bfloat16",
            DType::F16 => "float16",
            _ => "float32",
        };
        assert_eq!(named, expected);
    }
}

/// Copies PEFT's `names` adapter, changes its configuration, and compares the message of the failed loading.
fn check(change: impl Fn(&mut serde_json::Value), expect: &str) {
    let case = Case::open("names");
    let dir = tempfile::tempdir().unwrap();
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        fs::copy(golden("adapters/names").join(file), dir.path().join(file)).unwrap();
    }
    let path = dir.path().join("adapter_config.json");
    let mut json = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(&path, json.to_string()).unwrap();
    let error = load_adapter(dir.path(), &case.config).expect_err(expect);
    assert_eq!(chain(&error, dir.path()), expect);
}

#[test]
fn what_would_change_the_result_unseen_is_refused() {
    let config = |expect: &str| format!("use DIR/adapter_config.json: {expect}");
    check(
        |j| j["use_dora"] = true.into(),
        &config("`use_dora` is true, which is not supported; merge the adapter with PEFT and use the merged model"),
    );
    check(
        |j| j["modules_to_save"] = serde_json::json!(["lm_head"]),
        &config(
            "`modules_to_save` is [\"lm_head\"], which is not supported; merge the adapter with PEFT and use the \
             merged model",
        ),
    );
    check(
        |j| j["init_lora_weights"] = "pissa".into(),
        &config(
            "`init_lora_weights` is \"pissa\", which is not supported because the base weights were changed with it; \
             merge the adapter \
             with PEFT and use the merged model",
        ),
    );
    check(|j| j["bias"] = "all".into(), &config("`bias` is \"all\", which is not supported; train with `bias` none"));
    check(
        |j| j["peft_type"] = "IA3".into(),
        &config(
            "`peft_type` is IA3 (IA3 scales activations), which is not supported: only LORA is; where PEFT can merge \
             it, merge it there and use the merged model",
        ),
    );
    check(
        |j| j["target_modules"] = serde_json::Value::Null,
        &config("`target_modules` is null, which is not supported"),
    );
    let weights = |expect: &str| format!("use DIR/adapter_model.safetensors: {expect}");
    check(
        |j| j["target_modules"] = serde_json::json!(["Wqkv"]),
        &config("`target_modules` is [\"Wqkv\"], and no linear layer of the model is called so"),
    );
    check(
        |j| j["target_modules"] = serde_json::json!(["q_proj", "k_proj", "v_proj"]),
        &weights(
            "`base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight` is missing, though `target_modules` \
             names its module",
        ),
    );
    check(
        |j| j["target_modules"] = serde_json::json!(["q_proj"]),
        &weights(
            "`base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight` belongs to no module that \
             `target_modules` names in this \
             model",
        ),
    );
    let case = Case::open("names");
    let width = case.config.hidden_size;
    check(
        |j| j["r"] = 8.into(),
        &weights(&format!(
            "the shape of `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` is [4, {width}], but base \
             model and rank ask \
             for [8, {width}]"
        )),
    );
}

#[test]
fn embeddings_and_pickles_are_refused_by_name() {
    let case = Case::open("names");
    let dir = tempfile::tempdir().unwrap();
    save_adapter(dir.path(), &case.adapter_config, &case.adapter, &case.config).unwrap();
    let path = dir.path().join("adapter_model.safetensors");
    let mut tensors: BTreeMap<String, Tensor> =
        candle_core::safetensors::load(&path, &Device::Cpu).unwrap().into_iter().collect();
    let name = "base_model.model.model.embed_tokens.lora_embedding_A";
    tensors.insert(name.into(), Tensor::zeros((4, 8), DType::F32, &Device::Cpu).unwrap());
    pipe_lm::weights::write_safetensors(&path, &tensors).unwrap();
    let error = load_adapter(dir.path(), &case.config).unwrap_err();
    let expect = format!(
        "use DIR/adapter_model.safetensors: `{name}` adapts the embedding or the output projection, which is not \
         supported; train without \
         `embed_tokens` and `lm_head` among the target modules, or merge the adapter with PEFT and use the merged model"
    );
    assert_eq!(chain(&error, dir.path()), expect);
    fs::rename(&path, dir.path().join("adapter_model.bin")).unwrap();
    let error = load_adapter(dir.path(), &case.config).unwrap_err();
    assert!(chain(&error, dir.path()).contains("can run code"), "{error}");
}

#[test]
fn what_would_not_load_to_the_same_model_is_not_written() {
    let case = Case::open("names");
    let dir = tempfile::tempdir().unwrap();
    let refused = |config: &AdapterConfig| save_adapter(dir.path(), config, &case.adapter, &case.config).unwrap_err();
    let names = |list: &[&str]| TargetModules::Names(list.iter().map(|s| (*s).to_owned()).collect());
    let mut config = AdapterConfig { lora_alpha: 16.0, ..case.adapter_config.clone() };
    assert!(refused(&config).to_string().ends_with("is 2, but the configuration gives 4"), "{}", refused(&config));
    config = AdapterConfig { target_modules: names(&["q_proj"]), ..case.adapter_config.clone() };
    assert!(matches!(refused(&config), AdapterError::Invalid { .. }));
    config = AdapterConfig { target_modules: names(&["q_proj", "v_proj", "o_proj"]), ..case.adapter_config.clone() };
    assert!(refused(&config).to_string().contains("is missing"));
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none());
}

/// PEFT puts adapters that have names into folders of these names.
#[test]
fn folders_of_several_adapters_are_named() {
    let case = Case::open("names");
    let dir = tempfile::tempdir().unwrap();
    for name in ["second", "first"] {
        save_adapter(&dir.path().join(name), &case.adapter_config, &case.adapter, &case.config).unwrap();
    }
    fs::create_dir(dir.path().join("other")).unwrap();
    let error = load_adapter(dir.path(), &case.config).unwrap_err();
    let expect = "read an adapter from DIR: there is no adapter_config.json, but folders with adapters of their own: \
                  give one of them (first, second)";
    assert_eq!(chain(&error, dir.path()), expect);
}

/// A pattern that only Python understands is told where it stands.
#[test]
fn a_pattern_with_look_around_is_told_with_its_file() {
    let case = Case::open("names");
    let dir = tempfile::tempdir().unwrap();
    save_adapter(dir.path(), &case.adapter_config, &case.adapter, &case.config).unwrap();
    let path = dir.path().join("adapter_config.json");
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    json["target_modules"] = r".*layers\.(?!1).*q_proj".into();
    fs::write(&path, json.to_string()).unwrap();
    let told = chain(&load_adapter(dir.path(), &case.config).unwrap_err(), dir.path());
    assert!(told.starts_with("use DIR/adapter_config.json: `target_modules` has the pattern"), "{told}");
}

/// What other adapters are is said by name, not by the first key of LoRA's that they lack.
#[test]
fn other_kinds_of_adapters_are_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let model = DecoderConfig::from_dir(&golden("logits/llama2_gqa")).unwrap();
    for (json, named) in [
        (r#"{"peft_type": "IA3", "target_modules": ["k_proj"], "feedforward_modules": []}"#, "IA3 scales"),
        (r#"{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 8}"#, "prompt tuning puts"),
        (r#"{"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 8}"#, "prefix tuning puts"),
        (r#"{"peft_type": "VERA", "r": 256, "vera_dropout": 0.0}"#, "VeRA shares"),
        (r#"{"peft_type": "SOMETHING_NEW"}"#, "SOMETHING_NEW"),
        (
            r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "target_modules": ["q_proj", "lm_head"]}"#,
            "`lm_head` adapts",
        ),
        (
            r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "target_modules": ["model.embed_tokens"]}"#,
            "embed_tokens` adapts",
        ),
        (
            r#"{"peft_type": "LORA", "r": 1152921504606846976, "lora_alpha": 8, "target_modules": ["q_proj"]}"#,
            "`r` is 1152921504606846976",
        ),
        (r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "target_modules": 3}"#, "target_modules: neither one value"),
    ] {
        fs::write(dir.path().join("adapter_config.json"), json).unwrap();
        fs::write(dir.path().join("adapter_model.safetensors"), b"").unwrap();
        let error = load_adapter(dir.path(), &model).unwrap_err().to_string();
        assert!(error.contains("adapter_config.json") && error.contains(named), "{named}: {error}");
    }
}

#[cfg(unix)]
#[test]
fn an_export_tells_of_a_file_that_is_there_and_cannot_be_read() {
    let case = Case::open("names");
    let merged = Merged::new(&case.weights, &case.config, None, None);
    for name in ["LICENSE", "tokenizer.json", "generation_config.json"] {
        let (base, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::copy(case.base.join("config.json"), base.path().join("config.json")).unwrap();
        let export = || {
            export_hf(out.path(), base.path(), &merged, &ends(&case.config), MAX_SHARD_BYTES).map_err(|e| e.to_string())
        };
        export().unwrap();
        // A link to itself.
        std::os::unix::fs::symlink(name, base.path().join(name)).unwrap();
        let told = export().unwrap_err();
        assert!(told.starts_with("copy ") && told.ends_with(name), "{told}");
    }
}

/// An export says in every file what ends a text, where the base's files disagree.
#[test]
fn an_export_agrees_with_itself() {
    let case = Case::open("names");
    let base = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        fs::copy(case.base.join(file), base.path().join(file)).unwrap();
    }
    fs::write(base.path().join("generation_config.json"), r#"{"eos_token_id": 3, "temperature": 0.5}"#).unwrap();
    let out = tempfile::tempdir().unwrap();
    let merged = Merged::new(&case.weights, &case.config, None, None);
    let found = Ends { ids: vec![3, 2, 7], disagreement: Some("they do".into()) };
    export_hf(out.path(), base.path(), &merged, &found, MAX_SHARD_BYTES).unwrap();
    let read = |file: &str| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(out.path().join(file)).unwrap()).unwrap()
    };
    for file in ["config.json", "generation_config.json"] {
        assert_eq!(read(file)["eos_token_id"], serde_json::json!([3, 2, 7]), "{file}");
    }
    assert_eq!(read("generation_config.json")["temperature"], 0.5);
}
