//! Names of parameters that train.

use pipe_engine::kind::Synonym;

use super::{absent, also, nearly, valued};

const KEPT: &str = "results are kept in the store, and linked under `results/`";
const F32: &str = "weights are read as they are stored, and computed with in f32";
const ONE_MACHINE: &str = "a stage trains in one process, on all cores that it is given";
const PACKED: &str = "rows are always computed one behind the other, without padding, and never see each other";
const LOGGED: &str = "every step stands in the output `log` (`pipe show STAGE.log`)";
const LOWEST: &str = "the best weights (`keep: best`) are those of the lowest loss on held-out rows";
const NO_UPLOAD: &str = "nothing is uploaded; `export` writes the files";
const PLAIN_LORA: &str = "adapters are LoRA and rsLoRA on linear layers, as PEFT has them by default";
const SIMPLE: &str = "there is no such term in the loss";

pub(super) const NAMES: &[Synonym] = &[
    // How long, and in which steps.
    also(
        &["num_train_epochs", "num_epochs", "n_epochs", "max_epochs", "epochs"],
        &["budget: { epochs: <3> }", "epochs"],
    ),
    valued(
        &["max_steps", "num_training_steps", "total_steps", "steps"],
        &["budget: { steps: <100> }"],
        // Theirs for "go by epochs".
        &[("-1", "budget: { epochs: 3 }")],
    ),
    nearly(
        &["per_device_train_batch_size", "micro_batch_size", "per_gpu_train_batch_size", "device_batch_size"],
        &["micro_batch_size", "batch_size"],
        "There is one device; a step has `micro_batch_size` times `gradient_accumulation_steps` rows.",
    ),
    also(&["train_batch_size", "global_batch_size", "effective_batch_size", "total_batch_size"], &["batch_size"]),
    also(
        &["gradient_accumulation", "gradient_accumulation_steps", "grad_accum", "accumulate_grad_batches"],
        &["gradient_accumulation_steps", "batch_size"],
    ),
    also(&["use_gradient_checkpointing", "activation_checkpointing"], &["gradient_checkpointing"]),
    also(&["save_steps", "checkpoint_every", "saves_per_epoch"], &["checkpoint_steps"]),
    also(&["evaluation_steps", "evals_per_epoch", "eval_every"], &["eval_steps"]),
    also(&["val_set_size", "val_size", "validation_split", "test_size"], &["eval_fraction"]),
    valued(
        &["eval_strategy", "evaluation_strategy"],
        &["eval_steps: 50"],
        &[("steps", "eval_steps: 50"), ("epoch", "eval_fraction: 0.05"), ("no", "eval_fraction: 0")],
    ),
    // The optimizer.
    also(&["lr", "peak_lr", "max_lr"], &["learning_rate"]),
    valued(
        &["lr_scheduler_type", "scheduler", "lr_schedule", "lr_scheduler_name"],
        &["lr_scheduler"],
        &[
            ("constant_with_warmup", "lr_scheduler: constant"),
            ("constant", "lr_scheduler: constant"),
            ("linear", "lr_scheduler: linear"),
            ("cosine", "lr_scheduler: cosine"),
        ],
    ),
    absent(
        &["lr_scheduler_kwargs", "cosine_min_lr_ratio", "cosine_constant_lr_ratio", "min_lr"],
        "`linear` and `cosine` fall to 0",
    ),
    also(&["warmup", "num_warmup_steps", "lr_warmup_steps"], &["warmup_steps"]),
    also(&["warmup_fraction", "lr_warmup_ratio"], &["warmup_ratio"]),
    nearly(&["warmup_ratio"], &["warmup_steps"], "The rise is counted in steps."),
    valued(
        &["optim", "optimizer_type"],
        &["optimizer"],
        &[
            ("adamw_torch", "optimizer: adamw"),
            ("adamw_torch_fused", "optimizer: adamw"),
            ("adamw_bnb_8bit", "optimizer: adamw"),
            ("paged_adamw_32bit", "optimizer: adamw"),
            ("adamw_hf", "optimizer: adamw"),
        ],
    ),
    absent(
        &["optim", "optimizer", "optimizer_type", "optim_args", "adafactor", "optim_target_modules"],
        "`train` has AdamW, with its state in f32",
    ),
    also(&["adam_beta1", "adam_beta2", "adam_betas"], &["betas: [0.9, 0.999]"]),
    also(&["adam_eps", "eps", "epsilon", "optim_eps"], &["adam_epsilon"]),
    also(&["gradient_clipping", "grad_clip", "clip_grad_norm", "max_norm", "max_gradient_norm"], &["max_grad_norm"]),
    also(&["wd", "adam_weight_decay"], &["weight_decay"]),
    also(&["data_seed", "random_seed", "random_state"], &["seed"]),
    absent(&["full_determinism", "use_deterministic_algorithms"], "the same parameters always give the same bytes"),
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
    also(&["train_on_inputs", "train_on_input"], &["train_on_prompt: <false>"]),
    valued(
        &["completion_only_loss", "assistant_only_loss", "train_on_completions_only"],
        &["train_on_prompt: false"],
        &[("false", "train_on_prompt: true")],
    ),
    also(&["length_grouped", "group_by_len"], &["group_by_length"]),
    also(&["chat_template", "chat_template_path", "prompt_template", "prompt_style", "prompt_format"], &["template"]),
    also(&["excess_length_strategy"], &["too_long"]),
    absent(
        &[
            "packing",
            "sample_packing",
            "eval_packing",
            "eval_sample_packing",
            "packing_strategy",
            "padding_free",
            "pad_to_sequence_len",
            "pad_to_multiple_of",
            "padding_side",
        ],
        PACKED,
    ),
    absent(
        &["dataset_text_field", "field_instruction", "field_output", "field_input", "dataset_kwargs"],
        "columns are called `instruction`, `input` and `output`; `table` has `rename`",
    ),
    absent(
        &["dataset_num_proc", "dataset_processes", "dataloader_num_workers", "dataloader_prefetch_factor", "num_proc"],
        "`--jobs` and `resources: { cpu: N }` say how many cores a stage has",
    ),
    absent(
        &["dataloader_drop_last", "dataloader_pin_memory", "dataloader_persistent_workers", "remove_unused_columns"],
        "rows are in memory, and every one is trained on",
    ),
    // The adapter.
    also(&["lora_r", "lora_rank", "rank", "r"], &["lora: { r: <16> }"]),
    also(&["lora_alpha", "alpha"], &["lora: { alpha: <32> }"]),
    also(&["lora_dropout"], &["lora: { dropout: <0.05> }"]),
    also(
        &["lora_target_modules", "lora_target", "lora_target_linear", "target_modules"],
        &["lora: { target_modules: all-linear }"],
    ),
    also(&["peft_use_rslora", "lora_use_rslora", "use_rslora"], &["lora: { use_rslora: true }"]),
    also(&["exclude_modules"], &["lora: { target_modules: [q_proj, v_proj] }"]),
    valued(
        &["finetuning_type", "peft_type", "tuner", "use_peft", "adapter"],
        &["method"],
        &[
            ("lora", "method: lora"),
            ("qlora", "weights: nf4"),
            ("full", "method: full"),
            ("true", "method: lora"),
            ("false", "method: full"),
        ],
    ),
    Synonym {
        theirs: &[
            "load_in_4bit",
            "bnb_4bit_quant_type",
            "quantization_config",
            "quantize",
            "use_qlora",
            "quantization_bit",
        ],
        ours: &["weights: nf4"],
        values: &[("false", "weights: f32")],
        because: "In four bits weights are NormalFloat, as in QLoRA.",
    },
    Synonym {
        theirs: &["load_in_8bit"],
        ours: &["weights: q8_0"],
        values: &[("false", "weights: f32")],
        because: "In eight bits weights are GGUF's blocks.",
    },
    absent(
        &["bnb_4bit_use_double_quant", "use_bnb_nested_quant", "bnb_4bit_compute_dtype", "bnb_4bit_quant_storage"],
        "`weights: nf4` has double quantization, and computes in f32",
    ),
    absent(
        &[
            "use_dora",
            "peft_use_dora",
            "modules_to_save",
            "lora_modules_to_save",
            "bias",
            "lora_bias",
            "fan_in_fan_out",
            "lora_fan_in_fan_out",
            "init_lora_weights",
            "layers_to_transform",
            "layers_pattern",
            "rank_pattern",
            "alpha_pattern",
            "layer_replication",
            "loftq_config",
            "eva_config",
            "corda_config",
            "trainable_token_indices",
            "target_parameters",
            "task_type",
            "lora_task_type",
            "loraplus_lr_ratio",
            "relora_steps",
            "peft_layers_to_transform",
        ],
        PLAIN_LORA,
    ),
    // Numbers and machines.
    absent(
        &[
            "fp16",
            "bf16",
            "tf32",
            "fp16_opt_level",
            "half_precision_backend",
            "fp16_full_eval",
            "bf16_full_eval",
            "float16",
        ],
        F32,
    ),
    also(&["torch_dtype"], &["dtype"]),
    absent(&["torch_dtype", "dtype"], F32),
    absent(
        &[
            "deepspeed",
            "fsdp",
            "fsdp_config",
            "fsdp_version",
            "fsdp_min_num_params",
            "fsdp_transformer_layer_cls_to_wrap",
            "accelerator_config",
            "parallelism_config",
            "local_rank",
            "ddp_backend",
            "ddp_timeout",
            "ddp_find_unused_parameters",
            "ddp_bucket_cap_mb",
            "ddp_broadcast_buffers",
            "tpu_num_cores",
            "tensor_parallel_size",
            "context_parallel_size",
            "sequence_parallel_degree",
            "world_size",
            "num_processes",
        ],
        ONE_MACHINE,
    ),
    absent(
        &["device", "device_map", "no_cuda", "use_cpu", "use_mps_device", "n_gpu", "max_memory"],
        "a stage computes on the cores that it is given (`--jobs`, `resources: { cpu: N }`); a program trains on a GPU \
         (`engine: { program: [python3, \"builtin:peft_trainer.py\"] }`)",
    ),
    absent(
        &[
            "attn_implementation",
            "flash_attention",
            "use_flash_attention_2",
            "flash_attn",
            "xformers_attention",
            "sdp_attention",
            "sdpa_attention",
            "use_liger_kernel",
            "liger_kernel_config",
            "torch_compile",
            "torch_compile_backend",
            "torch_compile_mode",
            "torchdynamo",
            "jit_mode_eval",
            "use_unsloth",
            "activation_offloading",
            "auto_find_batch_size",
            "torch_empty_cache_steps",
        ],
        "there is one way to compute, with kernels of its own, and all results stand for it",
    ),
    absent(&["gradient_checkpointing_kwargs"], "`gradient_checkpointing` is true or false"),
    // Where results go, and what is told of them.
    absent(&["output_dir", "overwrite_output_dir", "logging_dir", "run_name", "save_dir", "output_path"], KEPT),
    absent(
        &[
            "logging_steps",
            "logging_strategy",
            "logging_first_step",
            "log_level",
            "log_every_n_steps",
            "include_tokens_per_second",
            "include_num_input_tokens_seen",
            "disable_tqdm",
        ],
        LOGGED,
    ),
    absent(
        &[
            "report_to",
            "wandb_project",
            "wandb_entity",
            "wandb_run_id",
            "wandb_name",
            "use_wandb",
            "mlflow_tracking_uri",
        ],
        LOGGED,
    ),
    absent(
        &["save_strategy", "save_total_limit", "save_only_model", "save_safetensors", "save_on_each_node"],
        "only the last checkpoint is kept, and only while the stage runs",
    ),
    absent(
        &["resume_from_checkpoint", "auto_resume_from_checkpoints", "ignore_data_skip"],
        "a killed training goes on from its last checkpoint by itself",
    ),
    valued(&["load_best_model_at_end"], &["keep: best"], &[("true", "keep: best"), ("false", "keep: last")]),
    also(&["early_stopping_patience"], &["early_stopping: { patience: <3> }"]),
    also(&["early_stopping_threshold"], &["early_stopping: { min_delta: <0.01> }"]),
    absent(&["metric_for_best_model", "greater_is_better"], LOWEST),
    absent(
        &["push_to_hub", "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "push_dataset_to_hub"],
        NO_UPLOAD,
    ),
    absent(
        &["per_device_eval_batch_size", "per_gpu_eval_batch_size", "eval_batch_size", "eval_accumulation_steps"],
        "held-out rows are computed as those of a step",
    ),
    absent(
        &["do_train", "do_eval", "do_predict"],
        "each of these is a stage of its own: `train`, `evaluate`, `respond`",
    ),
    absent(&["neftune_noise_alpha", "label_smoothing_factor", "loss_type", "noisy_embedding_alpha"], SIMPLE),
    absent(
        &["trust_remote_code", "auto_map"],
        "no program that comes with a model is run; its architecture has to be one that pipe knows",
    ),
    absent(
        &["model_type", "tokenizer_type", "is_llama_derived_model", "strict"],
        "the model's own files say what it is",
    ),
    absent(
        &[
            "special_tokens",
            "tokens",
            "eos_token",
            "pad_token",
            "tokenizer",
            "tokenizer_name",
            "resize_token_embeddings",
        ],
        "the tokenizer is the model's, and is not changed",
    ),
    absent(&["lora_model_dir", "adapter_name_or_path"], "connect an adapter's stage to the input `adapter`"),
    absent(&["ref_model", "beta", "rl", "reward_model"], "training is supervised, on `instruction` and `output`"),
    absent(&["freeze_vision_tower", "mm_projector"], "models are of text alone"),
];
