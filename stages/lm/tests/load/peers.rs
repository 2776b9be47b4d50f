//! `golden/make_trl.py`: what TRL trains on, and where transformers ends a text.

use std::{collections::BTreeMap, fs, path::Path};

use pipe_lm::{
    config::{DecoderConfig, GenerationDefaults},
    generate::Ends,
    tokenizer::{SpecialTokens, Tokenizer},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::{golden, golden_text};

#[derive(Deserialize)]
struct Golden {
    joint: BTreeMap<String, Vec<Joint>>,
    ends: Vec<End>,
}

#[derive(Deserialize)]
struct Joint {
    prompt: String,
    completion: String,
    eos: u32,
    ids: Vec<u32>,
    mask: Vec<u32>,
    mismatch: bool,
}

#[derive(Deserialize)]
struct End {
    config: Value,
    generation: Option<Value>,
    last: u32,
}

fn read() -> Golden {
    serde_json::from_str(&golden_text("trl.json")).unwrap()
}

/// `train` appends the end of text as TRL does, unless the tokenizer has put one there already: TRL writes two then.
#[test]
fn prompts_and_completions_are_trained_on_as_by_trl() {
    let mut told = 0;
    for (kind, cases) in read().joint {
        let tokenizer = Tokenizer::from_dir(&golden(&format!("tokenizers/{kind}"))).unwrap();
        for case in cases {
            let what = format!("{kind}: {:?} {:?}", case.prompt, case.completion);
            let joint = tokenizer.encode_joint(&case.prompt, &case.completion, true).unwrap();
            let mut ids = joint.tokens;
            assert_eq!(ids.last() == Some(&case.eos), kind == "unigram", "{what}");
            ids.push(case.eos);
            assert_eq!(ids, case.ids, "{what}");
            // Where the prompt alone has other tokens at its end, TRL warns and masks as many as those are.
            let masked = case.mask.iter().filter(|weight| **weight == 0).count();
            if case.mismatch {
                assert!(masked > joint.prompt && masked <= joint.prompt + 2, "{what}: {masked} and {}", joint.prompt);
            } else {
                assert_eq!(masked, joint.prompt, "{what}");
                told += 1;
            }
        }
    }
    assert!(told > 8, "{told} cases in which TRL has no doubt");
}

/// A text ends no later than transformers would end it.
#[test]
fn texts_end_where_transformers_ends_them_or_before() {
    let vocab: serde_json::Map<String, Value> = (0..16).map(|id| (format!("t{id}"), json!(id))).collect();
    let words = json!({ "type": "WordLevel", "vocab": vocab, "unk_token": "t0" });
    let model = json!({ "version": "1.0", "added_tokens": [], "model": words });
    let inner = tokenizers::Tokenizer::from_bytes(model.to_string()).unwrap();
    let tokenizer = Tokenizer::new(inner, SpecialTokens::default(), "here".into()).unwrap();
    for case in read().ends {
        let dir = tempfile::tempdir().unwrap();
        if let Some(generation) = &case.generation {
            fs::write(dir.path().join("generation_config.json"), generation.to_string()).unwrap();
        }
        let config = json!({ "architectures": ["LlamaForCausalLM"], "hidden_size": 8, "intermediate_size": 8,
            "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 16, "eos_token_id": case.config });
        let config = DecoderConfig::from_json(&config.to_string(), Path::new("config.json")).unwrap();
        let generation = GenerationDefaults::from_dir(dir.path()).unwrap();
        let ends = Ends::of(&config, &generation, &tokenizer, None);
        let what = format!("{} {:?}: {:?}", case.config, case.generation, ends.ids);
        // The golden models write 3, 4, 5 ... 14.
        let last = (3..14).find(|id| ends.ids.contains(id)).unwrap_or(14);
        assert!(last <= case.last, "{what}");
        // Where transformers takes the ends of generation_config.json alone, that is said.
        let told = ends.disagreement.is_some();
        assert_eq!(told, last < case.last && !generation.eos_token_ids.is_empty(), "{what}");
        if !told && case.last < 14 {
            assert_eq!(last, case.last, "{what}");
        }
    }
}
