//! Names of parameters that say which model writes, and how.

use pipe_engine::kind::Synonym;

use super::{absent, also, nearly, valued};

const BY_SERVER: &str =
    "a server may have it: `model: { endpoint: .., model: .., extra: { NAME: value } }` sends it with every request";
const ONE_SAMPLE: &str = "one text is sampled per row; `replicate: { seed: [..] }` makes further variants";

pub(super) const NAMES: &[Synonym] = &[
    also(
        &["model_name_or_path", "base_model", "model_name", "model_id", "pretrained", "model_path", "checkpoint"],
        &["model"],
    ),
    nearly(
        &["model_revision", "revision", "revision_of_model"],
        &["model: hf:org/name@<main>"],
        "The revision stands behind the hub id.",
    ),
    also(
        &["base_url", "api_base", "openai_api_base", "api_url", "endpoint"],
        &["model: http://localhost:8000/v1#name"],
    ),
    nearly(
        &["api_key", "openai_api_key", "token", "hf_token", "use_auth_token"],
        &["api_key_env: OPENAI_API_KEY", "model: { endpoint: .., model: .., api_key_env: OPENAI_API_KEY }"],
        "A key stays in the environment, and its variable is named.",
    ),
    also(
        &["max_tokens", "max_gen_toks", "max_completion_tokens", "n_predict", "num_predict", "max_output_tokens"],
        &["max_new_tokens"],
    ),
    also(&["regex_pattern", "answer_regex", "filter_list"], &["extract"]),
    nearly(&["group_select"], &["extract_match: last"], "0 is `first` here, and -1 is `last`."),
    valued(&["do_sample"], &["temperature: 0"], &[("true", "temperature: 1.0")]),
    also(&["temp"], &["temperature"]),
    absent(
        &["gen_kwargs", "generation_kwargs", "generation_config", "sampling_params", "generate_kwargs"],
        "what is in it stands beside the other parameters: `temperature`, `top_p`, `max_new_tokens` and so on",
    ),
    also(&["repeat_penalty", "rep_penalty"], &["repetition_penalty"]),
    also(&["stop_strings", "stop_sequences", "until", "stop_words", "stop_token", "stopping_strings"], &["stop"]),
    absent(
        &["eos_token_id", "pad_token_id", "bos_token_id", "stop_token_ids", "ignore_eos", "skip_special_tokens"],
        "a text ends where the model's own files say, or at one of `stop`",
    ),
    also(&["batch_size", "max_num_seqs", "parallel", "n_parallel", "num_concurrent"], &["slots", "batch_size"]),
    also(
        &["concurrency", "max_concurrency", "num_workers", "max_workers"],
        &["model: { endpoint: .., model: .., concurrency: <8> }"],
    ),
    also(&["n_samples", "num_samples", "num_instructions", "num_instructions_to_generate", "n"], &["count", "limit"]),
    absent(&["n", "num_samples", "num_return_sequences", "best_of"], ONE_SAMPLE),
    absent(
        &[
            "num_beams",
            "num_beam_groups",
            "beam_size",
            "length_penalty",
            "early_stopping",
            "diversity_penalty",
            "penalty_alpha",
            "constraints",
            "force_words_ids",
            "use_beam_search",
        ],
        "there is no search over beams; `temperature: 0` takes the most likely token each time",
    ),
    absent(
        &[
            "presence_penalty",
            "frequency_penalty",
            "logit_bias",
            "typical_p",
            "epsilon_cutoff",
            "eta_cutoff",
            "top_a",
            "mirostat",
            "no_repeat_ngram_size",
            "encoder_no_repeat_ngram_size",
            "encoder_repetition_penalty",
            "bad_words_ids",
            "bad_words",
            "suppress_tokens",
            "min_length",
            "min_new_tokens",
            "min_tokens",
            "guidance_scale",
            "guided_json",
            "guided_regex",
            "guided_choice",
            "guided_decoding",
            "response_format",
            "tools",
            "tool_choice",
            "reasoning_effort",
            "chat_template_kwargs",
            "enable_thinking",
            "sequence_bias",
            "watermarking_config",
        ],
        BY_SERVER,
    ),
    absent(
        &["use_cache", "cache_implementation", "kv_cache_dtype", "enable_prefix_caching", "gpu_memory_utilization"],
        "keys and values are always kept, and shared between prompts that begin alike",
    ),
    absent(
        &["assistant_model", "num_assistant_tokens", "prompt_lookup_num_tokens", "speculative_config"],
        "there is no speculative decoding",
    ),
    absent(&["stream", "streaming", "echo"], "texts are kept whole"),
    absent(&["logprobs", "top_logprobs", "prompt_logprobs", "output_scores", "output_logits"], "texts alone are kept"),
    also(&["max_time", "request_timeout"], &["model: { endpoint: .., model: .., timeout_seconds: <600> }"]),
    also(&["num_retries"], &["model: { endpoint: .., model: .., max_retries: <5> }"]),
    nearly(
        &["system_prompt", "system_message", "system", "default_system_message"],
        &["template"],
        "The system's turn stands in the template: {{ turn(\"system\") }}.",
    ),
    also(&["apply_chat_template"], &["template: chat"]),
    absent(
        &["lora_path", "lora_request", "adapter_path", "peft_model_id", "peft"],
        "connect an adapter's stage to the input `adapter`",
    ),
];
