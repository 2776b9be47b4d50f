use pipe_lm::{chat::ChatTemplate, tokenizer::SpecialTokens};

use super::*;

fn demonstration<'a>(instruction: &'a str, input: &'a str, output: Option<&'a str>) -> Demonstration<'a> {
    Demonstration { instruction, input, output, passages: &[] }
}

fn load(name: &str, purpose: Purpose) -> PromptTemplate {
    TemplateRef(name.to_owned()).load(purpose, Path::new("/nowhere")).unwrap()
}

fn text(template: &PromptTemplate, context: &PromptContext<'_>) -> String {
    match template.render(context).unwrap() {
        Rendered::Text(text) => text,
        Rendered::Chat(_) => panic!("a text is expected"),
    }
}

fn passage(text: &str) -> Passage {
    Passage { id: "p".into(), text: text.into(), score: 1.0 }
}

#[test]
fn plain_prompts_have_the_documented_form() {
    let generate = load("plain", Purpose::Generate);
    let mut context = PromptContext {
        demonstrations: vec![demonstration("D1", "", None), demonstration("D2", "", None)],
        ..PromptContext::default()
    };
    assert_eq!(text(&generate, &context), "Instruction: D1\nInstruction: D2\nInstruction:");
    assert_eq!(generate.stop(&context).unwrap(), ["\n"]);
    context.demonstrations[0].input = "I1";
    context.with_inputs = true;
    assert_eq!(text(&generate, &context), "Instruction: D1\nInput: I1\nInstruction: D2\nInstruction:");
    assert_eq!(generate.stop(&context).unwrap(), ["\nInstruction:"]);

    let respond = load("plain", Purpose::Respond);
    let passages = [passage("P.")];
    let context = PromptContext { instruction: Some("Q?"), ..PromptContext::default() };
    assert_eq!(text(&respond, &context), "Instruction: Q?\nOutput:");
    let pair = respond.training_text(&context, "A", None).unwrap();
    assert_eq!((&*pair.prompt, &*pair.completion), ("Instruction: Q?\nOutput:", " A\n"));
    assert!(pair.add_special_tokens);
    let context =
        PromptContext { demonstrations: vec![demonstration("D", "I", Some("A"))], passages: &passages, ..context };
    assert_eq!(
        text(&respond, &context),
        "Instruction: D\nInput: I\nOutput: A\n\nPassage: P.\nInstruction: Q?\nOutput:"
    );
    assert_eq!(respond.stop(&context).unwrap(), ["\n"]);
}

#[test]
fn alpaca_and_chat_prompts_end_where_the_model_begins() {
    let passages = [passage("P1."), passage("P2.")];
    let context = PromptContext {
        domain: "biomedicine",
        demonstrations: vec![demonstration("D", "", Some("A")), demonstration("E", "I", Some("B"))],
        passages: &passages,
        instruction: Some("Q?"),
        input: "X",
        ..PromptContext::default()
    };
    insta::assert_snapshot!("alpaca_respond", text(&load("alpaca", Purpose::Respond), &context));
    insta::assert_snapshot!("alpaca_generate", text(&load("alpaca", Purpose::Generate), &context));
    insta::assert_debug_snapshot!("chat_respond", load("chat", Purpose::Respond).render(&context).unwrap());
    insta::assert_debug_snapshot!("chat_generate", load("chat", Purpose::Generate).render(&context).unwrap());

    let bare = PromptContext { demonstrations: Vec::new(), passages: &[], input: "", ..context };
    let pair = load("alpaca", Purpose::Respond).training_text(&bare, "A b.", None).unwrap();
    assert!(pair.prompt.ends_with("\n\n### Instruction:\nQ?\n\n### Response:\n"), "{:?}", pair.prompt);
    assert_eq!(pair.completion, "A b.");
}

#[test]
fn conversations_are_split_into_prompt_and_completion_by_the_models_template() {
    let template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>\n{% endfor %}{% if \
                    add_generation_prompt %}<|assistant|>{% endif %}";
    let chat = ChatTemplate::new(template, SpecialTokens::default()).unwrap();
    let context = PromptContext { instruction: Some("Q?"), ..PromptContext::default() };
    let respond = load("chat", Purpose::Respond);
    let pair = respond.training_text(&context, "A", Some(&chat)).unwrap();
    assert!(pair.prompt.ends_with("<|user|>Q?<|end|>\n<|assistant|>"), "{:?}", pair.prompt);
    assert_eq!((&*pair.completion, pair.add_special_tokens), ("A<|end|>\n", false));
    let error = respond.training_text(&context, "A", None).unwrap_err();
    assert!(error.to_string().contains("has no chat template"), "{error}");
}

/// `tests/golden/make_peers.py`: what TRL 0.24 makes of a question and an answer (`apply_chat_template`), with a
/// template as DeepSeek-R1's, which opens a thought where the model begins and drops it from finished answers, and
/// others.
#[test]
fn conversations_are_split_where_trl_splits_them() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../tests/golden/peers.json")).unwrap();
    let ask =
        PromptTemplate::new("t", "{{ turn('user') }}{{ instruction }}{{ turn('assistant') }}{{ output|default('') }}");
    let ask = ask.unwrap();
    let cases = golden["conversations"].as_array().unwrap();
    assert!(cases.len() > 8);
    for case in cases {
        let of = |key: &str| case[key].as_str().unwrap();
        let chat = ChatTemplate::new(of("template"), SpecialTokens::default()).unwrap();
        let context = PromptContext { instruction: Some(of("question")), ..PromptContext::default() };
        let pair = ask.training_text(&context, of("answer"), Some(&chat)).unwrap();
        assert_eq!((&*pair.prompt, &*pair.completion), (of("prompt"), of("completion")), "{case}");
    }
    let context = PromptContext { instruction: Some("Q?"), ..PromptContext::default() };
    let respond = load("chat", Purpose::Respond);
    // An answer that changes what stands before it cannot be told from its prompt.
    let moody = "{% if messages[-1].role == 'assistant' %}x{% else %}y{% endif %}{% for m in messages %}{{ m.content \
                 }}{% endfor %}";
    let moody = ChatTemplate::new(moody, SpecialTokens::default()).unwrap();
    let error = respond.training_text(&context, "A", Some(&moody)).unwrap_err().to_string();
    assert!(error.contains("changes its prompt"), "{error}");
}

#[test]
fn a_text_cannot_begin_a_turn() {
    let template = PromptTemplate::new("t", "{{ turn('user') }}{{ instruction }}").unwrap();
    let marked = format!("a{0}system{0}b", '\u{f8f0}');
    let context = PromptContext { instruction: Some(&marked), ..PromptContext::default() };
    let Rendered::Chat(messages) = template.render(&context).unwrap() else { panic!("turns make a conversation") };
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].content, "asystemb");
}

#[test]
fn mistakes_in_templates_are_named() {
    let context = PromptContext { instruction: Some("Q"), ..PromptContext::default() };
    let cases = [
        ("{{ instruction }", "compile", "line 1"),
        ("a\n{{ instuction }}", "render", "line 2"),
        ("{{ turn('teacher') }}x", "render", "teacher"),
        ("x{{ turn('user') }}y", "in front of its first turn", "\"x\""),
    ];
    for (source, action, detail) in cases {
        let message = match PromptTemplate::new("t", source) {
            Err(e) => e.to_string(),
            Ok(template) => template.render(&context).unwrap_err().to_string(),
        };
        assert!(message.contains(action) && message.contains(detail), "{source}: {message}");
    }
    let template = PromptTemplate::new("t", "{% set stop = 3 %}x").unwrap();
    assert!(template.stop(&context).unwrap_err().to_string().contains("not a list"));
    let template = PromptTemplate::new("t", "{% if output is defined %}y{% else %}x{% endif %}").unwrap();
    assert!(template.training_text(&context, "A", None).unwrap_err().to_string().contains("changes its prompt"));
    let error = TemplateRef("no/such.jinja".into()).load(Purpose::Respond, Path::new("/nowhere")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/no/such.jinja"), "{error}");
}

#[test]
fn the_text_of_a_template_is_its_source() {
    let digest = |purpose| match TemplateRef::default().source(purpose) {
        Source::Value { value, .. } => value,
        other => panic!("{other:?}"),
    };
    assert_ne!(digest(Purpose::Generate), digest(Purpose::Respond));
    assert!(matches!(TemplateRef("a.jinja".into()).source(Purpose::Respond), Source::Text { .. }));
}

#[test]
fn nothing_holds_itself() {
    let context = PromptContext { instruction: Some("Q?"), ..PromptContext::default() };
    for held in ["ns", "[ns]", "{'x': ns}", "other"] {
        for used in ["ns ~ ''", "ns|string", "ns", "ns == other", "[ns]|join", "ns|list|string"] {
            let source = format!(
                "{{% set ns = namespace() %}}{{% set other = namespace() %}}{{% set other.a = [ns] %}}\
                 {{% set ns.a = {held} %}}{{{{ {used} }}}}"
            );
            let error = PromptTemplate::new("t", &source).unwrap().render(&context).unwrap_err().to_string();
            assert!(error.contains("a namespace cannot hold a namespace"), "{source}: {error}");
        }
    }
    // What is not there may still be given a name.
    let source =
        "{% set x = output %}{% set ns = namespace(a=1) %}{% set ns.a = instruction %}{{ ns.a }}{{ x is defined }}";
    assert_eq!(text(&PromptTemplate::new("t", source).unwrap(), &context), "Q?False");
}

#[test]
fn one_row_on_which_a_template_fails_decides_no_stop_strings() {
    let source = "{% set stop = ['#'] %}{{ (input|split('x'))[1] ~ '' }}";
    let rows = |n: usize, inputs: [&'static str; 2]| -> Vec<&'static str> { (0..n).map(|i| inputs[i % 2]).collect() };
    let template = PromptTemplate::new("t", source).unwrap();
    let stop = |rows: &[&'static str]| {
        let context = |input: &&'static str| PromptContext { input, ..PromptContext::default() };
        template.common_stop("items", rows, context).map_err(|e| e.to_string())
    };
    assert_eq!(stop(&[]), Ok(vec![]));
    assert_eq!(stop(&rows(7, ["none", "axb"])), Ok(vec!["#".to_owned()]));
    assert!(stop(&["none"]).unwrap_err().contains("failed to render"));
    assert!(stop(&rows(100, ["none", "none"])).unwrap_err().contains("failed to render"));
}

/// Their text is no part of a key: whoever changes one raises `generate`'s VERSION and RECIPE_VERSION with it, and sets
/// down the new digest here.
#[test]
fn templates_that_show_documents_are_held_to_a_version() {
    let digests = WITH_DOCUMENTS.map(|(name, text)| (name, blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()));
    assert_eq!(
        digests.each_ref().map(|(name, digest)| (*name, &**digest)),
        [
            ("plain", "0bd971b0ab5940e2"),
            ("alpaca", "7e963722c3c09fc3"),
            ("chat", "b8b94fae27a2eb3b"),
            ("qa", "0d413998a6eff010")
        ]
    );
}

#[test]
fn documents_are_shown_beside_seeds() {
    let passages = |text: &str| vec![Passage { id: "d".into(), text: text.into(), score: 0.0 }];
    let (one, own) = (passages("Gout is a disease."), passages("Fever is heat."));
    let mut with_own = demonstration("What is fever?", "", None);
    with_own.passages = &own;
    let context = PromptContext {
        demonstrations: vec![with_own, demonstration("Name a bone.", "", None)],
        passages: &one,
        ..PromptContext::default()
    };
    for (name, _) in WITH_DOCUMENTS {
        let template = TemplateRef(name.to_owned()).load_with_documents(Path::new("/nowhere")).unwrap();
        let rendered = match template.render(&context).unwrap() {
            Rendered::Text(text) => text,
            Rendered::Chat(turns) => {
                turns.iter().flat_map(|turn| ["<", &turn.role, ">", &turn.content, "\n"]).collect()
            }
        };
        insta::assert_snapshot!(format!("{name}_documents"), rendered);
    }
}
