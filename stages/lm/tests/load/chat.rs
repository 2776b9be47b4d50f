//! Chat templates against `transformers`.

use std::{collections::BTreeMap, fs};

use chrono::NaiveDate;
use pipe_lm::{
    chat::{ChatError, ChatOptions, ChatTemplate, Date, Message},
    tokenizer::{SpecialTokens, Tokenizer},
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
const NOW: Date = Date(NaiveDate::from_ymd_opt(2026, 3, 7).unwrap().and_hms_opt(9, 5, 2).unwrap());

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
        let options = ChatOptions { add_generation_prompt, date: NOW, variables };
        let what = format!("{} / {} / {:?}", case.template, case.chat, case.options);
        match (template.render(&golden.chats[&case.chat], &options), case.text, case.error) {
            (Ok(found), Some(expected), _) => assert_eq!(found, expected, "{what}"),
            (Err(ChatError::Refused { message }), None, Some(expected)) => assert_eq!(message, expected, "{what}"),
            (found, expected, error) => panic!("{what}: {found:?}, expected {expected:?} or {error:?}"),
        }
    }
}

#[test]
fn without_a_date_the_template_prints_the_one_that_it_would_print_itself() {
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
        let options = ChatOptions { date: NOW, ..ChatOptions::default() };
        assert_eq!(template.render::<Message>(&[], &options).unwrap(), expect);
    };
    check("%A %a %d %B %b %Y %y", "Saturday Sat 07 March Mar 2026 26");
    check("%F %T %H:%M:%S %e %m %%", "2026-03-07 09:05:02 09:05:02  7 03 %");
    check("%-d. %-m. %I %p %j", "7. 3. 09 AM 066");
    for unknown in ["%Q", "ends with %"] {
        let source = format!("{{{{ strftime_now('{unknown}') }}}}");
        let template = ChatTemplate::new(&source, SpecialTokens::default()).unwrap();
        let error = template.render::<Message>(&[], &ChatOptions::default()).unwrap_err();
        assert!(matches!(&error, ChatError::Render(e) if e.to_string().contains(unknown)), "{error:?}");
    }
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

/// The clock never decides what a prompt is; templates that ask for the date (SmolLM3, Mistral Small, Llama 3) get the
/// one that is given.
#[test]
fn the_date_is_a_parameter() {
    let template = ChatTemplate::new("{{ strftime_now('%d %B %Y') }}", SpecialTokens::default()).unwrap();
    let on = |date: &str| {
        let options = ChatOptions { date: date.parse().unwrap(), ..ChatOptions::default() };
        template.render::<Message>(&[], &options).unwrap()
    };
    assert_eq!(on("2025-01-31"), "31 January 2025");
    assert_eq!(on("2024-02-29"), "29 February 2024");
    for wrong in ["2025-02-29", "2025-13-01", "25-01-01", "2025-1-1", "today", "2025-01-01T00:00", "+025-01-01"] {
        assert!(wrong.parse::<Date>().is_err(), "{wrong}");
    }
}

/// Mistral 7B v0.1's template refuses a system turn; others leave its text out without a word.
#[test]
fn system_text_goes_into_the_first_user_turn_where_the_template_has_no_place_for_it() {
    let mistral = "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 \
                   == 0) %}\
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}\
        {% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}\
        {% else %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}";
    let silent = "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let gemma = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}\
        {% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let own = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}";
    let special =
        SpecialTokens { bos_token: Some("<s>".into()), eos_token: Some("</s>".into()), ..SpecialTokens::default() };
    let turns = [Message::new("system", "Be brief."), Message::new("user", "Why?")];
    for (template, expect) in [
        (mistral, "<s>[INST] Be brief.\n\nWhy? [/INST]"),
        (silent, "<user>Be brief.\n\nWhy?"),
        (gemma, "<user>Be brief.\n\nWhy?"),
        (own, "<system>Be brief.<user>Why?"),
    ] {
        let template = ChatTemplate::new(template, special.clone()).unwrap();
        assert_eq!(template.conversation(&turns, &ChatOptions::default()).unwrap(), expect);
    }
    // What is wrong otherwise stays wrong, and is told of the conversation as it is.
    let template = ChatTemplate::new(mistral, special).unwrap();
    let twice = [turns[0].clone(), turns[1].clone(), turns[1].clone()];
    let error = template.conversation(&twice, &ChatOptions::default()).unwrap_err();
    assert!(matches!(error, ChatError::Refused { .. }), "{error:?}");
}

/// Values are written, compared and let go by recursion: one that held itself would end the process.
#[test]
fn nothing_holds_itself() {
    let render = |source: &str| {
        let template = ChatTemplate::new(source, SpecialTokens::default())?;
        template.render(&[Message::new("user", "hi")], &ChatOptions::default())
    };
    for held in ["ns", "[ns]", "{'x': {'y': ns}}", "(1, [ns])", "[other]", "loop"] {
        for used in
            ["ns ~ ''", "ns|string", "ns|tojson", "ns", "ns == other", "ns in [other]", "[ns]|join", "ns < other"]
        {
            let source = format!(
                "{{% set ns = namespace() %}}{{% set other = namespace() %}}{{% for m in [ns, other] %}}\
                 {{% set other.a = ns %}}{{% set ns.a = {held} %}}{{% endfor %}}{{{{ {used} }}}}"
            );
            let error = render(&source).unwrap_err();
            assert!(matches!(&error, ChatError::Render(e) if e.to_string().contains("hold")), "{source}: {error:?}");
        }
    }
    // What looks at a namespace when it is asked is kept as it was when it was set.
    let source =
        "{% set ns = namespace(b=[1]) %}{% set ns.a = ns|items %}{% set ns.c = dict(ns) %}{{ ns.a|list }}{{ ns.c.b }}";
    assert_eq!(render(source).unwrap(), "[['b', [1]]][1]");
    // So are loops, whose neighbours change.
    let source = "{% set ns = namespace() %}{% for m in [1, 2] %}{% if loop.first %}{% set ns.l = loop %}{% endif %}\
                  {% endfor %}{{ ns.l.nextitem }}{{ ns.l.previtem is defined }}";
    assert_eq!(render(source).unwrap(), "2False");
    // As they are used.
    let source = "{% set ns = namespace(found=false, all=[]) %}{% for m in messages %}\
                  {% set ns.found = m.role == 'user' \
                  %}{% set ns.all = ns.all + [m] %}{% set x, ns.y = m.content, (1, 2) %}{% endfor %}\
                  {{ ns.found }}{{ ns.all[0]['content'] }}{{ ns.y[1] }}";
    assert_eq!(render(source).unwrap(), "Truehi2");
}

#[test]
fn what_variables_hold_is_nested_no_deeper_than_it_can_be_walked() {
    let render = |source: &str| {
        let template = ChatTemplate::new(source, SpecialTokens::default())?;
        template.render(&[Message::new("user", "hi")], &ChatOptions::default())
    };
    let deeper = |set: &str| format!("{{% set x = [] %}}{}{{{{ x ~ '' }}}}", set.repeat(20_000));
    for source in [
        "{% set ns = namespace(a=1) %}{% for i in range(100000) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a ~ '' }}"
            .to_owned(),
        "{% set ns = namespace(a='') %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a ~ 1 }}"
            .to_owned(),
        deeper("{% set x = [x] %}"),
        deeper("{% set x = {'a': x} %}"),
        "{% macro m(x) %}{{ m([[[[[[[[[[x]]]]]]]]]]) }}{% endmacro %}{{ m(1) }}".to_owned(),
    ] {
        let error = render(&source).unwrap_err();
        assert!(matches!(&error, ChatError::Render(_)), "{error:?}");
    }
}

#[derive(Deserialize)]
struct Conversations {
    marked: Vec<Conversation>,
    plain: Vec<Conversation>,
}

#[derive(Deserialize)]
struct Conversation {
    template: String,
    messages: Vec<Message>,
    #[serde(default)]
    ids: Vec<u32>,
    #[serde(default)]
    mask: Vec<u8>,
    #[serde(default)]
    text: String,
    /// In characters.
    #[serde(default)]
    spans: Vec<(usize, usize)>,
}

#[test]
fn every_turn_of_the_assistant_is_trained_on_that_trl_trains_on() {
    let golden: Conversations = serde_json::from_str(&golden_text("turns.json")).unwrap();
    let tokenizer = Tokenizer::from_dir(&crate::support::golden("tokenizers/byte_level")).unwrap();
    let turns = |case: &Conversation| {
        let template = ChatTemplate::new(&case.template, SpecialTokens::default()).unwrap();
        template.turns(&case.messages, &ChatOptions::default()).unwrap()
    };
    assert!(golden.marked.len() > 8 && golden.plain.len() > 4);
    for case in &golden.marked {
        let (tokens, said) = tokenizer.encode_turns(&turns(case)).unwrap();
        let mask: Vec<u8> = said.into_iter().map(u8::from).collect();
        assert_eq!((tokens, mask), (case.ids.clone(), case.mask.clone()), "{:?}", case.messages);
    }
    for case in &golden.plain {
        let turns = turns(case);
        let bytes = |at: usize| case.text.char_indices().nth(at).map_or(case.text.len(), |(at, _)| at);
        let spans: Vec<_> = case.spans.iter().map(|&(start, end)| bytes(start)..bytes(end)).collect();
        assert_eq!((&turns.text, &turns.spans), (&case.text, &spans), "{:?}", case.messages);
    }
}
