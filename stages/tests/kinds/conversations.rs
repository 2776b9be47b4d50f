//! Training on conversations, in pipelines.

use std::fs;

use pipe_testing::Lab;
use serde_json::{Value, json};

use crate::{models::random_model, tables::numbers};

const CHATML: &str = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }};\n{% endfor %}\
                      {% if add_generation_prompt %}<|assistant|>{% endif %}";

fn lab(chat_template: Option<&str>) -> Lab {
    let lab = Lab::with(pipe_stages::registry());
    fs::create_dir(lab.path("base")).unwrap();
    random_model(&lab.path("base"), 3);
    if let Some(template) = chat_template {
        let config = lab.path("base").join("tokenizer_config.json");
        let mut text: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
        text["chat_template"] = json!(template);
        fs::write(&config, text.to_string()).unwrap();
    }
    lab
}

fn turn(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

/// A stage that trains on the rows of a file.
fn training(name: &str, rows: &str, more: &str) -> String {
    format!(
        "  {name}_rows: {{ kind: table, params: {{ path: {rows} }} }}\n  {name}:\n    kind: train\n    inputs: {{ \
         examples: {name}_rows }}\n    params: {{ model: base, lora: {{ r: 2 }}, budget: {{ steps: 2 }}, \
         micro_batch_size: 4, gradient_accumulation_steps: 1{more} }}\n"
    )
}

#[test]
fn a_conversation_of_one_exchange_is_trained_on_as_a_row_with_an_answer() {
    let lab = lab(Some(CHATML));
    let question = |i: usize| format!("What is item {i}?");
    let answer = |i: usize| format!("It is thing {i}.");
    lab.jsonl("rows.jsonl", (0..4).map(|i| json!({ "id": i, "instruction": question(i), "output": answer(i) })));
    let chat = |i| json!({ "id": i, "messages": [turn("user", &question(i)), turn("assistant", &answer(i))] });
    lab.jsonl("chats.jsonl", (0..4).map(chat));
    lab.write("bare.jinja", "{{ turn('user') }}{{ instruction }}{{ turn('assistant') }}{{ output|default('') }}");
    let stages = training("a", "rows.jsonl", ", template: bare.jinja") + &training("b", "chats.jsonl", "");
    assert_eq!(lab.run_stages(&stages).failures(), [""; 0]);
    assert_eq!(lab.digest("a.adapter"), lab.digest("b.adapter"));
    assert_eq!(lab.digest("a.log"), lab.digest("b.log"));
    let told = lab.run_stages(&training("b", "chats.jsonl", ", open_book: true")).warnings().join("\n");
    assert!(told.contains("`examples` has conversations, which stand as they are: `open_book` shows"), "{told}");
}

#[test]
fn the_loss_falls_on_every_turn_of_the_assistant() {
    let lab = lab(Some(CHATML));
    let chat = [turn("system", "S"), turn("user", "Q"), turn("assistant", "It is thing 1."), turn("user", "R")];
    let longer: Vec<Value> = chat.iter().cloned().chain([turn("assistant", "It is thing 2.")]).collect();
    lab.jsonl("one.jsonl", [json!({ "messages": chat })]);
    lab.jsonl(
        "two.jsonl",
        [
            json!({ "messages": longer }),
            json!({ "messages": [turn("user", "Q"), { "role": "assistant", "content": null }] }),
            json!({ "messages": [turn("assistant", "It is thing 3.")] }),
        ],
    );
    let ran = lab.run_stages(&(training("one", "one.jsonl", "") + &training("two", "two.jsonl", "")));
    assert_eq!(ran.failures(), [""; 0]);
    let targets = |stage: &str| numbers(&lab.table(&format!("{stage}.log")), "target_tokens")[0];
    assert!(targets("one") > 3.0);
    assert!((targets("two") - 2.0 * targets("one")).abs() < 1e-9, "both answers have as many tokens");
    let warnings = ran.warnings();
    assert!(warnings.iter().any(|w| w.contains("2 of 3 rows of `examples` have no instruction")), "{warnings:?}");
}

/// What is made with `auto` is what is made with the template that it stands for, but for the draws.
#[test]
fn the_template_is_chosen_by_what_the_model_brings() {
    let stages = |template: &str| {
        let more = format!(", template: {template}");
        training("t", "rows.jsonl", &more)
            + &format!(
                "  e:
    kind: evaluate
    inputs: {{ items: t_rows }}
    params: {{ model: base, template: {template}, max_new_tokens: 4, temperature: 0 }}\n"
            )
    };
    for (brings, stands_for, other) in [(Some(CHATML), "chat", "plain"), (None, "plain", "alpaca")] {
        let lab = lab(brings);
        // The words of the chat prompt are many for its tokenizer.
        let config = lab.path("base").join("config.json");
        let mut text: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
        text["max_position_embeddings"] = json!(512);
        fs::write(&config, text.to_string()).unwrap();
        let row = |i: usize| json!({ "id": i, "instruction": format!("Say {i}."), "output": format!("{i}, then.") });
        lab.jsonl("rows.jsonl", (0..4).map(row));
        let made = |template: &str| {
            assert_eq!(lab.run_stages(&stages(template)).failures(), [""; 0], "{template}");
            (lab.digest("t.log"), lab.digest("e.predictions"))
        };
        let automatic = made("auto");
        assert_eq!(automatic, made(stands_for), "{stands_for}");
        assert_ne!(automatic.0, made(other).0, "{other}");
    }
}

#[test]
fn a_model_without_a_chat_template_is_told_from_one() {
    let lab = lab(None);
    lab.jsonl("chats.jsonl", [json!({ "messages": [turn("user", "Q"), turn("assistant", "A")] })]);
    let failure = lab.run_stages(&training("t", "chats.jsonl", "")).failure();
    assert!(failure.contains("the model has no chat template"), "{failure}");
}
