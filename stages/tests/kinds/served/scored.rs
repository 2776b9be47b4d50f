//! `score` on servers: the fake of vLLM computes with the same model as the stages here.

use std::fs;

use pipe_testing::{Lab, Ran};
use serde_json::{Value, json};

use super::{asked, fake, running::Other, started, told};
use crate::models::random_model;

const TABLES: &str = "  rows: { kind: table, params: { path: rows.jsonl } }
  choices: { kind: table, params: { path: choices.jsonl } }
  texts: { kind: table, params: { path: texts.jsonl } }
";

/// Two positions more than the model has: as many as a model here reads are then left.
const VLLM: &str = "{ serve: vllm, model: base, program: ./vllm, args: [--max-model-len, 98], max_retries: 0";

/// A lab with a model of 96 positions, items, whole texts, and the fake.
fn lab() -> Lab {
    let lab = Lab::with(pipe_stages::registry());
    fs::create_dir(lab.path("base")).unwrap();
    random_model(&lab.path("base"), 1);
    lab.write("question.jinja", "Question: {{ instruction }}\n");
    lab.write("chat.jinja", "{{ turn(\"user\") }}{{ instruction }}");
    let row = |id: &str, asked: &str, right: &str| {
        let labels = ["It is thing 1.", "thing", "item 2?", "Ä\u{1F600}"];
        json!({ "id": id, "instruction": asked, "labels": labels, "output": right })
    };
    let long = "What is item 3? ".repeat(40);
    lab.jsonl(
        "choices.jsonl",
        [
            row("a", "What is item 1?", "thing"),
            row("b", "What is item 2?  ", "It is thing 1."),
            row("c", "And the next?", "item 2?"),
            row("long", &long, "thing"),
        ],
    );
    lab.jsonl("rows.jsonl", [row("a", "What is item 1?", "thing"), row("b", "And now?", "It is thing 1.")]);
    let text = |id: &str, text: &str| json!({ "id": id, "text": text });
    lab.jsonl("texts.jsonl", [text("one", "Output: It is thing 4."), text("long", &long), text("short", "W")]);
    fake::program(&lab.path("."), "vllm", &lab.path("journal.jsonl"));
    lab
}

/// Stages of all that can be scored, by a model.
fn stages(name: &str, model: &str, inputs: &str) -> String {
    let one = |kind: &str, items: &str, more: &str| {
        format!(
            "  {name}_{kind}: {{ kind: score, inputs: {{ items: {items}{inputs} }}, params: {{ model: {model}, \
             output_type: {kind}, max_refused: 0.5, bootstrap: {{ resamples: 10 }}{more} }} }}\n"
        )
    };
    let asked = ", template: question.jinja";
    one("multiple_choice", "choices", asked)
        + &one("loglikelihood", "choices", asked)
        + &one("loglikelihood_rolling", "texts", "")
}

fn run(lab: &Lab, stages: &[&str]) -> Ran {
    lab.run_stages(&(TABLES.to_owned() + &stages.concat()))
}

/// Holds what two models say of all that can be scored against each other.
fn same(lab: &Lab, here: &str, there: &str) {
    for kind in ["multiple_choice", "loglikelihood", "loglikelihood_rolling"] {
        let [here, there] = [here, there].map(|name| lab.rows(&format!("{name}_{kind}.predictions")));
        assert!(here.len() == there.len() && here.iter().any(|row| row["outcome"] == "scored"), "{kind}: {here:?}");
        for (here, there) in here.iter().zip(&there) {
            for (name, value) in here.as_object().unwrap() {
                match (value.as_f64(), name.as_str()) {
                    (Some(value), _) => close(value, &there[name], name),
                    (None, "logprobs") => {
                        let (all, others) = (value.as_array().unwrap(), there[name].as_array().unwrap());
                        assert_eq!(all.len(), others.len(), "{here}");
                        for (value, other) in all.iter().zip(others) {
                            close(value.as_f64().unwrap(), other, name);
                        }
                    }
                    _ => assert_eq!(*value, there[name], "{name} of {here}"),
                }
            }
        }
    }
}

fn close(value: f64, other: &Value, what: &str) {
    let other = other.as_f64().unwrap();
    assert!((value - other).abs() <= 1e-5 * value.abs().max(1.0), "{what}: {value} here, {other} there");
}

#[test]
fn vllm_scores_as_the_same_model_does_here() {
    let lab = lab();
    let ran = run(&lab, &[&stages("here", "base", ""), &stages("there", &format!("{VLLM} }}"), "")]);
    assert_eq!(ran.failures(), [""; 0]);
    same(&lab, "here", "there");
    assert_eq!(started(&lab).len(), 1, "all stages share it");
    let rows = lab.rows("there_multiple_choice.predictions");
    assert_eq!(rows.iter().map(|row| &row["outcome"]).filter(|outcome| *outcome == "too_long").count(), 1);
    // The long text is read in windows, every one as long as there is room for.
    let sent: Vec<usize> =
        asked(&lab, "/v1/completions").iter().map(|body| fake::tokens(&body["prompt"]).len()).collect();
    assert!(sent.iter().filter(|sent| **sent == 97).count() >= 2 && sent.iter().all(|sent| *sent <= 97), "{sent:?}");
    // Nothing is asked again.
    let before = asked(&lab, "/v1/completions").len();
    run(&lab, &[&stages("there", &format!("{VLLM} }}"), "")]);
    assert_eq!((asked(&lab, "/v1/completions").len(), started(&lab).len()), (before, 1));
}

#[test]
fn a_tokenizer_that_begins_texts_and_an_adapter_are_the_servers() {
    let lab = lab();
    let path = lab.path("base/tokenizer.json");
    let mut tokenizer: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let eos = tokenizer["added_tokens"][0].clone();
    let (token, id) = (&eos["content"], &eos["id"]);
    let special = json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    // In front of and behind every text, as some do.
    tokenizer["post_processor"] = json!({
        "type": "TemplateProcessing", "single": [special, text, special], "pair": [special, text, text],
        "special_tokens": { token.as_str().unwrap(): { "id": token, "ids": [id], "tokens": [token] } },
    });
    fs::write(&path, tokenizer.to_string()).unwrap();
    let adapter = "  adapter: { kind: train, inputs: { examples: rows }, params: { model: base, template: plain, \
                   learning_rate: 0.01, budget: { steps: 3 }, lora: { r: 8 } } }\n";
    let served = format!("{VLLM}, max_lora_rank: 8 }}");
    let of =
        |name: &str, model: &str| stages(name, model, "") + &stages(&format!("{name}_ad"), model, ", adapter: adapter");
    let ran = run(&lab, &[adapter, &of("here", "base"), &of("there", &served)]);
    assert_eq!(ran.failures(), [""; 0]);
    same(&lab, "here", "there");
    same(&lab, "here_ad", "there_ad");
    let first = |name: &str| lab.rows(&format!("{name}_multiple_choice.predictions"))[0]["logprobs"].clone();
    assert_ne!(first("there"), first("there_ad"), "the adapter counts");
    let (loaded, unloaded) = (asked(&lab, "/v1/load_lora_adapter"), asked(&lab, "/v1/unload_lora_adapter"));
    assert!(!loaded.is_empty() && loaded.len() == unloaded.len(), "{loaded:?} {unloaded:?}");
}

/// Gives the model a chat template.
fn converse(lab: &Lab) {
    let path = lab.path("base/tokenizer_config.json");
    let mut config: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    config["chat_template"] = json!(
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant]\n\
         {% endif %}"
    );
    fs::write(&path, config.to_string()).unwrap();
}

#[test]
fn conversations_are_the_servers_own() {
    let lab = lab();
    converse(&lab);
    let chat = |name: &str, model: &str| stages(name, model, "").replace("question.jinja", "chat.jinja");
    let ran = run(&lab, &[&chat("here", "base"), &chat("there", &format!("{VLLM} }}"))]);
    assert_eq!(ran.failures(), [""; 0]);
    same(&lab, "here", "there");
    assert!(asked(&lab, "/tokenize").iter().any(|body| body["messages"][0]["role"] == "user"));
    // `chat: true` makes a conversation of a text, too; a text behind it has no space in front.
    lab.write("question.jinja", "{{ instruction | trim }}");
    let sent = stages("sent", &format!("{VLLM}, chat: true }}"), "");
    let ran = run(&lab, &[&chat("here", "base"), &sent]);
    assert_eq!(ran.failures(), [""; 0]);
    same(&lab, "here", "sent");
}

#[test]
fn a_server_that_does_not_tell_gives_no_number() {
    for (lacks, words) in [
        ("tokenize", "it has no such address (404)"),
        ("prompt_logprobs", "it has no `prompt_logprobs`: the server tells of what it writes alone"),
        ("a token", "tokens, and"),
        ("the right token", "`prompt_logprobs` say nothing of the token"),
    ] {
        let lab = lab();
        let model = format!("{VLLM}, local_args: ['--fake-lacks', '{lacks}'] }}");
        let ran = run(&lab, &[stages("s", &model, "").lines().next().unwrap(), "\n"]);
        let failure = told(&ran);
        assert!(failure.contains("how probable texts are") && failure.contains(words), "{lacks}: {failure}");
        assert!(failure.contains("vLLM tells it, where its `/tokenize`"), "{failure}");
        // Of what it said nothing is kept, but that the tokens of one item are too many.
        let ran = run(&lab, &[stages("s", &format!("{VLLM} }}"), "").lines().next().unwrap(), "\n"]);
        assert_eq!(ran.failures(), [""; 0]);
        let stats = ran.stats("s_multiple_choice");
        assert!(stats.rows_computed >= 3 && stats.rows_reused <= 1, "{lacks}: {stats:?}");
        started(&lab);
    }
}

#[test]
fn what_the_server_finds_too_long_is_an_outcome() {
    let lab = lab();
    // It says that there is more room than there is.
    let model = VLLM.replace("98", "30") + ", local_args: [--fake-told-len, 98] }";
    let ran = run(&lab, &[&stages("s", &model, "").replace("max_refused: 0.5", "max_refused: 1")]);
    assert_eq!(ran.failures(), [""; 0]);
    let outcomes: Vec<Value> =
        lab.rows("s_loglikelihood_rolling.predictions").iter().map(|row| row["outcome"].clone()).collect();
    assert_eq!(outcomes, ["scored", "too_long", "scored"]);
    assert_eq!(lab.count("s_loglikelihood_rolling", "too_long"), 1);
}

#[test]
fn a_run_that_is_cut_off_goes_on_where_it_was() {
    let lab = lab();
    let stage = |more: &str| {
        let model = format!("{VLLM}, concurrency: 1{more} }}");
        stages("s", &model, "").lines().nth(1).unwrap().to_owned() + "\n"
    };
    let failure = told(&run(&lab, &[&stage(", local_args: [--fake-dies, 2]")]));
    assert!(failure.contains("illegal memory access"), "{failure}");
    let before = asked(&lab, "/v1/completions").len();
    assert_eq!(before, 3, "the third had no answer");
    let ran = run(&lab, &[&stage("")]);
    assert_eq!(ran.failures(), [""; 0]);
    // Four items, of which one is too long to be sent.
    let asked = asked(&lab, "/v1/completions");
    assert_eq!(asked.len() - before, 1);
    assert_eq!(asked[2]["prompt"], asked[3]["prompt"]);
    let outcomes: Vec<Value> = lab.rows("s_loglikelihood").iter().map(|row| row["outcome"].clone()).collect();
    assert_eq!(outcomes, ["scored", "scored", "scored", "too_long"]);
}

#[test]
fn a_server_that_runs_already_is_named_by_its_address() {
    let lab = lab();
    let model = |server: &Other| format!("'http://127.0.0.1:{}/v1#org/base'", server.port);
    let silent = Other::start(&lab, &["--max-model-len", "98"], &[]);
    // What is behind a prompt needs no token of a beginning; the tokenizer of this model has none that it puts there.
    let all = stages("there", &model(&silent), "");
    let (asked_for, rolling) = all.split_at(all.find("  there_loglikelihood_rolling").unwrap());
    assert_eq!(run(&lab, &[asked_for]).failures(), [""; 0]);
    let failure = told(&run(&lab, &[rolling]));
    assert!(failure.contains("which token begins a text"), "{failure}");
    assert!(failure.contains("--enable-tokenizer-info-endpoint"), "{failure}");
    let telling = Other::start(&lab, &["--max-model-len", "98", "--enable-tokenizer-info-endpoint"], &[]);
    let ran = run(&lab, &[&stages("here", "base", ""), &stages("there", &model(&telling), "")]);
    assert_eq!(ran.failures(), [""; 0]);
    same(&lab, "here", "there");
    let failure = told(&run(&lab, &[&rolling.replace("org/base", "org/other")]));
    assert!(failure.contains("The model \\\"org/other\\\" does not exist"), "{failure}");
}

#[test]
fn a_plan_has_servers_that_tell_and_refuses_those_that_do_not() {
    let lab = lab();
    let planned = |model: &str| {
        let pipeline = lab.pipeline(&format!("pipeline: p\nstages:\n{TABLES}{}", stages("s", model, "")));
        let plan = pipe_engine::inspect::plan(&pipeline, &lab.store, &lab.options).unwrap();
        format!("{:?}", plan.nodes.iter().map(|node| (&node.place, &node.action)).collect::<Vec<_>>())
    };
    let plan = planned(&format!("{VLLM} }}"));
    assert!(plan.contains("starts vLLM, model base") && !plan.contains("Fails"), "{plan}");
    assert!(planned("'http://localhost:1/v1#m'").contains("server localhost:1, model m"));
    for (model, name) in [
        ("{ endpoint: 'http://localhost:1/v1', model: m, server: llama_cpp }", "llama.cpp's server"),
        ("{ endpoint: 'http://localhost:1/v1', model: m, server: ollama }", "Ollama's server"),
        ("{ serve: llama_cpp, model: x.gguf }", "llama.cpp's server"),
    ] {
        let problems = lab.problems(&(TABLES.to_owned() + &stages("s", model, "")));
        assert!(problems.contains(&format!("{name} does not tell how probable a text is")), "{problems}");
    }
}
