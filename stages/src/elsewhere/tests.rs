use pipe_engine::kind::Synonym;
use serde_json::Value;

use super::{NAMES, values};

/// The names of all parameters of a kind, at any depth.
fn parameters(kind: &str) -> Vec<String> {
    fn collect(schema: &Value, names: &mut Vec<String>) {
        match schema {
            Value::Object(map) => {
                names.extend(
                    map.get("properties").and_then(Value::as_object).into_iter().flat_map(|p| p.keys().cloned()),
                );
                map.values().for_each(|value| collect(value, names));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    collect(crate::registry().get(kind).unwrap().schema().as_value(), &mut names);
    names
}

/// Whether somebody who writes `name` into a stage of the kind is told what to do.
fn is_answered(kind: &str, name: &str) -> bool {
    let known = parameters(kind);
    known.iter().any(|parameter| parameter == name)
        || Synonym::find(NAMES, name, None, |parameter| known.iter().any(|known| known == parameter)).is_some()
        || Synonym::reason(NAMES, name).is_some()
}

#[test]
fn every_name_that_is_proposed_is_a_parameter() {
    let registry = crate::registry();
    let known: Vec<String> = registry.iter().flat_map(|kind| parameters(kind.name())).collect();
    let values = |synonym: &'static Synonym| synonym.values.iter().map(|(_, ours)| ours);
    let is_value = |synonym: &&Synonym| values::NAMES.iter().any(|value| value.theirs == synonym.theirs);
    for ours in
        NAMES.iter().filter(|synonym| !is_value(synonym)).flat_map(|synonym| synonym.ours.iter().chain(values(synonym)))
    {
        let (parameter, value) = ours.split_once(": ").unwrap_or((ours, ""));
        assert!(known.iter().any(|known| known == parameter), "`{ours}`: there is no parameter `{parameter}`");
        // `{ r: <16> }`, `{ endpoint: .., model: .., concurrency: <8> }`.
        let inner = value.strip_prefix("{ ").and_then(|value| value.strip_suffix(" }"));
        for (name, _) in inner.into_iter().flat_map(|inner| inner.split(", ")).filter_map(|field| field.split_once(':'))
        {
            assert!(known.iter().any(|known| known == name), "`{ours}`: there is no parameter `{name}`");
        }
    }
}

#[test]
fn every_value_that_is_proposed_is_one() {
    let registry = crate::registry();
    let schemas: String = registry.iter().map(|kind| kind.schema().to_value().to_string()).collect();
    for ours in values::NAMES.iter().flat_map(|synonym| synonym.ours) {
        assert!(schemas.contains(&format!("\"{ours}\"")), "there is no value `{ours}`");
    }
}

#[test]
fn every_entry_answers() {
    for synonym in NAMES {
        assert!(!synonym.ours.is_empty() || !synonym.because.is_empty(), "{:?} says nothing", synonym.theirs);
        let plain =
            |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.');
        assert!(synonym.theirs.iter().all(plain), "{:?}", synonym.theirs);
    }
}

/// The fields that people set most, as those programs call them; whoever brings one is told what to write, or why not.
const USED: &[(&str, &str)] = &[
    // transformers 4.57 `TrainingArguments`.
    (
        "train",
        "output_dir overwrite_output_dir do_train do_eval eval_strategy per_device_train_batch_size \
         per_device_eval_batch_size gradient_accumulation_steps eval_steps learning_rate weight_decay adam_beta1 \
         adam_beta2 adam_epsilon max_grad_norm num_train_epochs max_steps lr_scheduler_type lr_scheduler_kwargs \
         warmup_ratio warmup_steps logging_dir logging_strategy logging_steps save_strategy save_steps \
         save_total_limit save_only_model no_cuda use_cpu seed data_seed bf16 fp16 tf32 local_rank ddp_backend \
         ddp_timeout ddp_find_unused_parameters dataloader_drop_last dataloader_num_workers dataloader_pin_memory \
         run_name disable_tqdm remove_unused_columns load_best_model_at_end metric_for_best_model \
         greater_is_better fsdp fsdp_config accelerator_config deepspeed label_smoothing_factor optim optim_args \
         adafactor group_by_length report_to push_to_hub resume_from_checkpoint hub_model_id hub_strategy \
         hub_token gradient_checkpointing gradient_checkpointing_kwargs auto_find_batch_size full_determinism \
         torch_compile torch_compile_backend neftune_noise_alpha use_liger_kernel",
    ),
    // PEFT 0.21 `LoraConfig`, `BitsAndBytesConfig`.
    (
        "train",
        "r target_modules exclude_modules lora_alpha lora_dropout fan_in_fan_out bias use_rslora modules_to_save \
         init_lora_weights layers_to_transform layers_pattern rank_pattern alpha_pattern trainable_token_indices \
         loftq_config use_dora layer_replication lora_bias target_parameters task_type load_in_4bit load_in_8bit \
         bnb_4bit_quant_type bnb_4bit_use_double_quant bnb_4bit_compute_dtype bnb_4bit_quant_storage \
         quantization_config",
    ),
    // TRL 0.24 `SFTConfig` and `ModelConfig`.
    (
        "train",
        "model_name_or_path model_revision dtype torch_dtype trust_remote_code attn_implementation use_peft lora_r \
         lora_target_modules lora_modules_to_save lora_task_type use_bnb_nested_quant chat_template_path \
         dataset_text_field dataset_kwargs dataset_num_proc eos_token pad_token max_length packing \
         packing_strategy padding_free pad_to_multiple_of eval_packing completion_only_loss assistant_only_loss \
         loss_type activation_offloading",
    ),
    // axolotl.
    (
        "train",
        "base_model model_type tokenizer_type datasets dataset_prepared_path val_set_size sequence_len \
         sample_packing eval_sample_packing pad_to_sequence_len adapter lora_model_dir lora_r lora_alpha \
         lora_dropout lora_target_linear lora_fan_in_fan_out peft_use_dora peft_use_rslora wandb_project \
         wandb_entity wandb_name micro_batch_size num_epochs optimizer lr_scheduler cosine_min_lr_ratio \
         learning_rate train_on_inputs flash_attention xformers_attention sdp_attention saves_per_epoch \
         evals_per_epoch special_tokens tokens early_stopping_patience gradient_checkpointing \
         excess_length_strategy loraplus_lr_ratio relora_steps",
    ),
    // LLaMA-Factory.
    (
        "train",
        "finetuning_type cutoff_len lora_target lora_rank template max_samples quantization_bit use_unsloth \
         flash_attn",
    ),
    // transformers 4.57 `GenerationConfig`.
    (
        "respond",
        "max_length max_new_tokens min_length min_new_tokens early_stopping max_time stop_strings do_sample \
         num_beams use_cache cache_implementation temperature top_k top_p min_p typical_p epsilon_cutoff \
         eta_cutoff repetition_penalty encoder_repetition_penalty length_penalty no_repeat_ngram_size \
         bad_words_ids suppress_tokens sequence_bias guidance_scale watermarking_config num_return_sequences \
         output_scores output_logits pad_token_id bos_token_id eos_token_id num_assistant_tokens \
         prompt_lookup_num_tokens penalty_alpha diversity_penalty num_beam_groups constraints force_words_ids",
    ),
    // vLLM and OpenAI.
    (
        "respond",
        "n best_of presence_penalty frequency_penalty repetition_penalty temperature top_p top_k min_p seed stop \
         stop_token_ids ignore_eos max_tokens min_tokens logprobs top_logprobs prompt_logprobs skip_special_tokens \
         logit_bias guided_decoding bad_words max_completion_tokens response_format tools tool_choice \
         reasoning_effort stream base_url api_key model chat_template_kwargs gpu_memory_utilization \
         tensor_parallel_size kv_cache_dtype enable_prefix_caching lora_request speculative_config max_num_seqs \
         system_prompt apply_chat_template",
    ),
    // lm-evaluation-harness.
    (
        "evaluate",
        "pretrained tasks num_fewshot batch_size device gen_kwargs max_gen_toks until bootstrap_iters metric_list",
    ),
    // datasets, pandas; retrieval libraries; DVC.
    ("table", "data_files split name nrows usecols dtype column_names delimiter encoding streaming"),
    ("retrieve", "k n_results similarity_top_k embedding_model search_type"),
    ("command", "cmd deps outs wdir env shell"),
];

#[test]
fn the_most_used_names_are_answered() {
    let mut silent = Vec::new();
    for (kind, names) in USED {
        silent.extend(
            names.split_whitespace().filter(|name| !is_answered(kind, name)).map(|name| format!("{kind}.{name}")),
        );
    }
    assert!(silent.is_empty(), "nothing is said of {}", silent.join(", "));
}
