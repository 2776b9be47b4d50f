//! Token ids against the `tokenizers` package, streaming, special tokens, and tokenizers of the wrong model.

use std::{fs, path::Path};

use pipe_lm::tokenizer::Tokenizer;
use serde::Deserialize;

use crate::support::{chain, golden, golden_text, tiny_config};

const KINDS: [&str; 3] = ["byte_level", "sentencepiece_bpe", "unigram"];

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
    bare: Vec<u32>,
    decoded: String,
    with_special: String,
}

fn load(kind: &str) -> (Tokenizer, Vec<Case>) {
    let expected: Golden = serde_json::from_str(&golden_text(&format!("tokenizers/{kind}/expected.json"))).unwrap();
    (Tokenizer::from_dir(&golden(&format!("tokenizers/{kind}"))).unwrap(), expected.cases)
}

#[test]
fn ids_and_texts_are_those_of_the_python_package() {
    for kind in KINDS {
        let (tokenizer, cases) = load(kind);
        let texts: Vec<&str> = cases.iter().map(|c| c.text.as_str()).collect();
        let all = tokenizer.encode_all(&texts, true).unwrap();
        for (case, ids) in cases.iter().zip(all) {
            assert_eq!(ids, case.ids, "{kind}: {:?}", case.text);
            assert_eq!(tokenizer.encode(&case.text, false).unwrap(), case.bare, "{kind}: {:?}", case.text);
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), case.decoded, "{kind}: {:?}", case.text);
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), case.with_special, "{kind}: {:?}", case.text);
        }
    }
}

/// A directory with the byte-level tokenizer and this `tokenizer_config.json`.
fn with_config(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden("tokenizers/byte_level/tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    dir
}

#[test]
fn special_tokens_are_read_in_both_spellings() {
    let dir = with_config(
        r#"{"eos_token": "<|im_end|>", "pad_token": {"content": "<|endoftext|>", "lstrip": false}, "bos_token": null}"#,
    );
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.pad()), (None, Some(2), Some(0)));
    fs::write(dir.path().join("special_tokens_map.json"), r#"{"bos_token": "<|im_start|>", "eos_token": "x"}"#)
        .unwrap();
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
}

#[test]
fn padding_and_truncation_of_the_file_do_not_reach_into_texts() {
    let dir = with_config("{}");
    let path = dir.path().join("tokenizer.json");
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    json["truncation"] =
        serde_json::json!({"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0});
    fs::write(&path, json.to_string()).unwrap();
    assert!(Tokenizer::from_dir(dir.path()).unwrap().encode("one two three", false).unwrap().len() > 2);
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let check = |tokenizer_config: &str, change: &dyn Fn(&mut pipe_lm::config::DecoderConfig), expect: &str| {
        let dir = with_config(tokenizer_config);
        let mut config = tiny_config();
        config.vocab_size = 512;
        config.eos_token_ids = vec![2];
        change(&mut config);
        let error = Tokenizer::from_dir(dir.path()).unwrap().check_fits(&config).expect_err(expect);
        assert_eq!(chain(&error, dir.path()), expect);
    };
    check(
        "{}",
        &|config| config.vocab_size = 400,
        "use DIR/tokenizer.json with this model: it has 420 tokens, but the embedding table has 400 rows; the \
         tokenizer belongs to \
         another model",
    );
    check(
        "{}",
        &|config| config.eos_token_ids = vec![500],
        "use DIR/tokenizer.json with this model: the model's eos_token_id 500 is none of its 420 tokens; the tokenizer \
         belongs to \
         another model",
    );
    check(
        "{}",
        &|config| config.eos_token_ids.clear(),
        "use DIR/tokenizer.json with this model: neither config.json nor tokenizer_config.json names an end-of-text \
         token; add \
         `eos_token`",
    );
    let fails = |config: &str, expect: &str| {
        let dir = with_config(config);
        assert_eq!(chain(&Tokenizer::from_dir(dir.path()).unwrap_err(), dir.path()), expect);
    };
    fails(r#"{"eos_token": "</s>"}"#, "use DIR/tokenizer.json: the eos_token `</s>` is not in its vocabulary");
    fails(
        r#"{"eos_token": 3}"#,
        "use DIR/tokenizer_config.json\neos_token: neither a text nor an object with `content` at line 1 \
         column 16",
    );
    let missing = Tokenizer::from_dir(Path::new("nowhere")).unwrap_err();
    assert_eq!(missing.to_string(), "read nowhere/tokenizer.json");
}

#[derive(serde::Deserialize)]
struct JointCase {
    prompt: String,
    completion: String,
    ids: Vec<u32>,
    trl: usize,
    by_offsets: usize,
}

/// `golden/make_joint.py`: prompt and completion are one text, as for TRL.
#[test]
fn prompts_and_completions_are_tokenised_as_trl_does() {
    let all: std::collections::BTreeMap<String, Vec<JointCase>> =
        serde_json::from_str(&crate::support::golden_text("joint.json")).unwrap();
    for (kind, cases) in all {
        let (tokenizer, _) = load(&kind);
        for case in cases {
            let what = format!("{kind}: {:?} {:?}", case.prompt, case.completion);
            let joint = tokenizer.encode_joint(&case.prompt, &case.completion, true).unwrap();
            assert_eq!(joint.tokens, case.ids, "{what}");
            assert_eq!((joint.prompt, case.by_offsets), (case.trl, case.trl), "{what}");
            // Generation continues what training saw, where the completion goes on with a word. A space at the end of a
            // prompt is left to that word, with which most vocabularies write it.
            let prompt = tokenizer.encode_prompt(&case.prompt, true).unwrap();
            let seen = &joint.tokens[..joint.prompt];
            if case.completion.starts_with(' ') && kind == "sentencepiece_bpe" {
                // Its tokens span words, and where one reaches over the border the prompt keeps its own instead.
                assert!(prompt.starts_with(seen) && prompt.len() <= seen.len() + 1, "{what}");
            } else if case.completion.starts_with(' ') {
                assert_eq!(prompt, seen, "{what}");
            } else if case.prompt.ends_with(char::is_whitespace) && kind != "unigram" {
                // A unigram tokenizer segments whole lines, so that what follows may change more than the last token.
                assert!(seen.starts_with(&prompt) && prompt.len() + 1 >= seen.len(), "{what}");
            }
        }
    }
}

/// A space at the end of a prompt is the first word's; a line break is not; what a tokenizer puts behind a text does
/// not follow a prompt.
#[test]
fn a_prompt_is_the_beginning_of_a_text() {
    // A unigram model segments a text as a whole: what follows may change all of a line.
    for kind in ["byte_level", "sentencepiece_bpe"] {
        let (tokenizer, _) = load(kind);
        for prompt in ["The patient was given", "The patient was given ", "Response:\n", "Response:\n\n", "12 + "] {
            for word in ["on", "The"] {
                let space = if prompt.ends_with(char::is_whitespace) { "" } else { " " };
                let whole = tokenizer.encode(&format!("{prompt}{space}{word}"), true).unwrap();
                let begins = tokenizer.encode_prompt(prompt, true).unwrap();
                assert!(whole.starts_with(&begins) && begins.len() + 8 > whole.len() - 1, "{kind}: {prompt:?}");
            }
        }
    }
}

/// Dropout makes every tokenisation another one; so does the library with this file, which is why it is off.
#[test]
fn dropout_of_the_file_is_off_and_told() {
    for share in [0.1, 0.9, 1.0] {
        let dir = with_config("{}");
        let path = dir.path().join("tokenizer.json");
        let plain = Tokenizer::from_dir(dir.path()).unwrap();
        assert_eq!(plain.dropout(), None);
        let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        json["model"]["dropout"] = share.into();
        fs::write(&path, json.to_string()).unwrap();
        let dropping = Tokenizer::from_dir(dir.path()).unwrap();
        assert!((f64::from(dropping.dropout().unwrap()) - share).abs() < 1e-6);
        let text = "The patient was given 250 mg of the drug, twice daily, for a week.";
        let ids = plain.encode(text, true).unwrap();
        assert!((0..20).all(|_| dropping.encode(text, true).unwrap() == ids));
        assert_eq!(dropping.encode_joint(text, "", true).unwrap().tokens, ids);
    }
}
