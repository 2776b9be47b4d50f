//! `config.json` in its many shapes.

use std::path::Path;

use pipe_lm::{
    chat::ChatTemplate,
    config::{Activation, DecoderConfig, GenerationDefaults, Layer, NormKind, Position, RopeScaling},
    generate::Ends,
    tokenizer::{SpecialTokens, Tokenizer},
};

use crate::support::{chain, golden, golden_text};

fn parse(json: &str) -> DecoderConfig {
    DecoderConfig::from_json(json, Path::new("m/config.json")).unwrap_or_else(|e| panic!("{e}"))
}

/// A complete Llama configuration with some keys added or replaced.
fn llama(extra: &str) -> String {
    let mut json: serde_json::Map<String, serde_json::Value> = serde_json::from_str(
        r#"{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
        "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 128}"#,
    )
    .unwrap();
    json.extend(serde_json::from_str::<serde_json::Map<_, _>>(extra).unwrap());
    serde_json::Value::Object(json).to_string()
}

#[test]
fn left_out_keys_have_the_defaults_of_transformers() {
    let config = parse(&llama("{}"));
    assert_eq!(config.family.model_type, "llama");
    assert_eq!((config.num_key_value_heads, config.head_dim, config.norm_eps), (4, 16, 1e-6));
    assert_eq!((config.bos_token_id, config.eos_token_ids.as_slice()), (Some(1), &[2][..]));
    assert!(!config.tie_word_embeddings && !config.qkv_bias && !config.o_bias && config.gated_mlp);
    let Position::Rope(rope) = config.position else { panic!("{:?}", config.position) };
    assert_eq!((rope.theta, rope.scaling), (10_000.0, RopeScaling::Default));
}

#[test]
fn absent_and_null_differ_where_transformers_tells_them_apart() {
    let mistral = r#""architectures": ["MistralForCausalLM"], "num_key_value_heads": 2"#;
    let window = |extra: &str| parse(&llama(&format!("{{{mistral}{extra}}}"))).layers[0].sliding_window;
    assert_eq!(window(""), Some(4096));
    assert_eq!(window(r#", "sliding_window": null"#), None);
    assert_eq!(parse(&llama(r#"{"eos_token_id": null}"#)).eos_token_ids, Vec::<u32>::new());
    assert_eq!(parse(&llama(r#"{"eos_token_id": [3, 4]}"#)).eos_token_ids, [3, 4]);
}

#[test]
fn the_families_differ_as_their_authors_meant_them() {
    let qwen2 = parse(&llama(
        r#"{"architectures": ["Qwen2ForCausalLM"], "num_key_value_heads": 2, "use_sliding_window": true,
        "sliding_window": 32, "max_window_layers": 3}"#,
    ));
    assert!(qwen2.qkv_bias && !qwen2.o_bias && !qwen2.qk_norm);
    let windows: Vec<_> = qwen2.layers.iter().map(|l| l.sliding_window).collect();
    assert_eq!(windows, [None, None, None, Some(32)]);

    let qwen3 = parse(&llama(r#"{"architectures": ["Qwen3ForCausalLM"], "num_key_value_heads": 2, "head_dim": 32}"#));
    assert!(qwen3.qk_norm && !qwen3.qkv_bias);
    assert_eq!(qwen3.head_dim, 32);

    let smol = parse(&llama(r#"{"architectures": ["SmolLM3ForCausalLM"], "num_key_value_heads": 2}"#));
    assert!(smol.tie_word_embeddings);
    assert_eq!(smol.layers.iter().map(|l| l.rope).collect::<Vec<_>>(), [true, true, true, false]);

    let mpt = parse(
        r#"{"architectures": ["MPTForCausalLM"], "d_model": 32, "n_heads": 4, "n_layers": 2, "vocab_size": 10,
        "attn_config": {"clip_qkv": 6, "alibi_bias_max": 8, "alibi": true}}"#,
    );
    assert_eq!((mpt.family.model_type, mpt.norm, mpt.activation), ("mpt", NormKind::Layer, Activation::Gelu));
    assert_eq!((mpt.intermediate_size, mpt.clip_qkv, mpt.gated_mlp), (128, Some(6.0), false));
    assert_eq!(mpt.position, Position::Alibi { bias_max: 8.0 });
    assert_eq!(mpt.layers, vec![Layer { rope: false, sliding_window: None }; 2]);
}

#[test]
fn both_spellings_of_rope_give_the_same_model() {
    let old = llama(
        r#"{"rope_theta": 500000.0, "rope_scaling": {"type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}"#,
    );
    let new = llama(
        r#"{"rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}"#,
    );
    assert_eq!(parse(&old), parse(&new));
}

#[test]
fn inverse_frequencies_are_those_of_transformers() {
    let golden: serde_json::Value = serde_json::from_str(&golden_text("rope.json")).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let config = parse(&case["config"].to_string());
        let Position::Rope(rope) = &config.position else { panic!("no rope") };
        let (found, factor) = rope.inverse_frequencies(config.head_dim, case["seq_len"].as_u64().unwrap() as usize);
        let expected: Vec<f32> = serde_json::from_value(case["inv_freq"].clone()).unwrap();
        assert_eq!(found.len(), expected.len());
        for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() <= 4.0 * f32::EPSILON * b.abs(), "{:?} [{i}]: {a} is not {b}", rope.scaling);
        }
        let expected = case["factor"].as_f64().unwrap() as f32;
        assert!((factor - expected).abs() < 1e-6, "{:?}: {factor} is not {expected}", rope.scaling);
    }
}

#[test]
fn what_cannot_be_run_is_refused_by_name() {
    let check = |json: &str, expect: &str| {
        let error = DecoderConfig::from_json(json, Path::new("DIR/config.json")).expect_err(json);
        assert_eq!(chain(&error, Path::new("DIR")), expect);
    };
    check(
        &llama(r#"{"architectures": ["BertModel"]}"#),
        "use DIR/config.json: the architecture `BertModel` is not supported (supported: LlamaForCausalLM, \
         MistralForCausalLM, \
         Qwen2ForCausalLM, Qwen3ForCausalLM, SmolLM3ForCausalLM, MptForCausalLM)",
    );
    check(
        &llama(r#"{"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}"#),
        "use DIR/config.json: the rope type `longrope` is not supported (supported: default, linear, dynamic, llama3, \
         yarn)",
    );
    check(
        &llama(r#"{"rope_scaling": {"rope_type": "linear"}}"#),
        "use DIR/config.json: `rope_scaling.factor` is missing",
    );
    check(
        &llama(r#"{"num_key_value_heads": 3}"#),
        "use DIR/config.json: `num_key_value_heads` is 3: 4 attention heads cannot be shared evenly",
    );
    check(&llama(r#"{"hidden_size": null}"#), "use DIR/config.json: `hidden_size` is missing");
    check(
        &llama(r#"{"hidden_size": "big"}"#),
        "use DIR/config.json: hidden_size: invalid type: string \"big\", expected usize at line 1 column 57",
    );
    check(
        &llama(r#"{"quantization_config": {"quant_method": "gptq"}}"#),
        "use DIR/config.json: the weights are quantised by `gptq`, which is not supported; use the unquantised \
         checkpoint or a GGUF file",
    );
    check(
        &llama(r#"{"eos_token_id": 100}"#),
        "use DIR/config.json: `eos_token_id` is 100: the vocabulary has 100 entries",
    );
    check(
        &llama(r#"{"hidden_act": "mish"}"#),
        "use DIR/config.json: `hidden_act` is mish: supported: silu, gelu, gelu_new, gelu_pytorch_tanh, relu",
    );
    check(
        r#"{"architectures": ["MptForCausalLM"], "d_model": 32, "n_heads": 4, "n_layers": 2, "vocab_size": 10,
            "attn_config": {"alibi": false}}"#,
        "use DIR/config.json: `attn_config.alibi` is false: MPT without ALiBi is not supported",
    );
}

#[test]
fn the_generation_configuration_is_read() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(GenerationDefaults::from_dir(dir.path()).unwrap(), GenerationDefaults::default());
    let text = r#"{"do_sample": true, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [7, 9, -1]}"#;
    std::fs::write(dir.path().join("generation_config.json"), text).unwrap();
    let some = GenerationDefaults::from_dir(dir.path()).unwrap();
    assert_eq!((some.do_sample, some.temperature, some.top_p), (Some(true), Some(0.6), Some(0.9)));
    assert_eq!(some.eos_token_ids, [7, 9]);
    std::fs::write(dir.path().join("generation_config.json"), r#"{"eos_token_id": "</s>"}"#).unwrap();
    let error = GenerationDefaults::from_dir(dir.path()).unwrap_err();
    let expect = "use DIR/generation_config.json: eos_token_id: neither a token's id nor a list of ids at";
    assert!(chain(&error, dir.path()).starts_with(expect), "{error}");
}

/// What ends a text is what any file names, and what training appends; files that disagree are told of.
#[test]
fn every_file_that_names_an_end_counts() {
    let tokenizer = Tokenizer::from_dir(&golden("tokenizers/byte_level")).unwrap();
    let id = |token: &str| tokenizer.id(token).unwrap();
    let (eot, im_end) = (id("<|endoftext|>"), id("<|im_end|>"));
    let with_eos = |token: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(golden("tokenizers/byte_level/tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
        std::fs::write(dir.path().join("tokenizer_config.json"), format!(r#"{{"eos_token": "{token}"}}"#)).unwrap();
        Tokenizer::from_dir(dir.path()).unwrap()
    };
    let chat = ChatTemplate::new(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
        SpecialTokens::default(),
    )
    .unwrap();
    let plain_turns =
        ChatTemplate::new("{% for m in messages %}{{ m.content }}\n{% endfor %}", SpecialTokens::default());
    let ends = |config: &str, generation: &[u32], eos: &str, chat: Option<&ChatTemplate>| {
        let config = parse(&llama(&format!(r#"{{"vocab_size": 1000, "eos_token_id": {config}}}"#)));
        let generation = GenerationDefaults { eos_token_ids: generation.to_vec(), ..GenerationDefaults::default() };
        Ends::of(&config, &generation, &with_eos(eos), chat)
    };
    let agree = |found: Ends, ids: &[u32]| assert_eq!((found.ids.as_slice(), found.disagreement), (ids, None));
    agree(ends("0", &[], "<|endoftext|>", None), &[eot]);
    agree(ends("null", &[], "<|endoftext|>", None), &[eot]);
    agree(ends("0", &[im_end, eot], "<|im_end|>", Some(&chat)), &[im_end, eot]);
    agree(ends("0", &[], "<|endoftext|>", plain_turns.as_ref().ok()), &[eot]);
    for (found, ids) in [
        (ends("5", &[], "<|endoftext|>", None), vec![5, eot]),
        (ends("0", &[], "<|im_end|>", None), vec![eot, im_end]),
        (ends("[0, 7]", &[eot], "<|endoftext|>", None), vec![eot, 7]),
        (ends("0", &[], "<|endoftext|>", Some(&chat)), vec![eot, im_end]),
    ] {
        assert_eq!(found.ids, ids);
        let told = found.disagreement.unwrap();
        assert!(told.contains("config.json names") && told.contains("each of these ends it"), "{told}");
    }
}

#[test]
fn files_of_other_programs_are_read() {
    let yarn = r#"{"rope_scaling": {"type": "yarn", "rope_type": "yarn", "factor": 4.0,
        "original_max_position_embeddings": 32}}"#;
    let Position::Rope(rope) = parse(&llama(yarn)).position else { panic!() };
    assert!(matches!(rope.scaling, RopeScaling::Yarn { factor, .. } if factor == 4.0), "{:?}", rope.scaling);
    let old = r#"{"rope_scaling": {"type": "linear", "factor": 2.0}}"#;
    let Position::Rope(rope) = parse(&llama(old)).position else { panic!() };
    assert_eq!(rope.scaling, RopeScaling::Linear { factor: 2.0 });
    let both = r#"{"rope_scaling": {"type": "linear", "rope_type": "default", "factor": 2.0}}"#;
    let Position::Rope(rope) = parse(&llama(both)).position else { panic!() };
    assert_eq!(rope.scaling, RopeScaling::Default, "the newer name counts");

    let none = parse(&llama(r#"{"eos_token_id": -1, "bos_token_id": -1, "pad_token_id": -1}"#));
    assert_eq!((none.eos_token_ids, none.bos_token_id, none.pad_token_id), (vec![], None, None));
    assert_eq!(parse(&format!("\u{feff}{}", llama("{}"))), parse(&llama("{}")));
    let with_nan = llama("{}").replacen('{', r#"{"router_aux_loss_coef": NaN, "initializer_range": Infinity, "#, 1);
    assert_eq!(parse(&with_nan), parse(&llama("{}")));
}
