//! What parameters are called elsewhere, so that a wrong name is answered with the right one.

use pipe_engine::kind::Synonym;

const fn also(theirs: &'static [&'static str], ours: &'static [&'static str]) -> Synonym {
    Synonym { theirs, ours }
}

/// Names of transformers (`TrainingArguments`, `GenerationConfig`, `BitsAndBytesConfig`), PEFT (`LoraConfig`), TRL
/// (`SFTConfig`), axolotl, LLaMA-Factory, llama.cpp and lm-evaluation-harness. Ours are tried in order; the first that
/// the kind has is proposed.
pub(crate) const NAMES: &[Synonym] = &[
    // How long, and in which steps.
    also(&["num_train_epochs", "num_epochs", "n_epochs", "max_epochs", "epochs"], &["budget: { epochs: 3 }", "epochs"]),
    also(&["max_steps", "num_training_steps", "total_steps", "steps"], &["budget: { steps: 100 }"]),
    also(
        &["per_device_train_batch_size", "micro_batch_size", "per_gpu_train_batch_size", "device_batch_size"],
        &["micro_batch_size", "batch_size"],
    ),
    also(&["train_batch_size", "global_batch_size", "effective_batch_size", "total_batch_size"], &["batch_size"]),
    also(&["gradient_accumulation", "grad_accum", "accumulate_grad_batches"], &["gradient_accumulation_steps"]),
    also(&["use_gradient_checkpointing", "activation_checkpointing"], &["gradient_checkpointing"]),
    also(&["save_steps", "checkpoint_every", "saves_per_epoch"], &["checkpoint_steps"]),
    also(&["evaluation_steps", "evals_per_epoch", "eval_every"], &["eval_steps"]),
    also(&["val_set_size", "val_size", "validation_split", "test_size"], &["eval_fraction"]),
    // The optimizer.
    also(&["lr", "learning_rate", "peak_lr", "max_lr"], &["learning_rate"]),
    also(&["lr_scheduler_type", "scheduler", "lr_schedule", "lr_scheduler_name"], &["lr_scheduler"]),
    also(&["warmup", "num_warmup_steps", "lr_warmup_steps"], &["warmup_steps"]),
    also(&["warmup_fraction", "lr_warmup_ratio"], &["warmup_ratio"]),
    also(&["optim", "optimizer_type"], &["optimizer"]),
    also(&["adam_beta1", "adam_beta2", "adam_betas"], &["betas: [0.9, 0.999]"]),
    also(&["adam_eps", "eps", "epsilon", "optim_eps"], &["adam_epsilon"]),
    also(&["gradient_clipping", "grad_clip", "clip_grad_norm", "max_norm", "max_gradient_norm"], &["max_grad_norm"]),
    also(&["wd", "adam_weight_decay"], &["weight_decay"]),
    also(&["data_seed", "random_seed", "random_state"], &["seed"]),
    // The rows.
    also(
        &[
            "max_seq_length",
            "sequence_len",
            "max_sequence_length",
            "cutoff_len",
            "max_length",
            "model_max_length",
            "seq_len",
            "block_size",
        ],
        &["max_seq_len", "max_new_tokens"],
    ),
    also(&["train_on_inputs", "train_on_input"], &["train_on_prompt"]),
    also(&["completion_only_loss", "assistant_only_loss"], &["train_on_prompt: false"]),
    also(&["length_grouped", "group_by_len"], &["group_by_length"]),
    also(&["chat_template", "prompt_template", "prompt_style", "prompt_format"], &["template"]),
    // The adapter.
    also(&["lora_r", "lora_rank", "rank", "r"], &["lora: { r: 16 }"]),
    also(&["lora_alpha", "alpha"], &["lora: { alpha: 32 }"]),
    also(&["lora_dropout"], &["lora: { dropout: 0.05 }"]),
    also(
        &["lora_target_modules", "lora_target", "lora_target_linear", "target_modules"],
        &["lora: { target_modules: all-linear }"],
    ),
    also(&["peft_use_rslora", "lora_use_rslora", "use_rslora"], &["lora: { use_rslora: true }"]),
    also(&["finetuning_type", "peft_type", "tuner"], &["method"]),
    also(
        &["load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "quantization_config", "quantize", "use_qlora"],
        &["weights: nf4", "quantization: nf4"],
    ),
    also(
        &["model_name_or_path", "base_model", "model_name", "model_id", "pretrained", "model_path", "checkpoint"],
        &["model"],
    ),
    // Generation.
    also(&["max_tokens", "max_gen_toks", "max_completion_tokens", "n_predict", "num_predict"], &["max_new_tokens"]),
    also(&["do_sample"], &["temperature: 0"]),
    also(&["temp"], &["temperature"]),
    also(&["repeat_penalty", "rep_penalty"], &["repetition_penalty"]),
    also(&["stop_strings", "stop_sequences", "until", "stop_words", "stop_token"], &["stop"]),
    also(&["batch_size", "max_num_seqs", "parallel", "n_parallel", "num_concurrent"], &["slots", "batch_size"]),
    also(&["n_samples", "num_samples", "num_instructions", "num_instructions_to_generate", "n"], &["count", "limit"]),
    // Evaluation.
    also(&["n_shot", "n_shots", "num_shots", "nshot", "shots"], &["num_fewshot"]),
    also(&["bootstrap_iters", "n_resamples"], &["bootstrap: { resamples: 10000 }"]),
    // Tables and retrieval.
    also(&["data_files", "file", "files", "filename", "data_path", "dataset"], &["path"]),
    also(&["max_samples", "max_rows", "nrows", "n_rows", "limit_rows"], &["limit"]),
    also(&["rename_columns", "column_names"], &["rename"]),
    also(&["dtypes", "dtype", "column_types"], &["schema"]),
    also(&["k", "n_results", "num_results", "top_n"], &["top_k"]),
    also(&["embedding_model", "encoder", "embed_model"], &["embedder"]),
    // Programs.
    also(&["cmd", "command", "args"], &["argv"]),
    also(&["script", "bash"], &["shell"]),
    also(&["deps", "dependencies"], &["sources"]),
    also(&["outs", "output"], &["outputs"]),
    also(&["environment", "env_vars"], &["env"]),
];
