//! Chat templates against `transformers`.

use std::{collections::BTreeMap, fs};

use pipe_lm::{
    chat::{ChatError, ChatOptions, ChatTemplate, Date, Message},
    tokenizer::SpecialTokens,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::support::golden_text;

#[derive(Deserialize)]
struct Golden {
    special: BTreeMap<String, String>,
    templates: BTreeMap<String, String>,
    chats: BTreeMap<String, Vec<Map<String, Value>>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    chat: String,
    options: Map<String, Value>,
    text: Option<String>,
    error: Option<String>,
}

/// The moment at which the golden texts were rendered.
const NOW: Date = Date { year: 2026, month: 3, day: 7, hour: 9, minute: 5, second: 2 };

fn special(named: &BTreeMap<String, String>) -> SpecialTokens {
    let get = |role: &str| named.get(role).cloned();
    SpecialTokens {
        bos_token: get("bos_token"),
        eos_token: get("eos_token"),
        pad_token: get("pad_token"),
        unk_token: None,
    }
}

#[test]
fn prompts_are_those_of_apply_chat_template() {
    let golden: Golden = serde_json::from_str(&golden_text("chat.json")).unwrap();
    for case in golden.cases {
        let template = ChatTemplate::new(&golden.templates[&case.template], special(&golden.special)).unwrap();
        let mut variables = case.options.clone();
        let add_generation_prompt = variables.remove("add_generation_prompt") == Some(Value::Bool(true));
        let options = ChatOptions { add_generation_prompt, date: Some(NOW), variables };
        let what = format!("{} / {} / {:?}", case.template, case.chat, case.options);
        match (template.render(&golden.chats[&case.chat], &options), case.text, case.error) {
            (Ok(found), Some(expected), _) => assert_eq!(found, expected, "{what}"),
            (Err(ChatError::Refused { message }), None, Some(expected)) => assert_eq!(message, expected, "{what}"),
            (found, expected, error) => panic!("{what}: {found:?}, expected {expected:?} or {error:?}"),
        }
    }
}

#[test]
fn without_a_date_the_template_uses_its_own() {
    let golden: Golden = serde_json::from_str(&golden_text("chat.json")).unwrap();
    let template = ChatTemplate::new(&golden.templates["llama3"], special(&golden.special)).unwrap();
    let text = template.render(&[Message::new("user", "hi")], &ChatOptions::default()).unwrap();
    assert!(text.contains("Today Date: 26 Jul 2024"), "{text}");
}

#[test]
fn dates_are_spelled_as_in_python() {
    let check = |format: &str, expect: &str| {
        let template =
            ChatTemplate::new(&format!("{{{{ strftime_now('{format}') }}}}"), SpecialTokens::default()).unwrap();
        let options = ChatOptions { date: Some(NOW), ..ChatOptions::default() };
        assert_eq!(template.render::<Message>(&[], &options).unwrap(), expect);
    };
    check("%A %a %d %B %b %Y %y", "Saturday Sat 07 March Mar 2026 26");
    check("%F %T %H:%M:%S %e %m %%", "2026-03-07 09:05:02 09:05:02  7 03 %");
}

#[test]
fn the_template_is_found_wherever_it_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    let render = || {
        let template = ChatTemplate::from_dir(dir.path()).unwrap()?;
        Some(template.render::<Message>(&[], &ChatOptions::default()).unwrap())
    };
    assert_eq!(render(), None);
    write("tokenizer_config.json", r#"{"eos_token": "<e>", "chat_template": "plain {{ eos_token }}"}"#);
    assert_eq!(render().as_deref(), Some("plain <e>"));
    let named = r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "named"}]}"#;
    write("tokenizer_config.json", named);
    assert_eq!(render().as_deref(), Some("named"));
    write("chat_template.jinja", "file\n");
    assert_eq!(render().as_deref(), Some("file"));
}

#[test]
fn a_broken_template_says_where() {
    let error = ChatTemplate::new("{% for m in messages %}", SpecialTokens::default()).unwrap_err();
    assert_eq!(error.to_string(), "compile the chat template");
    let template = ChatTemplate::new("{{ messages.nothing() }}", SpecialTokens::default()).unwrap();
    let error = template.render::<Message>(&[], &ChatOptions::default()).unwrap_err();
    assert!(matches!(error, ChatError::Render(_)), "{error:?}");
}
