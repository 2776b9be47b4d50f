use std::{fs, ops::ControlFlow};

use candle_core::DType;
use pipe_engine::kind::{Source, SourceHost};
use pipe_lm::{
    fresh::{Architecture, save},
    generate::{Backend, Completion, Request, SamplingParams, endpoint::Server},
    tokenizer::train_bpe,
};
use serde_json::json;

use super::*;

fn small_model(dir: &Path, seed: u64) {
    let tokenizer = train_bpe((0..60).map(|i| format!("Instruction: item {i}\nOutput: yes\n")), 300).unwrap();
    let architecture = Architecture {
        hidden_size: 32,
        intermediate_size: 48,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 64,
    };
    save(dir, &architecture.decoder(&tokenizer, seed).unwrap(), &tokenizer, DType::F32).unwrap();
}

fn open(dir: &Path) -> Arc<BaseModel> {
    BaseModel::open(&LocalModel::Directory { path: dir.to_owned(), commit: None }).unwrap()
}

fn complete(model: &BaseModel, adapter: Option<&Path>) -> String {
    let generator = model.generator(WeightForm::F32, adapter, InFlight { slots: 2, memory: None }).unwrap();
    let params = SamplingParams { temperature: 1.0, max_new_tokens: 12, ignore_eos: true, ..SamplingParams::default() };
    let mut text = String::new();
    let mut rows = std::iter::once(Request::text("r", "Instruction: item 7\nOutput:"));
    let mut sink = |completion: Completion| {
        text = completion.text;
        ControlFlow::Continue(())
    };
    generator.complete(&mut rows, &params, &mut sink).unwrap();
    text
}

#[test]
fn one_base_is_shared_and_a_changed_file_is_another_model() {
    let dir = tempfile::tempdir().unwrap();
    small_model(dir.path(), 1);
    let first = open(dir.path());
    assert!(Arc::ptr_eq(&first, &open(&dir.path().join("."))));
    let held = first.decoder(WeightForm::F32).unwrap();
    assert!(Arc::ptr_eq(&held, &first.decoder(WeightForm::F32).unwrap()));
    let quantised = first.decoder(WeightForm::Nf4).unwrap();
    assert!(Arc::ptr_eq(&quantised, &first.decoder(WeightForm::Nf4).unwrap()));
    assert!(!Arc::ptr_eq(&quantised, &held));
    let text = complete(&first, None);
    let other = tempfile::tempdir().unwrap();
    small_model(other.path(), 2);
    for file in ["model.safetensors", "config.json"] {
        fs::copy(other.path().join(file), dir.path().join(file)).unwrap();
    }
    let second = open(dir.path());
    assert!(!Arc::ptr_eq(&first, &second));
    assert_ne!(text, complete(&second, None));
}

#[test]
fn an_adapter_lies_over_the_base_and_leaves_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    small_model(dir.path(), 3);
    let model = open(dir.path());
    let before = complete(&model, None);
    let config = pipe_lm::adapter::AdapterConfig::new(4, 64.0, pipe_lm::adapter::TargetModules::AllLinear);
    let mut decoder = pipe_lm::model::Decoder::clone(&model.decoder(WeightForm::F32).unwrap());
    pipe_lm::train::attach_lora(&mut decoder, "a", &config, 5).unwrap();
    let mut adapter = decoder.adapter("a").unwrap();
    // LoRA begins with B = 0; something else, so that the adapter changes the text.
    for weights in adapter.modules.values_mut() {
        weights.b = weights
            .a
            .t()
            .unwrap()
            .mean_keepdim(0)
            .unwrap()
            .broadcast_as(weights.b.shape())
            .unwrap()
            .contiguous()
            .unwrap();
    }
    let place = tempfile::tempdir().unwrap();
    pipe_lm::adapter::save_adapter(place.path(), &config, &adapter, model.config()).unwrap();
    assert_ne!(before, complete(&model, Some(place.path())));
    assert_eq!(before, complete(&model, None));
    let empty = tempfile::tempdir().unwrap();
    let error = model.generator(WeightForm::F32, Some(empty.path()), InFlight { slots: 1, memory: None }).unwrap_err();
    assert!(error.to_string().contains("adapter_config.json"), "{error}");
}

struct Host(PathBuf);

impl SourceHost for Host {
    fn base_dir(&self) -> &Path {
        &self.0
    }
    fn env(&self, _: &str) -> Option<&str> {
        None
    }
    fn digest(&self, path: &Path) -> Result<pipe_cache::Digest, StageError> {
        Ok(pipe_cache::Digest::of_bytes(&fs::read(path).unwrap()))
    }
}

fn identity(model: &ModelRef, base: &Path) -> Result<serde_json::Value, StageError> {
    match model.source() {
        Source::Found { find, .. } => find.find(&Host(base.to_owned())),
        Source::Value { value, .. } => Ok(value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn content_enters_the_key_and_place_does_not() {
    let base = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(base.path().join(name)).unwrap();
        small_model(&base.path().join(name), 1);
    }
    let of = |text: &str| identity(&ModelRef::parse(text).unwrap(), base.path());
    assert_eq!(of("a").unwrap(), of("b").unwrap());
    fs::write(base.path().join("b/README.md"), "about").unwrap();
    assert_eq!(of("a").unwrap(), of("b").unwrap());
    fs::write(base.path().join("b/generation_config.json"), "{}").unwrap();
    assert_ne!(of("a").unwrap(), of("b").unwrap());
    let error = of("c").unwrap_err().to_string();
    assert!(error.contains("there is no such file or directory"), "{error}");
    let served = |text: &str| of(text).unwrap();
    assert_eq!(served("http://one:1/v1#m"), served("http://two:2/v1#m"));
    assert_ne!(served("http://one:1/v1#m"), served("http://one:1/v1#n"));
}

#[test]
fn a_served_model_is_another_than_the_same_files_here() {
    let base = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(base.path().join(name)).unwrap();
        small_model(&base.path().join(name), 1);
    }
    let of = |value: serde_json::Value| {
        let model: ModelRef = serde_json::from_value(value).unwrap();
        assert_eq!(serde_json::from_value::<ModelRef>(serde_json::to_value(&model).unwrap()).unwrap(), model);
        identity(&model, base.path()).unwrap()
    };
    let served = of(json!({ "serve": "vllm", "model": "a" }));
    assert_eq!(served["model"]["config.json"], of(json!("a"))["config.json"]);
    assert_ne!(served, of(json!("a")));
    for same in [
        json!({ "serve": "vllm", "model": "b", "program": "/opt/vllm", "concurrency": 2, "start_seconds": 9 }),
        json!({ "serve": "vllm", "model": "a", "local_args": ["--threads", "2"], "max_lora_rank": 8 }),
    ] {
        assert_eq!(of(same.clone()), served, "{same}");
    }
    for other in [
        json!({ "serve": "vllm", "model": "a", "args": ["--dtype", "float16"] }),
        json!({ "serve": "vllm", "model": "a", "version": "0.11.0" }),
        json!({ "serve": "vllm" }),
    ] {
        assert_ne!(of(other.clone()), served, "{other}");
    }
    let there = |version: &str| of(json!({ "endpoint": "http://h/v1", "model": "m", "version": version }));
    assert_ne!(there("1"), there("2"));
}

#[test]
fn the_parameter_is_a_text_or_an_object() {
    let parse = |value: serde_json::Value| serde_json::from_value::<ModelRef>(value).map_err(|e| e.to_string());
    let server = parse(json!("https://host/v1/#org/name")).unwrap();
    let ModelRef::Endpoint(e) = &server else { panic!("{server:?}") };
    assert_eq!((&*e.endpoint, &*e.model, e.server), ("https://host/v1", "org/name", Server::OpenAi));
    let detailed =
        parse(json!({ "endpoint": "http://host/v1", "model": "m", "server": "vllm", "concurrency": 32 })).unwrap();
    assert_eq!(parse(serde_json::to_value(&detailed).unwrap()).unwrap(), detailed);
    for text in ["models/nano", "hf:org/name@main", "x.gguf"] {
        assert_eq!(serde_json::to_value(parse(json!(text)).unwrap()).unwrap(), json!(text));
    }
    for (wrong, message) in [
        (json!("http://host/v1"), "#model-name"),
        (json!("hf:name"), "hf:org/name"),
        (json!({ "endpoint": "http://host/v1" }), "model"),
        (json!({ "endpoint": "http://host/v1", "model": "m", "sever": "vllm" }), "sever"),
        (json!(3), "a model"),
        (json!("https://me:secret@host/v1#m"), "https://***@host/v1#m"),
        (json!({ "endpoint": "https://me:secret@host/v1", "model": "m" }), "https://***@host/v1"),
        (
            json!({ "endpoint": "http://host/v1", "model": "m", "proxy": "http://me:secret@proxy:8" }),
            "http://***@proxy:8",
        ),
    ] {
        let error = parse(wrong.clone()).unwrap_err();
        assert!(error.contains(message) && !error.contains("secret"), "{wrong}: {error}");
    }
}

/// A model whose `config.json` names another end than its tokenizer, with which training ends texts.
#[test]
fn files_that_disagree_about_the_end_of_a_text_are_told_and_all_of_them_count() {
    let base = tempfile::tempdir().unwrap();
    small_model(base.path(), 1);
    let agreed = open(base.path());
    assert_eq!((agreed.stop_tokens(), agreed.notes()), (&[0][..], vec![]));
    let of = || identity(&ModelRef::parse(".").unwrap(), base.path()).unwrap();
    assert_eq!(of().get("reading"), None, "keys of models that were always read so stay");
    let config = base.path().join("config.json");
    let text = fs::read_to_string(&config).unwrap().replace("\"eos_token_id\": 0", "\"eos_token_id\": 5");
    fs::write(&config, text).unwrap();
    let disagreeing = open(base.path());
    assert_eq!(disagreeing.stop_tokens(), [5, 0]);
    let notes = disagreeing.notes();
    assert!(notes.len() == 1 && notes[0].contains("config.json names") && notes[0].contains("<eos> (0)"), "{notes:?}");
    assert_eq!(of()["reading"], json!(2), "what was computed with them before is computed again");
}

/// A template that uses what only Python has is told by `plan`, with the cause, and not row by row.
#[test]
fn a_chat_template_that_fails_on_every_conversation_is_told_before_a_run() {
    let base = tempfile::tempdir().unwrap();
    small_model(base.path(), 1);
    let look = |chat: &str, template: &str| {
        fs::write(base.path().join("chat_template.jinja"), chat).unwrap();
        let template = serde_json::from_value(json!(template)).unwrap();
        let asked = Asked { template: Some((&template, crate::prompts::Purpose::Respond)), ..Asked::default() };
        preview(Some(&ModelRef::parse(".").unwrap()), &asked, &Host(base.path().to_owned())).map_err(|e| e.to_string())
    };
    let broken = "{{ messages[0].content.partition(' ') }}";
    for template in ["chat", "auto"] {
        let told = look(broken, template).unwrap_err();
        assert!(
            told.contains("nothing can be asked with the chat template of ") && told.contains("partition"),
            "{told}"
        );
    }
    assert!(look(broken, "plain").is_ok());
    // What is refused, or fails without a system text alone, may be asked otherwise.
    for other in ["{{ raise_exception('no') }}", "{{ messages[1].content.strip() }}", "{{ messages[0].content }}"] {
        assert!(look(other, "chat").is_ok(), "{other}");
    }
}

#[test]
fn models_on_this_disk_are_watched() {
    let lab = pipe_testing::Lab::with(crate::registry());
    fs::create_dir_all(lab.path("m/1_Pooling")).unwrap();
    for (model, changed) in
        [("m", "m/config.json"), ("m", "m/1_Pooling/config.json"), ("./m", "m/new"), ("m.gguf", "m.gguf")]
    {
        let stages = format!(
            "pipeline: p\nstages:\n  rows: {{ kind: embedded_world }}\n  a: {{ kind: respond, inputs: {{ instructions: \
             rows.seeds }}, params: {{ model: {model} }} }}\n"
        );
        let watched = pipe_engine::inspect::Watched::of(&lab.pipeline(&stages));
        let before = watched.look();
        lab.write(changed, &format!("{} for {model}", "x".repeat(before.len())));
        assert_ne!(watched.look(), before, "{model} {changed}");
    }
}
